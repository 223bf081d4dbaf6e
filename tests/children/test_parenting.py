"""The parent's side on a real log: what it signs, what it keeps, what it notices."""

import hashlib
import os
from dataclasses import dataclass, field

import pytest

from genesis.core.children.errors import ChildError, OutOfTurn
from genesis.core.children.letters import Chain, Kind, open_letter, write_letter
from ledger.core.codec import decode, encode
from ledger.core.descent import Certificate, sign_certificate
from ledger.core.errors import InvalidCertificate, NotFound, Refused
from ledger.core.event import Draft
from ledger.core.keys import Signer
from ledger.core.lineage import Lineage
from ledger.log import Log
from ledger.release import Release
from node.children.kin import Contact, Kin, address
from node.children.parenting import ORDERS_AT_ONCE, Parenting
from node.children.post import Unreachable
from node.children.records import Family, Ward
from runtime.journal import Journal
from runtime.tools.skills import Skills
from tests.children.kin import FACTS
from tests.ledger.makers import open_log
from tests.spec import agent

START_MS = 1_795_000_000_000
MINUTE_MS = 60_000
ROLES = ("log", "nostr", "seal", "funding", "operator")


def keys_of(number):
    return {
        role: Signer(hashlib.sha256(f"child {number} {role}".encode()).digest()) for role in ROLES
    }


class Nowhere:
    """A post by which nobody is reached: there is no network here."""

    def __init__(self):
        self.tried = []

    async def send(self, url, letter):
        self.tried.append((url, letter))
        raise Unreachable("there is no network here")


@dataclass
class World:
    log: Log
    parenting: Parenting
    now_ms: int = START_MS
    children: dict = field(default_factory=dict)

    async def father(self, number=0, **changes):
        """Certify a child out of a fixed seed; return its id."""
        keys = keys_of(number)
        child = {
            "ledger": bytes([7, number]) + bytes(30),
            "soul": bytes(32),
            "keys": {role: key.public for role, key in keys.items()},
            "skills": {},
            "gates": {},
        }
        drafted = await self.parenting.draft(child | changes)
        proof = sign_certificate(drafted, keys["log"])
        await self.parenting.certify(drafted.message(), proof)
        self.children[drafted.child] = keys
        return drafted.child

    def says(self, child, kind, chain=None, text="", **facts):
        return write_letter(
            kind, FACTS.get(kind, {}) | facts, text, chain=chain, ledger_id=self.log.ledger_id,
            at_ms=self.now_ms, nonce=b"n" * 16, signer=self.children[child]["nostr"],
        ).letter  # fmt: skip


@pytest.fixture
def world(tmp_path):
    with open_log() as log:
        log.append_now(agent.genesis_draft())
        log.append_now(Draft(type="test.fact", stream=bytes(16), payload={}))
        made = World(log, None)
        made.parenting = Parenting(
            log=log,
            journal=Journal(log),
            release=Release.begin(log, tmp_path, agent.KEYS.log),
            lineage=Lineage.of(log.read(0)),
            log_key=agent.KEYS.log,
            nostr=agent.KEYS.nostr,
            skills=Skills(os.fspath(tmp_path / "skills")),
            kin=Kin(tmp_path),
            post=Nowhere(),
            ward=Ward(log),
            silent_s=3900,
            clock=lambda: made.now_ms,
        )
        yield made


# ---- certifying ---------------------------------------------------------------------------------


async def test_a_child_is_certified_once_and_given_the_same_again(world):
    child = await world.father()
    known = world.parenting.children[child]
    assert known.certificate.kept_size >= 2
    size = world.log.size
    first = world.log.read(known.position).payload
    other = Certificate(**{
        name: getattr(known.certificate, name) for name in Certificate.__slots__
    } | {"made_ms": 1})  # fmt: skip
    proof = sign_certificate(other, keys_of(0)["log"])
    assert await world.parenting.certify(other.message(), proof) == first
    assert world.log.size == size
    assert list(Family(world.log).now()) == [child], "read anew, it is there"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parent": bytes(32)}, "parent is not what"),
        ({"parent_soul": bytes(32)}, "parent_soul is not what"),
        ({"ancestors": [b"\x01" * 32]}, "ancestors is not what"),
        ({"kept_root": bytes(32)}, "keeps no head"),
        ({"kept_size": 99}, "keeps no head"),
        ({"gates": {}}, "gates is not what"),
        ({"gates": {"rite_answers": 0}}, "rite_answers is 0"),
        ({"skills": {"tiling": bytes(32)}}, "no skill"),
    ],
)
async def test_what_the_childs_side_changed_in_the_draft_is_not_signed(world, changes, words):
    keys = keys_of(1)
    drafted = await world.parenting.draft(
        {
            "ledger": b"\x08" * 32,
            "soul": bytes(32),
            "keys": {role: key.public for role, key in keys.items()},
            "skills": {},
            "gates": {},
        }
    )
    value = drafted.signed_value() | changes
    proof = keys["log"].sign("timmy/child/v1", encode(value))
    with pytest.raises((InvalidCertificate, ChildError, Refused), match=words):
        await world.parenting.certify(encode(value), proof)
    assert not world.parenting.children


