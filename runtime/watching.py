"""Looks every few seconds at what jobs follow: files, branches, authors; records what changed.

The first look at a place is recorded and wakes nobody: a change is a difference from it, also from
a look of a node that has been stopped since. While a run is owed nothing more is recorded, so that
a file that changes all the time costs two events a minute. A run's own changes count like others:
a job that writes into the folder it follows runs again a minute later.
"""

import asyncio
from typing import Any, Final

import structlog

from runtime.core.errors import JobRefused
from runtime.core.schedule import Watch
from runtime.jobs import JobBook

LOOK_EVERY_S: Final = 5.0
"""What a person who drops a file into a folder takes for at once."""


class Watcher:
    """Run `run()` in a task group of the node; cancel it to stop."""

    def __init__(self, book: JobBook) -> None:
        self._book = book
        self._logger: Any = structlog.get_logger("runtime.watching")

    async def run(self) -> None:
        """Look, again and again, until cancelled. Raises what the ledger raises."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Look at every place once."""
        for job in list(self._book.jobs):
            plan = job.spec.schedule
            if not isinstance(plan, Watch) or job.paused or job.fires != job.taken:
                continue
            try:
                looks = await self._book.sight(plan)
            except (JobRefused, OSError) as error:
                self._logger.warning("a job cannot look", job=job.name, error=str(error))
                continue
            if looks is not None:
                await self._book.noticed(job.id, plan, looks)
