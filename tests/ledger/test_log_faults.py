"""A store that fails while a commit is prepared: told to whom it concerns, and over with that."""

import asyncio

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