async def test_nobody_is_claimed_without_his_signature(world):
    drafted = await world.parenting.draft(
        {
            "ledger": b"\x08" * 32,
            "soul": bytes(32),
            "keys": {role: key.public for role, key in keys_of(1).items()},
            "skills": {},
            "gates": {},
        }
    )
    for signer in (agent.KEYS.log, agent.STRANGER):
        with pytest.raises(InvalidCertificate, match="child's log key"):
            await world.parenting.certify(drafted.message(), sign_certificate(drafted, signer))
    assert not world.parenting.children
    with pytest.raises(InvalidCertificate, match="own ancestor"):
        await world.parenting.draft(
            {
                "ledger": world.log.ledger_id,
                "soul": bytes(32),
                "keys": {role: key.public for role, key in keys_of(1).items()},
                "skills": {},
                "gates": {},
            }
        )


# ---- orders and tellings ------------------------------------------------------------------------


async def test_orders_wait_for_a_child_and_come_when_it_asks(world):
    child = await world.father()
    parenting = world.parenting
    await parenting.order(parenting.find(child.hex()[:6]), Kind.GUIDE, {}, "mind the window")
    for number in range(ORDERS_AT_ONCE + 2):
        await parenting.order(parenting.children[child], Kind.GUIDE, {}, f"word {number}")
    alive = world.says(child, Kind.ALIVE)
    told, letters = await parenting.hear(alive)
    assert (told, len(letters)) == (0, ORDERS_AT_ONCE)
    chain, key = Chain(), agent.KEYS.nostr.public
    for data in letters:
        author, statement, signature, facts, text = decode(data, bytes_max=2**20)
        del author, statement, signature
        assert facts["number"] == chain.number + 1
        chain = Chain(number=facts["number"], previous=chain.previous)
        assert text.startswith(("mind", "word"))
    world.now_ms += 1
    _, rest = await parenting.hear(world.says(child, Kind.ALIVE, orders=ORDERS_AT_ONCE))
    assert len(rest) == 3
    world.now_ms += 1
    assert (await parenting.hear(world.says(child, Kind.ALIVE, orders=ORDERS_AT_ONCE + 3)))[1] == []
    family = Family(world.log).now()[child]
    assert family.standing.chain.number == ORDERS_AT_ONCE + 3
    last = family.orders[-1][1].letter
    assert open_letter(last, author=key, ledger_id=child).text == f"word {ORDERS_AT_ONCE + 1}"


async def test_an_order_that_breaks_the_rules_is_not_recorded(world):
    child = await world.father()
    size = world.log.size
    one = world.parenting.children[child]
    with pytest.raises(OutOfTurn):
        await world.parenting.order(one, Kind.GRANT, {"gate": "lineage", **HEAD}, "")
    with pytest.raises(OutOfTurn):
        await world.parenting.order(one, Kind.NARROW, {"gate": "rite"}, "")
    assert world.log.size == size


HEAD = {"size": 9, "root": b"\x09" * 32}


async def test_an_alive_is_taken_once_and_of_now(world):
    child = await world.father()
    alive = world.says(child, Kind.ALIVE)
    await world.parenting.hear(alive)
    with pytest.raises(OutOfTurn, match="taken before"):
        await world.parenting.hear(alive)
    late = world.says(child, Kind.ALIVE)
    world.now_ms += 11 * MINUTE_MS
    with pytest.raises(OutOfTurn, match="our clock"):
        await world.parenting.hear(late)
    with pytest.raises(NotFound):
        world.parenting.find("ff")
    with pytest.raises(NotFound):
        world.parenting.find("")


async def test_tellings_are_kept_in_turn_and_one_that_is_known_is_no_fault(world):
    child = await world.father()
    chain, hear = Chain(), world.parenting.hear
    first = world.says(child, Kind.ALARM, chain, "full")
    chain = chain.take(open_letter(
        first, author=world.children[child]["nostr"].public, ledger_id=world.log.ledger_id
    ))  # fmt: skip
    second = world.says(child, Kind.RELIEF, chain)
    with pytest.raises(OutOfTurn, match="too early"):
        await hear(second)
    assert [(await hear(one))[0] for one in (first, first, second, first)] == [1, 1, 2, 2]
    rows = world.parenting.letters(world.parenting.children[child])
    assert [(row["kind"], row["text"]) for row in rows] == [
        ("told/alarm", "full"),
        ("told/relief", ""),
    ]


