import asyncio

import pytest

from mesh.tasks import first_error


async def forever():
    await asyncio.Event().wait()


async def fail_with(error, *after):
    for event in after:
        await event.wait()
    raise error


async def test_the_first_expected_error_ends_all():
    ended = []

    async def witness():
        try:
            await forever()
        finally:
            ended.append(True)

    error = await first_error((KeyError,), witness, lambda: fail_with(KeyError("a")))
    assert (error.args, ended) == (("a",), [True])


async def test_another_error_is_raised():
    with pytest.raises(ExceptionGroup) as caught:
        await first_error((KeyError,), forever, lambda: fail_with(ZeroDivisionError()))
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


async def test_a_cancellation_is_not_lost_when_a_child_fails_in_the_same_moment():
    go = asyncio.Event()
    running = asyncio.current_task()

    async def loop_for_ever():
        while True:
            await first_error((KeyError,), forever, lambda: fail_with(KeyError(), go))
            go.clear()

    async with asyncio.timeout(120):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(loop_for_ever())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            go.set()
            task.cancel()
    assert task.cancelled()
    assert not running.cancelling()


async def test_cancelled_before_it_began_it_leaves_nothing_behind():
    async with asyncio.TaskGroup() as group:
        task = group.create_task(first_error((KeyError,), forever))
        task.cancel()
    assert task.cancelled()
