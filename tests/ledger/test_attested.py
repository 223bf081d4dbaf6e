"""Which part of a state is not the attested one, since when, and by whose code."""

import importlib.util
import os
import sys

import pytest

from ledger import attested
from ledger.attested import Kept, ReplayDiffers, code_of, name_of
from ledger.core import types
from ledger.core.event import Draft
from ledger.core.state import State, part_of
from ledger.core.types import NODE_STREAM
from ledger.log import Log
from ledger.memory import MemoryStore
from ledger.replay import attestation, reducers_hash, replay

SOURCE = """
STEP = 1

def reduce_count(entries, event):
    return (("counts", entries.get("counts", 0) + STEP), (f"count/{event.position}", 1))

def reduce_shared(entries, event):
    return ((f"shared/{event.position}", "one"),) if event.position % 2 else ()

def reduce_other(entries, event):
    return ((f"shared/{event.position}", "two"), ("other", 1)) if event.position % 2 == 0 else ()
"""


@pytest.fixture
def folding(tmp_path, monkeypatch):
    """Make the module `folds` of this source: its reducers, and whose parts are whose."""

    def make(source=SOURCE):
        path = tmp_path / f"folds_{len(source)}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location("folds", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setitem(sys.modules, "folds", module)
        attested._source.cache_clear()
        attested._code.cache_clear()
        count, shared, other = module.reduce_count, module.reduce_shared, module.reduce_other
        owners = {
            "counts": (count,), "count": (count,), "shared": (shared, other), "other": (other,),
        }  # fmt: skip
        return (count, shared, other), owners

    yield make
    attested._source.cache_clear()
    attested._code.cache_clear()


@pytest.fixture
def log():
    with Log(MemoryStore(), clock=lambda: 0, entropy=os.urandom) as log:
        log.append_now(Draft(type=types.GENESIS.name, stream=bytes(16), payload={}))
        yield log


def live(log, reducers, *, count=3, old=False):
    """Append some events and an attestation by these reducers; return its position."""
    log.append_now(*[Draft(type="test.fact", stream=b"s" * 16, payload={"n": 1})] * count)
    state = State(reducers)
    for event in log.events():
        state.apply(event)
    draft = attestation(state, reducers_hash(reducers))
    if old:
        kept = {name: draft.payload[name] for name in ("size", "reducers", "digest")}
        draft = Draft(type=draft.type, stream=draft.stream, payload=kept)
    return log.append_now(draft)[0].position


def test_the_parts_of_a_state_add_up_and_are_named_by_their_keys(folding):
    assert [part_of(key) for key in ("a", "a/b", "a/b/c", "", "/a")] == ["a", "a", "a", "", ""]
    state = State.restore((), {"a": 1, "a/b": 2, "c/d": 3}, 1)
    assert set(state.parts()) == {"a", "c"}
    alone = State.restore((), {"c/d": 3}, 9)
    assert alone.parts()["c"] == state.parts()["c"], "of its own entries only"


def test_a_part_that_lost_its_entries_is_gone():
    def reduce(entries, event):
        return (("gone", None if "gone" in entries else 1), ("stays", event.position))

    log = Log(MemoryStore(), clock=lambda: 0, entropy=os.urandom)
    log.append_now(Draft(type=types.GENESIS.name, stream=bytes(16), payload={}))
    log.append_now(Draft(type="test.fact", stream=NODE_STREAM, payload={}))
    state, seen = State((reduce,)), []
    for event in log.events():
        state.apply(event)
        seen.append(set(state.parts()))
    assert seen == [{"gone", "stays"}, {"stays"}]


def test_the_same_code_agrees_and_other_code_may(log, folding):
    reducers, owners = folding()
    live(log, reducers)
    live(log, reducers, old=True)
    done = replay(log.events(), reducers, owners=owners)
    assert (done.agreed, done.foreign, done.differences, done.unsettled) == (2, 0, (), ())
    reducers, owners = folding(SOURCE + "# a remark\n")
    done = replay(log.events(), reducers, owners=owners)
    assert (done.agreed, done.foreign, done.alike, done.silent) == (0, 2, 1, 1)
    assert done.differences == ()


