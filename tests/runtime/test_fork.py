"""A fork reads like a log that was appended to, and the log never learns of it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.errors import NotFound
from ledger.core.event import Draft
from runtime.fork import Fork
from tests.runtime.world import new_log


def draft(number: int, key: bytes | None = None) -> Draft:
    return Draft(
        type="message.received", stream=bytes(16), payload={"n": number},
        content={"text": f"word {number}"}, idempotency_key=key,
    )  # fmt: skip


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


@given(st.integers(1, 6), st.integers(0, 4), st.integers(0, 12), st.integers(0, 12))
def test_it_reads_as_one_log(cut, added, start, stop):
    log = new_log()
    log.append_now(*[draft(number) for number in range(1, 8)])
    fork = Fork(log, cut, lambda: 5)
    asyncio.run(fork.append(*[draft(100 + number) for number in range(added)]))
    numbers = [*range(cut), *range(100, 100 + added)]
    assert fork.size == len(numbers)
    for read in (fork.events, fork.as_written):
        found = [event.payload.get("n", 0) for event in read(start, stop)]
        assert found == numbers[start:stop]
        assert [event.payload.get("n", 0) for event in read()] == numbers
    assert [fork.read(at).position for at in range(fork.size)] == list(range(fork.size))
    with pytest.raises(NotFound):
        fork.read(fork.size)
    assert log.size == 8
    streamed = [event.payload.get("n", 0) for event in fork.stream(bytes(16), last=3)]
    assert streamed == numbers[-3:]


async def test_keys_of_what_came_after_the_fork_are_not_known_and_its_own_are():
    log = new_log()
    await log.append(draft(1, key(1)), draft(2, key(2)))
    fork = Fork(log, 2, lambda: 5)
    assert fork.find(key(1)).payload["n"] == 1
    assert fork.find(key(2)) is None
    [made] = await fork.append(draft(3, key(2)))
    assert (made.position, made.payload["n"]) == (2, 3)
    [again] = await fork.append(draft(9, key(2)))
    assert again is made
    assert log.find(key(2)).payload["n"] == 2
    assert fork.own == [made]
    assert made.content == {"text": "word 3"}
    log.close()


async def test_it_is_followed_as_it_grows():
    fork = Fork(new_log(), 1, lambda: 5)
    seen = []

    async def follow():
        async for event in fork.follow():
            seen.append(event.position)
            if len(seen) == 4:
                return

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(follow())
        await fork.append(draft(1))
        await asyncio.sleep(0)
        await fork.append(draft(2), draft(3))
    assert seen == [0, 1, 2, 3]
