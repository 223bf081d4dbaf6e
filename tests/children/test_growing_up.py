"""The child's side on a real log, without a node: what it takes of its parent, and what it sends."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from genesis.core.children.errors import InvalidLetter, OutOfTurn
from genesis.core.children.letters import Chain, Kind
from ledger.core import types
from ledger.core.event import Draft
from ledger.log import Log
from ledger.release import Release
from node.children.growing import TRIES_MAX, Growing
from node.children.kin import Kin
from node.children.post import Answer
from node.children.records import Ward
from runtime.core.errors import MessageRefused
from runtime.gateway import Gateway
from runtime.journal import Journal
from tests.children.kin import START_MS, letter
from tests.ledger.makers import open_log
from tests.spec import agent
from tests.spec.make_children import certificate, payload


@dataclass
class Nursery:
    """A child whose parent is the post: what it answers is written by the test."""

    log: Log
    growing: Growing

    def order(self, kind, chain, **facts):
        """An order of the parent."""
        return letter(kind, chain=chain, to=self.log.ledger_id, **facts)


@pytest.fixture
def nursery(tmp_path):
    with open_log() as log:
        log.append_now(agent.genesis_draft())
        log.append_now(
            Draft(
                type=types.PARENT_CERTIFIED.name,
                stream=types.PARENT_STREAM,
                payload=payload(certificate(child=log.ledger_id)),
            )
        )
        growing = Growing(
            home=None, journal=Journal(log), release=Release.begin(log, tmp_path, agent.LOG),
            nostr=agent.KEYS.nostr, ward=Ward(log), kin=Kin(tmp_path), post=None, gateway=None,
            host=None, book=None, patching=None, machine=dict, name="Ada", url="",
            parent_url="http://127.0.0.1:9", clock=lambda: START_MS,
        )  # fmt: skip
        yield Nursery(log, growing)


# ---- orders -------------------------------------------------------------------------------------


async def test_another_order_of_a_known_number_is_refused_and_the_same_is_not(nursery):
    obey = nursery.growing.obey
    first = nursery.order(Kind.GRANT, Chain(), gate="rite")
    second = nursery.order(Kind.GRANT, Chain().take(first), gate="tools")
    assert [await obey(one.letter) for one in (first, second, first)] == [1, 2, 2]
    other = nursery.order(Kind.GRANT, Chain(), gate="rite", size=10)
    with pytest.raises(OutOfTurn, match="letter 1 is another one than was taken"):
        await obey(other.letter)
    assert nursery.growing.ward.standing.level == 2


async def test_an_order_that_always_fails_bars_no_later_one(nursery):
    nursery.growing.gateway = Gateway(nursery.growing.journal)
    blank = nursery.order(Kind.GUIDE, Chain(), text=" ")
    grant = nursery.order(Kind.GRANT, Chain().take(blank), gate="rite")
    for _ in range(TRIES_MAX - 1):
        with pytest.raises(MessageRefused):
            await nursery.growing.obey(blank.letter)
        with pytest.raises(OutOfTurn):
            await nursery.growing.obey(grant.letter)
    assert await nursery.growing.obey(blank.letter) == 1
    assert await nursery.growing.obey(grant.letter) == 2
    [failed] = nursery.growing.value()["failed"]
    assert failed["number"] == 1
    assert failed["why"].startswith("MessageRefused: ")
    ward = Ward(nursery.log)
    assert ward.level == 1
    assert [one.text for _, one in ward.orders] == [" ", ""]


class Broken:
    """Jobs of which one cannot be paused, and processes that begin anew."""

    jobs = (SimpleNamespace(spec=SimpleNamespace(kind="script", name="a"), paused=False),)
    begun = 0

    async def pause(self, name, *, by):
        raise OSError(name)

    def begin_anew(self):
        self.begun += 1


async def test_a_reset_closes_gates_though_its_deed_fails(nursery):
    grant = nursery.order(Kind.GRANT, Chain(), gate="rite")
    second = nursery.order(Kind.GRANT, Chain().take(grant), gate="tools")
    chain = Chain().take(grant).take(second)
    nursery.growing.book = nursery.growing.host = Broken()
    for one in (grant, second, nursery.order(Kind.RESET, chain, text="begin again")):
        await nursery.growing.obey(one.letter)
    assert (nursery.growing.ward.level, nursery.growing.host.begun) == (1, 1)
    assert nursery.growing.value()["failed"] == [{"number": 3, "why": "OSError: a"}]


# ---- what the parent has ------------------------------------------------------------------------


class Parent:
    """The other end of the post: it answers with a number, and with letters of `answers`."""

    def __init__(self, number, *answers):
        self.number, self.answers, self.sent = number, answers, []

    async def send(self, url, sent):
        self.sent.append(sent.facts["number"])
        return Answer(number=self.number, letters=self.answers)


ABOUT = {"event": 4, "trigger": "disk", "subject": "home"}


async def tell(nursery, number):
    for _ in range(number):
        await nursery.growing.tell(Kind.ALARM, ABOUT, "full")


async def send(nursery, *answers, number=0):
    nursery.growing.post = Parent(number, *answers)
    await nursery.growing.send()
    return nursery.growing.post.sent


async def test_a_number_that_nobody_signed_spares_a_child_no_telling(nursery):
    await tell(nursery, 2)
    assert await send(nursery, number=99) == [0, 1, 2]
    assert nursery.growing.lacking == 2, "nobody said with a signature that he has them"
    heard = nursery.order(Kind.HEARD, None, told=1).letter
    assert await send(nursery, heard, number=99) == [0, 2]
    assert nursery.growing.lacking == 1
    assert await send(nursery, number=99) == [0, 2], "without a letter it stays as it was"


async def test_a_stranger_cannot_say_what_the_parent_has(nursery):
    await tell(nursery, 1)
    for signer, at_ms in ((agent.STRANGER, START_MS), (agent.KEYS.nostr, START_MS)):
        forged = nursery.order(Kind.HEARD, None, told=1, signer=signer, at_ms=at_ms).letter
        with pytest.raises(InvalidLetter):
            await send(nursery, forged)
    old = nursery.order(Kind.HEARD, None, told=1, at_ms=START_MS - 11 * 60_000).letter
    assert await send(nursery, old) == [0, 1]
    assert nursery.growing.lacking == 1


async def test_what_was_heard_later_is_not_taken_back_by_a_letter_of_before(nursery):
    await tell(nursery, 2)
    later = nursery.order(Kind.HEARD, None, told=2, at_ms=START_MS + 5).letter
    before = nursery.order(Kind.HEARD, None, told=0, at_ms=START_MS + 4).letter
    assert await send(nursery, later) == [0]
    assert await send(nursery, before) == [0]
    assert nursery.growing.lacking == 0


async def test_orders_come_with_the_answer_that_says_what_was_heard(nursery):
    order = nursery.order(Kind.GRANT, Chain(), gate="rite").letter
    await send(nursery, nursery.order(Kind.HEARD, None, told=0).letter, order)
    assert nursery.growing.ward.level == 1
