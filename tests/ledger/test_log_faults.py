"""A store that fails while a commit is prepared: told to whom it concerns, and over with that."""

import asyncio
import threading

import pytest

from ledger.core.errors import StoreError
from ledger.memory import MemoryStore

from .makers import genesis, message, open_log


class Unreadable(MemoryStore):
    """A store whose next look-ups fail, as many as `faults` says."""

    faults = 0

    def position_of(self, idempotency_key):
        if self.faults:
            self.faults -= 1
            raise StoreError("the store cannot be read: disk I/O error")
        return super().position_of(idempotency_key)

    def stream_length(self, stream):
        if self.faults and stream == b"f" * 16:
            self.faults -= 1
            raise StoreError("the store cannot be read: disk I/O error")
        return super().stream_length(stream)


@pytest.mark.parametrize("draft", [message(key=b"k" * 16), message(stream=b"f" * 16)])
async def test_a_failed_look_up_is_told_and_the_writer_lives_on(draft):
    """Found by power loss below SQLite: the writer's thread died, and every later append hung."""
    store = Unreadable()
    with open_log(store) as log:
        log.append_now(genesis())
        await log.append(message("before"))
        store.faults = 1
        async with asyncio.timeout(20):
            with pytest.raises(StoreError, match="cannot be read"):
                await log.append(draft)
            assert log.size == 2
            await log.append(draft)
        assert log.size == 3
        assert [event.position for event in log.events()] == [0, 1, 2]


async def test_a_failed_look_up_fails_one_request_of_a_commit():
    """What others asked for in the same commit is not undone."""
    store = Unreadable()
    with open_log(store) as log:
        log.append_now(genesis())
        store.faults = 1
        results = []

        async def ask(number):
            try:
                results.append(await log.append(message(str(number), key=bytes([number]) * 16)))
            except StoreError as error:
                results.append(error)

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(ask(number))
        failed = [result for result in results if isinstance(result, StoreError)]
        assert (len(results), len(failed), log.size) == (20, 1, 20)


class Breaking(MemoryStore):
    """A store with a bug: what it raises is no error of ours."""

    breaks = ""

    def position_of(self, idempotency_key):
        if self.breaks == "gather":
            raise KeyError("Wolframbeere")
        return super().position_of(idempotency_key)

    def append(self, batch):
        if self.breaks == "store":
            raise ZeroDivisionError("Wolframbeere")
        super().append(batch)

    def scrub(self):
        if self.breaks == "scrub":
            raise ValueError("Wolframbeere")
        return self.breaks != "owed"


async def test_a_bug_while_preparing_fails_its_callers_and_the_log_goes_on(caplog):
    store = Breaking()
    with open_log(store) as log:
        log.append_now(genesis())
        store.breaks = "gather"
        async with asyncio.timeout(20):
            with pytest.raises(StoreError, match="unforeseen KeyError") as caught:
                await log.append(message(key=b"k" * 16))
            assert isinstance(caught.value.__cause__, KeyError)
            store.breaks = ""
            [event] = await log.append(message(key=b"k" * 16))
        assert (event.position, log.size) == (1, 2)
    assert "unforeseen KeyError: test_log_faults.py" in caplog.text
    assert "Wolframbeere" not in caplog.text, "its message may quote what was said"


async def test_a_bug_while_storing_ends_the_log_in_words():
    """Nobody knows what the store holds: an answer that might be wrong is worse than none."""
    store = Breaking()
    with open_log(store) as log:
        log.append_now(genesis())
        store.breaks = "store"
        async with asyncio.timeout(20):
            with pytest.raises(StoreError, match="unforeseen ZeroDivisionError"):
                await log.append(message())
            store.breaks = ""
            for _ in range(2):
                with pytest.raises(StoreError, match="no event is taken any more") as caught:
                    await log.append(message())
            assert "start it again" in caught.value.hint
        assert log.size == 1
        assert [event.position for event in log.events()] == [0]
        with pytest.raises(StoreError, match="no event is taken"):
            log.append_now(message())


async def test_a_bug_while_scrubbing_leaves_it_owed_and_the_writer_alive():
    store = Breaking()
    store.breaks = "owed"
    with open_log(store) as log:
        log.append_now(genesis())
        store.breaks = "scrub"
        async with asyncio.timeout(20):
            await log.append(message())
            assert log.erasing
            store.breaks = ""
            await log.append(message())
        assert not log.erasing


def test_a_caller_whose_loop_is_closed_takes_nobody_along():
    store = MemoryStore()
    with open_log(store) as log:
        log.append_now(genesis())
        entered, go_on = threading.Event(), threading.Event()
        append = store.append

        def slowly(batch):
            entered.set()
            assert go_on.wait(20)
            append(batch)

        store.append = slowly

        async def leave():
            task = asyncio.ensure_future(log.append(message()))
            while not entered.is_set():
                await asyncio.sleep(0.001)
            task.cancel()

        asyncio.run(leave())
        go_on.set()
        store.append = append

        async def stay():
            async with asyncio.timeout(20):
                return await log.append(message())

        [event] = asyncio.run(stay())
        assert event.position == 2
