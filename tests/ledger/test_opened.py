"""Newest events are opened once: the same object for all who look, and no erased word in it."""

import asyncio
import gc
import weakref

import pytest

from ledger.core.errors import StoreDamaged
from ledger.log import Log
from ledger.memory import MemoryStore
from ledger.opened import CONTENT_BYTES_MAX, OPENED_MAX
from ledger.sqlite import SqliteStore
from tests.ledger.makers import fact, genesis, message, open_log


@pytest.fixture
def log(tmp_path):
    with open_log(SqliteStore.create(tmp_path / "ledger.db")) as log:
        log.append_now(genesis())
        yield log


def test_an_event_that_was_looked_at_is_the_same_for_the_next(log):
    log.append_now(*[message(str(n)) for n in range(5)])
    first = log.read(3)
    assert log.read(3) is first
    assert next(log.as_written(3)) is first
    assert next(log.events(3, 4)) is not first, "who reads everything checks everything"
    assert next(log.events(3, 4)) == first


async def test_followers_share_what_was_opened(log):
    async def take(count):
        found = []
        async for event in log.follow(1):
            found.append(event)
            if len(found) == count:
                break
        return found

    async with asyncio.TaskGroup() as group:
        both = [group.create_task(take(3)) for _ in range(2)]
        await log.append(message("a"))
        await log.append(message("b"), fact(1))
    one, other = (task.result() for task in both)
    assert [event.position for event in one] == [1, 2, 3]
    assert all(a is b for a, b in zip(one, other, strict=True))


def test_a_redaction_is_seen_by_whoever_looks_after_it(log):
    log.append_now(*[message(f"secret {n}") for n in range(4)])
    held = [log.read(n) for n in range(1, 5)]
    log.append_now(log.redaction([2, 3], reason="r", actor="a"))
    assert [log.read(n).content is None for n in range(1, 5)] == [False, True, True, False]
    assert [event.content is None for event in log.as_written(1, 5)] == [False, True, True, False]
    assert all(event.content is not None for event in held), "what was given out is its reader's"


def test_what_is_being_read_while_words_are_erased_is_not_kept(log):
    """A reader who began before the redaction puts what he found where nobody looks any more."""
    log.append_now(*[message(f"secret {n}") for n in range(4)])
    reader = log.as_written(1, 5)
    next(reader)
    log.append_now(log.redaction([2], reason="r", actor="a"))
    list(reader)
    assert log.read(2).content is None


def test_more_events_than_are_kept_are_those_that_were_written(log):
    count = 2 * OPENED_MAX + 3
    for start in range(0, count, 500):
        log.append_now(*[message(str(n)) for n in range(start, min(start + 500, count))])
    for _ in range(2):
        seen = [event.content["text"] for event in log.as_written(1)]
        assert seen == [str(n) for n in range(count)]
        assert log.read(1).content["text"] == "0"
        assert log.read(1 + OPENED_MAX).content["text"] == str(OPENED_MAX)


def test_long_words_are_read_anew(log):
    log.append_now(message("x" * CONTENT_BYTES_MAX), message("short"))
    assert log.read(1) is not log.read(1)
    assert log.read(2) is log.read(2)


def test_a_log_that_others_write_to_keeps_nothing(tmp_path, log):
    log.append_now(message("secret"))
    store = SqliteStore.open_read_only(tmp_path / "ledger.db")
    with Log(store, clock=lambda: 0, entropy=bytes, reading=True) as reader:
        assert reader.read(1).content == {"text": "secret"}
        log.append_now(log.redaction([1], reason="r", actor="a"))
        assert reader.read(1).content is None


def test_damage_is_met_by_the_first_look():
    store = MemoryStore()
    with open_log(store) as log:
        log.append_now(genesis(), message("a"))
        record = next(store.records(1, 2))
        store._records[1] = record._replace(salt=bytes(32))
        with pytest.raises(StoreDamaged, match="event 1"):
            log.read(1)
        with pytest.raises(StoreDamaged, match="event 1"):
            list(log.as_written())


def test_a_log_that_is_dropped_is_gone_at_once():
    """Left to the garbage collector, its file would be closed after what stands under it."""
    log = open_log()
    log.append_now(genesis())
    assert [event.position for event in log.as_written()] == [0]
    seen = weakref.ref(log)
    gc.disable()
    try:
        del log
        assert seen() is None
    finally:
        gc.enable()
