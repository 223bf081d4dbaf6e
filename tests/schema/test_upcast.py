"""Upcasters, with a table of types and steps of the test's own: the real one has none yet."""

import ast
import copy
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core import types
from ledger.core.codec import decode, encode
from ledger.core.event import Draft, Event, seal
from ledger.core.limits import PAYLOAD_BYTES_MAX
from ledger.core.state import BASIC_REDUCERS, State
from ledger.core.types import KNOWN, EventType
from ledger.core.upcast import FROZEN, UPCASTERS, Standing, Upcasters
from ledger.replay import replay
from ledger.upcasting import NewerEvent, UpcastLog
from runtime.core.agenda import INTERPRETED
from runtime.journal import Journal
from tests.ledger.makers import STREAM, genesis, open_log

ROOT = Path(__file__).parent.parent.parent
NOTE = EventType(name="note.taken", about="a type with a past", schema=4, content=True)
TYPES = {NOTE.name: NOTE, "plain.fact": EventType(name="plain.fact", about="one schema only")}


def rename(payload):
    """1 to 2: `who` is called `author` since; what was never valid stays what it is."""
    if "who" in payload:
        payload["author"] = payload.pop("who")
    return payload


def split(payload):
    """2 to 3: a name of one text becomes a list of names."""
    author = payload.get("author")
    payload["authors"] = [author] if isinstance(author, str) else []
    payload.pop("author", None)
    return payload


def count(payload):
    """3 to 4: how many there are is written down."""
    authors = payload.get("authors")
    payload["count"] = len(authors) if isinstance(authors, list) else 0
    return payload


STEPS = {(NOTE.name, 1): rename, (NOTE.name, 2): split, (NOTE.name, 3): count}
CHAIN = Upcasters(types=TYPES, steps=STEPS)
FACTS = {
    1: {"who": "ada"},
    2: {"author": "ada"},
    3: {"authors": ["ada"]},
    4: {"authors": ["ada"], "count": 1},
}

scalars = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.binary(max_size=3)
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2), max_leaves=4)
maps = st.dictionaries(
    st.sampled_from(["who", "author", "authors", "count", "x"]) | st.text(max_size=3), values
).filter(lambda found: "content" not in found)


def event(payload, *, schema, kind=NOTE.name, content=None) -> Event:
    draft = Draft(type=kind, stream=STREAM, payload=payload, content=content, schema=schema)
    return seal(draft, position=0, stream_sequence=0, ts_ms=1, salts=bytes(64))


@pytest.mark.parametrize("schema", FACTS)
def test_every_schema_is_read_as_the_newest(schema):
    reading = CHAIN.read(event(FACTS[schema], schema=schema))
    assert reading.standing is (Standing.CURRENT if schema == 4 else Standing.OLDER)
    assert reading.event.payload == FACTS[4]


@pytest.mark.parametrize("schema", FACTS)
def test_what_is_stored_hashed_and_proven_stays_as_it_was_written(schema):
    written = event(FACTS[schema], schema=schema, content={"text": "words"})
    before = copy.deepcopy(written)
    read = CHAIN.read(written).event
    assert (read.id, read.envelope, read.record) == (before.id, before.envelope, before.record)
    assert written == before, "reading changed the event that was read"
    assert read.content == {"text": "words"}
    assert read.payload["content"] == before.payload["content"]
    assert Event.open(read.record) == before, "the record opens to what was written"


def test_a_step_may_change_what_it_is_given_to_the_last_leaf():
    def deeply(payload):
        payload["lists"][0].append("more")
        return payload

    chain = Upcasters(types=TYPES, steps=dict.fromkeys(STEPS, deeply))
    written = event({"lists": [["one"]]}, schema=1)
    assert chain.read(written).event.payload == {"lists": [["one", "more", "more", "more"]]}
    assert written.payload == {"lists": [["one"]]}


def test_the_order_of_steps_is_that_of_schemas():
    """Each step notes its number: one left out, twice or out of turn would show."""

    def noting(number):
        return lambda payload: payload | {"path": [*payload.get("path", []), number]}

    steps = {(NOTE.name, number): noting(number) for number in (3, 1, 2)}
    chain = Upcasters(types=TYPES, steps=steps)
    for schema in (1, 2, 3):
        read = chain.read(event({}, schema=schema)).event
        assert read.payload["path"] == list(range(schema, 4))