def test_changed_code_is_named_with_its_parts_and_where_it_began(log, folding):
    reducers, _ = folding()
    first = live(log, reducers)
    second = live(log, reducers)
    changed = SOURCE.replace("entries.get", "event.position < 5 and entries.get")
    reducers, owners = folding(changed)
    done = replay(log.events(), reducers, owners=owners)
    [one] = done.differences
    assert (one.position, one.since) == (second, first)
    assert (one.parts, one.reducers, one.changed) == (("counts",), ("folds.reduce_count",), True)
    assert done.unsettled == (one,)
    error = one.error()
    assert f"in events {first} to {second - 1}; it is in part counts, of folds.reduce_count" in str(
        error
    )
    assert "attests anew" in error.hint
    assert error.difference == one
    live(log, reducers)
    done = replay(log.events(), reducers, owners=owners)
    assert (len(done.differences), done.unsettled) == (1, ()), "an upgrade that was attested since"


def test_data_that_only_changed_code_does_not_see_is_blamed_on_it(log, folding):
    """An event type that is no longer folded leaves a part that nobody writes any more."""
    reducers, _ = folding()
    live(log, reducers)
    changed = SOURCE.replace("if event.position % 2 == 0 else ()", "if False else ()")
    reducers, owners = folding(changed)
    [one] = replay(log.events(), reducers, owners=owners).differences
    assert (one.parts, one.reducers) == (("other", "shared"), ("folds.reduce_other",))


def test_the_same_code_with_another_outcome_is_an_error(log, folding, monkeypatch):
    reducers, owners = folding()
    at = live(log, reducers)
    monkeypatch.setattr(sys.modules["folds"], "STEP", 2)
    with pytest.raises(ReplayDiffers, match=r"part counts, of folds\.reduce_count") as raised:
        replay(log.events(), reducers, owners=owners)
    assert raised.value.difference.position == at
    assert "timmy verify" in raised.value.hint


def test_a_part_of_several_reducers_names_them_all_if_nothing_else_accuses_one(log, folding):
    reducers, owners = folding()
    state = State(reducers)
    for event in log.events():
        state.apply(event)
    forged = State.restore(reducers, state.entries | {"shared/9": "x"}, state.size)
    log.append_now(attestation(forged, reducers_hash(reducers)))
    with pytest.raises(ReplayDiffers, match=r"folds\.reduce_other or folds\.reduce_shared"):
        replay(log.events(), reducers, owners=owners)


def test_entries_are_named_where_they_were_kept(log, folding):
    reducers, _ = folding()
    live(log, reducers)
    at = live(log, reducers)
    entries = replay(log.events(0, at), reducers).state.entries
    reducers, owners = folding(SOURCE.replace("STEP = 1", "STEP = 22"))
    done = replay(log.events(), reducers, owners=owners, kept=Kept(size=at, entries=dict(entries)))
    [one] = done.differences
    assert (one.position, one.keys) == (4, ("counts",))
    assert str(one.error()).endswith("; entry counts")
    many = Kept(size=at, entries={f"counts/{n}": n for n in range(9)})
    [one] = replay(log.events(), reducers, owners=owners, kept=many).differences
    assert str(one.error()).endswith("counts/1, counts/2, counts/3 and 5 more")


@pytest.mark.parametrize("bad", [7, {"a": 1}, {"counts": "x"}, []])
def test_an_attestation_of_another_shape_is_compared_as_a_whole_or_not_at_all(log, folding, bad):
    reducers, owners = folding()
    for more in ({"parts": bad}, {"parts": bad, "reducers": bytes(32)}, {"digest": 7}):
        fresh = State(reducers)
        for event in log.events():
            fresh.apply(event)
        payload = attestation(fresh, reducers_hash(reducers)).payload | more
        log.append_now(Draft(type="state.attested", stream=NODE_STREAM, payload=payload))
    with pytest.raises(ReplayDiffers, match="attested 7"):
        replay(log.events(), reducers, owners=owners)
    done = replay(log.events(0, log.size - 1), reducers, owners=owners)
    assert (done.agreed, done.silent) == (1, 1)


def test_names_and_code(folding):
    reducers, _ = folding()
    assert name_of(reducers[0]) == "folds.reduce_count"
    before = code_of(reducers)
    reducers, _ = folding(SOURCE + "\n")
    assert before.keys() == code_of(reducers).keys()
    assert not set(before.values()) & set(code_of(reducers).values())
