"""Awaiting what must not be left half done: a start, a file being written, the end of a process.

asyncio lets a cancelled caller go while the thread or process it waited for goes on. For a child
that is being started this means, up to Python 3.13, a wait for ever: a bubblewrap that is killed
before it has tied its own child to itself leaves that child behind, with our pipes in its hands.

Not covered: how long it takes. What is awaited here needs a bound of its own.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_its_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` to its end whatever happens to the caller, and return what it returns.

    A cancellation meanwhile is raised afterwards, and counts before an error of the coroutine.
    """
    task = asyncio.get_running_loop().create_task(coroutine)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # it was seen: the cancellation is what the caller is told
        raise cancelled
    return task.result()