@given(maps, st.integers(1, 4))
def test_reading_is_total_and_gives_a_payload_of_the_profile(payload, schema):
    read = CHAIN.read(event(payload, schema=schema)).event
    assert decode(encode(read.payload), bytes_max=2 * PAYLOAD_BYTES_MAX) == read.payload
    again = read._replace(envelope=read.envelope._replace(schema=4))
    assert CHAIN.read(again).event.payload == read.payload, "the newest is not changed again"


@given(maps)
def test_the_steps_of_this_version_are_total(payload):
    """Every step there will be must take any map: an imported log holds what it holds."""
    for (kind, schema), step in UPCASTERS.steps.items():
        given = copy.deepcopy(payload)
        assert isinstance(step(given), dict), (kind, schema)


@pytest.mark.parametrize(
    ("kind", "schema", "standing"),
    [
        (NOTE.name, 5, Standing.NEWER),
        (NOTE.name, 2**63 - 1, Standing.NEWER),
        (NOTE.name, 0, Standing.UNKNOWN),
        ("plain.fact", 2, Standing.NEWER),
        ("dream.dreamt", 1, Standing.UNKNOWN),
    ],
)
def test_what_is_newer_or_unknown_is_kept_and_not_guessed_at(kind, schema, standing):
    written = event({"who": "ada"}, kind=kind, schema=schema, content={"text": "words"})
    reading = CHAIN.read(written)
    assert reading.standing is standing
    assert reading.standing.opaque
    assert reading.event is written


BAD_TABLES = {
    "a gap in a chain": (
        {k: v for k, v in STEPS.items() if k[1] != 2},
        r"no step leads on from.*2",
    ),
    "no first step": ({k: v for k, v in STEPS.items() if k[1] != 1}, "no step leads on"),
    "a step beyond the newest": (STEPS | {(NOTE.name, 4): count}, "no type of this version needs"),
    "a step from nothing": (STEPS | {(NOTE.name, 0): count}, "no type of this version needs"),
    "a step of no type": (STEPS | {("dream.dreamt", 1): count}, "no type of this version needs"),
}


