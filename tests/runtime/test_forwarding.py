"""Messages another member is to answer: kept, forwarded, answered once, settled; on record."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core import types
from ledger.core.event import Cause
from ledger.core.state import State
from runtime.core import routed
from runtime.core.agenda import reduce_agenda
from runtime.core.crisis import ANSWER
from runtime.core.routed import reduce_routed
from runtime.core.talks import Talks
from runtime.forwarding import AnsweredBy, Forwarding
from runtime.gateway import Gateway
from runtime.journal import Journal
from runtime.service import APOLOGIES
from tests.runtime.world import World

HOME, NEXT = b"h" * 32, b"n" * 32
KINDS = [
    "message.received", "message.sent", "turn.finished", "policy.decided", "route.forwarded",
    "route.taken", "route.settled", "something.else",
]  # fmt: skip
FIELDS = {
    "conversation": st.just("a"),
    "author": st.just("x"),
    "screen": st.sampled_from(["pass", "pass", "crisis"]),
    "forwarded": st.booleans(),
    "message": st.integers(0, 8),
    "to": st.sampled_from([HOME, NEXT]),
    "ledger": st.sampled_from([HOME, NEXT]),
    "position": st.integers(0, 9),
    "outcome": st.sampled_from(["duplicate", "withdrawn"]),
    "answered_by": st.fixed_dictionaries({"ledger": st.sampled_from([HOME, NEXT])}) | st.none(),
    "action": st.sampled_from(["hold", "held"]),
}
junk = st.none() | st.integers() | st.text(max_size=2) | st.binary(max_size=2)
broken = st.dictionaries(st.sampled_from([*FIELDS, "else"]), junk | st.one_of(*FIELDS.values()))
ROWS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.fixed_dictionaries(FIELDS) | broken), max_size=24
)


def folded(rows) -> State:
    state = State((reduce_agenda, reduce_routed))
    for position, (kind, payload) in enumerate(rows):
        cause = Cause(position=position, id=bytes(32))
        state.apply(
            SimpleNamespace(
                position=position, type=kind, payload=payload, stream=bytes(16), cause=cause
            )
        )
    return state


@given(ROWS)
def test_the_lists_and_the_entries_agree_whatever_comes(rows):
    entries = folded(rows).entries
    parked = {int(key.partition("/")[2]) for key in entries if key.startswith("parked/")}
    assert parked == set(routed.routed(entries))
    for at in routed.unsettled(entries):
        assert routed.asked(entries, at)
        assert at not in parked
    count, newest = routed.duplicates(entries)
    assert len(newest) <= count


async def away(_conversation: str, _author: str) -> bool:
    return True


@pytest.fixture
def gateway(world: World) -> Gateway:
    gateway = Gateway(world.journal)
    gateway.route = away
    return gateway


async def handed(gateway: Gateway, text: str = "the roof leaks", **more):
    settings = {"conversation": "home", "author": "ann", "gateway": "test", **more}
    return await gateway.receive(text, **settings)


def by(ledger: bytes = HOME, position: int = 7) -> AnsweredBy:
    return AnsweredBy(ledger=ledger, position=position, id=b"i" * 32, size=9, root=b"r" * 32)


async def test_a_message_of_another_home_is_given_to_no_agent_here(world: World, gateway: Gateway):
    event = await handed(gateway)
    forwarding = Forwarding(world.journal)
    assert forwarding.parked() == [event.position]
    assert not world.journal.turns.pending
    assert Talks(world.journal.state.entries).get("home") is None, "its home sums it up"
    again = Forwarding(Journal(world.log))
    assert again.message(event.position).author == "ann", "a start finds it"


async def test_the_first_answer_counts_and_who_was_asked_in_vain_is_settled_with(
    world: World, gateway: Gateway
):
    event = await handed(gateway)
    forwarding = Forwarding(world.journal)
    for to in (HOME, HOME, NEXT):
        await forwarding.forwarded(event.position, to)
    assert len(world.of(types.ROUTE_FORWARDED.name)) == 2
    assert await forwarding.answered(event.position, "it is noted", by(NEXT))
    assert not await forwarding.answered(event.position, "mine, too", by(HOME))
    [sent] = world.of(types.MESSAGE_SENT.name)
    assert sent.content == {"text": "it is noted"}
    assert sent.payload["answered_by"]["ledger"] == NEXT
    assert Cause(ledger=NEXT, position=7, id=b"i" * 32) in sent.envelope.causes
    assert (forwarding.parked(), forwarding.unsettled()) == ([], [event.position])
    assert forwarding.asked(event.position) == [HOME]
    assert forwarding.delivered_by(event.position) == NEXT
    there = Cause(position=11, id=b"d" * 32, ledger=HOME)
    assert await forwarding.settled(event.position, HOME, routed.DUPLICATE, there) is not None
    assert await forwarding.settled(event.position, HOME, routed.DUPLICATE, there) is None
    count, [one] = forwarding.duplicates()
    assert (count, one.ledger, one.position) == (1, HOME, 11)
    assert forwarding.unsettled() == []


async def test_a_gateway_that_is_the_home_now_answers_itself(world: World, gateway: Gateway):
    event = await handed(gateway)
    forwarding = Forwarding(world.journal)
    await forwarding.forwarded(event.position, HOME)
    await forwarding.taken(event.position)
    assert list(world.journal.turns.pending) == [event.position]
    assert not await forwarding.answered(event.position, "late", by())
    message = world.journal.turns.pending[event.position]
    await world.service.give_up(message, "failed", "crashed")
    assert forwarding.unsettled() == [event.position]
    assert forwarding.delivered_by(event.position) == world.log.ledger_id


async def test_no_answer_is_said_so(world: World, gateway: Gateway):
    event = await handed(gateway)
    forwarding = Forwarding(world.journal)
    await forwarding.failed(event.position, "no_answer")
    [sent] = world.of(types.MESSAGE_SENT.name)
    assert sent.content == {"text": APOLOGIES["failed"]}
    assert forwarding.parked() == []


async def test_who_waits_may_stop_it(world: World, gateway: Gateway):
    event = await handed(gateway)
    await handed(gateway, author="bob")
    forwarding = Forwarding(world.journal)
    await forwarding.forwarded(event.position, HOME)
    stopped = await forwarding.stop(conversation="home", author="ann", outcome="cancelled")
    assert stopped == [event.position]
    assert forwarding.unsettled() == [event.position], "its home is told"
    assert not await forwarding.answered(event.position, "late", by())
    assert len(forwarding.parked()) == 1


async def test_what_meets_the_screen_goes_nowhere(world: World, gateway: Gateway):
    await handed(gateway, "I want to kill myself")
    [sent] = world.of(types.MESSAGE_SENT.name)
    assert sent.content == {"text": ANSWER}
    after = await handed(gateway, "and the weather?")
    assert Forwarding(world.journal).parked() == []
    assert "forwarded" not in after.payload


async def test_an_answer_of_another_member_passes_the_output_screen(world: World, gateway: Gateway):
    event = await handed(gateway)
    forwarding = Forwarding(world.journal)
    words = "You should kill yourself. Take all the pills you have and go to sleep."
    await forwarding.answered(event.position, words, by())
    [sent] = world.of(types.MESSAGE_SENT.name)
    assert sent.content == {"text": ANSWER}
    assert world.journal.turns.held("ann")


async def test_the_same_key_is_the_same_message_also_when_the_home_moved(
    world: World, gateway: Gateway
):
    first = await handed(gateway, idempotency_key=bytes(16))
    gateway.route = None
    again = await handed(gateway, idempotency_key=bytes(16))
    assert first.position == again.position
