"""Asking one member by several addresses, so that a silent one does not stand before the others."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

from mesh.core.fleet.manifest import URLS_MAX

WAYS_MAX: Final = 2 * URLS_MAX
"""A member's own addresses, and those of another one that brings it what it is to have."""

_Answer = TypeVar("_Answer")


async def first_answer(
    ask: Callable[[str, float], Coroutine[Any, Any, _Answer | None]],
    urls: Iterable[str],
    seconds: float,
) -> _Answer | None:
    """Ask at one address, at the next too as soon as that fails or is silent for a while.

    The first answer is returned, and the other questions are cancelled; None if there is none
    within `seconds`, of which `ask` is told how many are left. Two addresses may hear the same: so
    it must do nothing when it is heard again. All of WAYS_MAX addresses have their turn in time.
    """
    left, now = deque(urls), asyncio.get_running_loop().time
    until, asked = now() + seconds, set[asyncio.Task[_Answer | None]]()
    async with asyncio.TaskGroup() as group:
        while left or asked:
            if left:
                asked.add(group.create_task(ask(left.popleft(), until - now())))
            pause = seconds / WAYS_MAX if left else None
            done, asked = await asyncio.wait(
                asked, timeout=pause, return_when=asyncio.FIRST_COMPLETED
            )
            found = next((one for task in done if (one := task.result()) is not None), None)
            if found is not None:
                for task in asked:
                    task.cancel()
                return found
    return None
