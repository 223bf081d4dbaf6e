"""What the node mends by itself, every six hours: the healer, a job of its own.

    search     an index that is damaged is computed again from the ledger
    agent      a message that waits for more than half an hour: its process is started anew, and the
               turn given again, as after a crash
    space      less than a tenth of the disk free: rotated logs, and what a killed restore left
               behind, are removed

Each is what a person would try first, costs nothing that is on record, and is told at the end of
the run. What it cannot mend stays an alarm (`runtime.core.alarms`). Not covered: the ledger itself,
which nothing mends by itself (`timmy doctor --salvage`), and other programs of the machine.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from ledger.core.errors import StoreDamaged, TimmyError
from ledger.looking import guarded
from ledger.sql import connect
from ledger.views import Views
from node.agent.hosts import Hosts
from node.home import Home
from node.keeping.restore import remove_leftovers
from runtime.core.alarms import DISK_FREE_PERCENT_MIN, STUCK_S_MAX
from runtime.core.jobs import DONE, Job, Run
from runtime.core.jobspec import Words
from runtime.journal import Journal
from runtime.scheduler import Result

FAILED: Final = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Healer:
    """A runner of the scheduler. `machine` says what the disk has; `clock` is Unix milliseconds."""

    home: Home
    views: Views
    host: Hosts
    journal: Journal
    machine: Callable[[], dict[str, int]]
    clock: Callable[[], int]

    async def __call__(self, run: Run, job: Job, words: Words) -> Result:
        """Look at everything once, and mend what can be."""
        del run, job, words
        acts: list[tuple[str, Callable[[], Awaitable[str]]]] = [
            ("search", self._search),
            ("agent", self._agent),
            ("space", self._space),
        ]
        done: list[dict[str, Any]] = []
        for name, act in acts:
            try:
                told, good = await act(), True
            except (TimmyError, OSError) as error:
                told, good = f"could not be mended: {type(error).__name__}", False
            if told:
                structlog.get_logger(__name__).warning("mended", what=name, done=told)
                done.append({"what": name, "good": good, "done": told})
        text = "\n".join(f"{one['what']}: {one['done']}" for one in done)
        outcome = DONE if all(one["good"] for one in done) else FAILED
        return Result(outcome=outcome, facts={"acts": done}, output=text or "all is well\n")

    async def _search(self) -> str:
        try:
            await asyncio.to_thread(self._check_views)
        except StoreDamaged:
            self.views.rebuild()
            return "the index was damaged, and is computed again"
        return ""

    def _check_views(self) -> None:
        """Read every page of the index. Raises StoreDamaged."""
        if not self.home.views.exists():
            raise StoreDamaged(f"{self.home.views} is gone")
        with guarded(self.home.views):
            connection = connect(self.home.views, read_only=True)
            try:
                [[verdict]] = list(connection.execute("pragma quick_check(1)"))
            finally:
                connection.close()
        if verdict != "ok":
            raise StoreDamaged(f"{self.home.views}: {verdict}"[:200])

    async def _agent(self) -> str:
        log, now_s = self.journal.log, self.clock() // 1000
        waits = [now_s - log.read(at).ts_ms // 1000 for at in self.journal.turns.pending]
        if max(waits, default=0) <= STUCK_S_MAX:
            return ""
        self.host.begin_anew()
        return f"a message waited for {max(waits) // 60} minutes: the agent begins anew"

    async def _space(self) -> str:
        machine = self.machine()
        total, free = machine.get("disk_bytes", 0), machine.get("disk_free_bytes", 0)
        if not total or 100 * free >= DISK_FREE_PERCENT_MIN * total:
            return ""
        freed = await asyncio.to_thread(self._remove_rest)
        return f"{100 * free // total} % of the disk were free: {freed} bytes of old logs are gone"

    def _remove_rest(self) -> int:
        freed = 0
        for old in self.home.logs.glob("node.log.*"):
            freed += old.stat().st_size
            old.unlink(missing_ok=True)
        remove_leftovers(self.home.path)
        return freed
