"""Tasks that end together, for connections, where an error is how each ends; and a timer."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn, TypeVar

E = TypeVar("E", bound=Exception)


async def first_error(
    expected: tuple[type[E], ...], *functions: Callable[[], Awaitable[NoReturn]]
) -> E:
    """Run functions side by side until one raises an `expected` error; end the others, return it.

    Any other error ends them all and is raised, in a group. Letting the expected ones pass
    through the TaskGroup would be shorter, but before Python 3.13 a group that is cancelled in the
    moment a child fails reports the failure and forgets the cancellation.
    """
    ended: asyncio.Future[E] = asyncio.get_running_loop().create_future()

    async def guard(function: Callable[[], Awaitable[NoReturn]]) -> None:
        try:
            await function()
        except expected as error:
            if not ended.done():
                ended.set_result(error)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(guard(function)) for function in functions]
        try:
            return await ended
        finally:
            for task in tasks:
                task.cancel()


Timer = Callable[[asyncio.Event, float], Awaitable[None]]
"""Return when the event is set, or after so many seconds."""


async def wait(event: asyncio.Event, seconds: float) -> None:
    """The timer of a node: `Timer`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
