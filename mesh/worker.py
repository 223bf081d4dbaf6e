"""One thread for one store: blocking calls leave the event loop and come one at a time.

Results reach the loop in the order in which the calls were made, which the relay relies on.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Worker:
    """Runs functions in its own single thread, which starts with the first of them."""

    def __init__(self, name: str) -> None:
        self._closed = False
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def submit(self, function: Callable[[], T]) -> "asyncio.Future[T]":
        """Queue a call and return its future. Cancelling the future does not stop the call."""
        return asyncio.get_running_loop().run_in_executor(self._pool, function)

    async def close(self, last: Callable[[], None]) -> None:
        """Run `last` after everything that was queued, then end the thread; once."""
        if self._closed:
            return
        self._closed = True
        try:
            await self.submit(last)
        finally:
            self._pool.shutdown(wait=False)