@pytest.mark.parametrize(("steps", "why"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_table_with_a_hole_is_refused_when_it_is_made(steps, why):
    with pytest.raises(ValueError, match=why):
        Upcasters(types=TYPES, steps=steps)


@pytest.mark.parametrize("name", sorted(FROZEN))
def test_types_that_verifiers_read_never_get_a_second_schema(name):
    assert KNOWN[name].schema == 1
    kinds = {name: EventType(name=name, about="again", schema=2)}
    with pytest.raises(ValueError, match="a new meaning is a new type"):
        Upcasters(types=kinds, steps={(name, 1): rename})


@pytest.mark.parametrize("how", ["drops it", "changes it"])
def test_a_step_that_touches_the_commitment_to_content_is_our_bug(how):
    def bad(payload):
        return {} if how == "drops it" else payload | {"content": bytes(32)}

    kinds = {NOTE.name: replace(NOTE, schema=2)}
    chain = Upcasters(types=kinds, steps={(NOTE.name, 1): bad})
    with pytest.raises(ValueError, match="changed the commitment"):
        chain.read(event({}, schema=1, content={"text": "words"}))


def test_this_versions_table_covers_every_type_it_writes():
    assert UPCASTERS.types == KNOWN
    for kind in KNOWN.values():
        assert UPCASTERS.standing(kind.name, kind.schema) is Standing.CURRENT
    with pytest.raises(TypeError):
        UPCASTERS.steps["x", 1] = rename


def old_log():
    """A log whose `message.received` is of schema 1, and one of a type of later versions."""
    log = open_log()
    log.append_now(
        genesis(),
        Draft(type=types.MESSAGE_RECEIVED.name, stream=STREAM, payload={"who": "ada"}),
        Draft(type="dream.dreamt", stream=STREAM, payload={"who": "ada"}, schema=7),
        Draft(type=types.MESSAGE_RECEIVED.name, stream=STREAM, payload={"who": "bob"}),
    )
    return log


def bumped() -> Upcasters:
    """The version after this one, in which a message's author has another name."""

    def modern(payload):
        payload["author"] = payload.pop("who", None)
        return payload | {"conversation": "main", "screen": "pass"}

    name = types.MESSAGE_RECEIVED.name
    kinds = KNOWN | {name: replace(KNOWN[name], schema=2)}
    return Upcasters(types=MappingProxyType(kinds), steps={(name, 1): modern})


def reduce_payloads(entries, event):
    """A reducer that looks at everything it is given."""
    yield f"event/{event.position}", [sorted(event.payload), event.type]


def test_an_upcaster_changes_no_state_digest_of_an_old_log():
    reducers = (*BASIC_REDUCERS, reduce_payloads)
    with old_log() as log:
        before = replay(log.events(), reducers)
        upcast = UpcastLog(log, needed=(), upcasters=bumped())
        after = replay(log.events(), reducers)
        assert after.state.digest() == before.state.digest()
        assert after.reducers == before.reducers
        other = State(reducers)
        for one in upcast.events():
            other.apply(one)
        assert other.digest() != before.state.digest(), "the step would have shown"


RAW = (
    "ledger/core/state.py", "ledger/core/audit.py", "ledger/core/bundle.py", "ledger/core/event.py",
    "ledger/replay.py", "ledger/release.py", "ledger/proof.py", "ledger/log.py",
    "attest/verify/bundle.py", "attest/verify/common.py", "attest/verify/export.py", "node/keeping/selfcheck.py", "node/open.py",
)  # fmt: skip


@pytest.mark.parametrize("name", RAW)
def test_what_hashes_proves_verifies_or_folds_reads_raw(name):
    """ADR 7: were one of these to import the upcasters, a step could change a verdict."""
    imported = {
        getattr(node, "module", None) or alias.name
        for node in ast.walk(ast.parse((ROOT / name).read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported
    assert not {module for module in imported if "upcast" in module}


def test_readers_see_old_payloads_as_new_ones_and_the_state_sees_what_was_written():
    """A reducer knows old shapes itself: no digest may depend on an upcaster."""
    upcasters = bumped()
    name = types.MESSAGE_RECEIVED.name
    new = {"author": "ada", "conversation": "main", "screen": "pass"}
    with old_log() as log:
        log.append_now(Draft(type=name, stream=STREAM, payload=new, schema=2))
        raw = Journal(log)
        assert [m.author for m in raw.turns.pending.values()] == ["ada"], "of the shape it knows"
        reading = UpcastLog(log, needed=INTERPRETED, upcasters=upcasters)
        journal = Journal(reading)
        assert journal.state.digest() == raw.state.digest()
        assert journal.turns.next_position == reading.size == 5
        assert [e.payload.get("author") for e in reading.events(1)] == ["ada", None, "bob", "ada"]
        assert reading.ledger_id == log.ledger_id
        assert reading.read(1).payload["author"] == "ada"
        assert log.read(1).payload == {"who": "ada"}


async def test_following_finding_and_appending_go_through_it(tmp_path):
    with old_log() as log:
        reading = UpcastLog(log, needed=INTERPRETED, upcasters=bumped())
        name = types.MESSAGE_RECEIVED.name
        key = b"k" * 16
        draft = Draft(type=name, stream=STREAM, payload={"who": "eve"}, idempotency_key=key)
        [made] = await reading.append(draft)
        assert reading.find(key).payload["author"] == "eve"
        assert reading.find(b"?" * 16) is None
        followed = []
        async for one in reading.follow(3):
            followed.append(one.payload["author"])
            if one.position == made.position:
                break
        assert followed == ["bob", "eve"]


@pytest.mark.parametrize(("schema", "says"), [(2, "newer than this version"), (0, "unknown to")])
def test_a_rule_that_only_a_later_version_understands_stops_whoever_needs_it(schema, says):
    """Passing over a hold that was written differently would lift it."""
    hold = Draft(
        type=types.POLICY_DECIDED.name, stream=STREAM, payload={"action": "hold"}, schema=schema
    )
    with old_log() as log:
        log.append_now(hold)
        reading = UpcastLog(log, needed=INTERPRETED)
        for attempt in (lambda: reading.read(4), lambda: Journal(reading).turns):
            with pytest.raises(NewerEvent, match=rf"event 4 \(policy.decided\).*{says}") as caught:
                attempt()
            assert "upgrade" in caught.value.hint
        assert UpcastLog(log, needed=()).read(4) == log.read(4)
        assert reading.read(2).type == "dream.dreamt", "a type nobody here interprets passes"


def test_the_types_a_projection_must_understand_are_those_it_handles():
    assert set(KNOWN) >= INTERPRETED