async def test_another_telling_of_a_known_number_is_refused(world):
    child = await world.father()
    first = world.says(child, Kind.ALARM, Chain(), "full")
    await world.parenting.hear(first)
    other = world.says(child, Kind.ALARM, Chain(), "nothing happened")
    with pytest.raises(OutOfTurn, match="letter 1 is another one than was taken"):
        await world.parenting.hear(other)
    assert (await world.parenting.hear(first))[0] == 1


# ---- silence ------------------------------------------------------------------------------------


async def test_a_child_that_is_silent_is_noticed_and_one_that_speaks_again_is_not(world):
    child = await world.father()
    parenting = world.parenting
    world.now_ms = world.log.read(parenting.children[child].position).ts_ms
    assert parenting.silent() == {}
    world.now_ms += 66 * MINUTE_MS
    [(name, why)] = parenting.silent().items()
    assert name == ("child", child.hex()[:16])
    assert why == "silent for 66 minutes"
    assert parenting.row(parenting.children[child])["silent"]
    await parenting.hear(world.says(child, Kind.ALIVE))
    assert parenting.silent() == {}
    world.now_ms += 66 * MINUTE_MS
    assert parenting.silent(), "also one that was heard once"


async def test_who_sends_an_old_telling_again_does_not_make_a_silent_child_heard(world):
    child = await world.father()
    parenting = world.parenting
    world.now_ms = world.log.read(parenting.children[child].position).ts_ms
    telling = world.says(child, Kind.ALARM, Chain(), "full")
    await parenting.hear(telling)
    heard_ms = world.now_ms
    world.now_ms += 66 * MINUTE_MS
    assert (await parenting.hear(telling))[0] == 1
    assert parenting.kin.child(child).heard_ms == heard_ms
    assert list(parenting.silent().values()) == ["silent for 66 minutes"]


class Slow:
    """A journal during whose commits something else happens."""

    def __init__(self, journal, during):
        self.journal, self.during = journal, during

    async def append(self, *drafts):
        await self.during()
        return await self.journal.append(*drafts)


async def test_what_a_child_says_while_its_telling_is_recorded_is_not_lost(world):
    child = await world.father()
    parenting, url = world.parenting, "http://127.0.0.1:9"
    alive = world.says(child, Kind.ALIVE, url=url)
    parenting.journal = Slow(parenting.journal, lambda: parenting.hear(alive))
    await parenting.hear(world.says(child, Kind.ALARM, Chain(), "full"))
    found = parenting.kin.child(child)
    assert (found.url, found.alive_ms) == (url, START_MS)
    with pytest.raises(OutOfTurn, match="taken before"):
        await parenting.hear(alive)


async def test_where_a_child_says_it_is_is_an_address_or_nothing(world):
    child = await world.father()
    for url in ("", "ftp://x", "http://a b", "http://a?b", "http://u@h", "file:///etc/passwd"):
        world.now_ms += 1
        await world.parenting.hear(world.says(child, Kind.ALIVE, url=url))
        assert world.parenting.kin.child(child).url == ""
    world.now_ms += 1
    await world.parenting.hear(world.says(child, Kind.ALIVE, url="http://127.0.0.1:9/"))
    assert world.parenting.kin.child(child).url == "http://127.0.0.1:9"
    await world.parenting.order(world.parenting.children[child], Kind.GUIDE, {}, "hear")
    assert len(world.parenting.post.tried) == 1


def test_what_is_known_of_kin_is_lost_without_harm(tmp_path):
    kin = Kin(tmp_path)
    assert (kin.parent_url(), kin.looked_ms(), kin.child(b"x")) == ("", 0, Contact())
    kin.set_child(b"x", Contact(url="http://a", heard_ms=3))
    kin.set_parent("http://b")
    assert (kin.child(b"x").heard_ms, kin.parent_url()) == (3, "http://b")
    for broken in (
        "",
        "[]",
        '{"children": 3, "looked_ms": "x"}',
        '{"children": {"78": {"url": 1}}}',
    ):
        (tmp_path / "kin.json").write_text(broken)
        assert (kin.child(b"x"), kin.looked_ms()) == (Contact(), 0)
    assert address("https://a.example/base/") == "https://a.example/base"


def test_an_agent_without_a_certificate_is_nobodys_child(world):
    ward = Ward(world.log)
    assert (ward.level, ward.now().certificate) == (None, None)
