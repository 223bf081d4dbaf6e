"""Script jobs: an argument vector, without a shell, its output kept and its time bounded.

What a confined script sees, in bubblewrap
    /usr and what belongs to it    the system's programs and libraries, read-only
    /scripts                       `scripts` of the agent's home, read-only, if there is one
    /work, /tmp                    empty, in memory, gone with it; /work is where it starts
    PATH, HOME, LANG, TZ, PWD      and nothing else of the node's environment
    TIMMY_RUN, TIMMY_FENCE         of a job that a fleet shares: the run's name, the same at every
                                   member, and what proves which member was to do it; both in hex
    and no home, no /etc, no /proc, no network of any family, no process but its own.

Before each run the permission rules are asked (runtime.job_door).

What is covered: files, network, other processes, environment, terminal, time, output (the last
16 KiB are kept), memory and the number of processes where a control group can be made. When the
time is up, or the node stops, every process it started is killed.

What is not covered: CPU; memory where no control group can be made; with Landlock what
runtime.landlock says, where /scripts is the folder's own name and /work a room. A script that is
*not* confined, which the job must say, runs as the node's user with its files and network; it has
PATH, HOME, LANG and TIMMY_HOME of the environment, no more. What it starts in a session of its own
outlives it, and it outlives itself a node that is killed: the run is then ended as interrupted
while the program may still be at work.
"""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from runtime import sandbox
from runtime.child import Child
from runtime.core.errors import JobRefused
from runtime.core.jobs import DONE, Job, Run
from runtime.core.jobspec import Words
from runtime.job_door import JobDoor
from runtime.sandbox import MIB, Engine, SandboxLimits
from runtime.scheduler import Result

_KEPT: Final = ("PATH", "HOME", "LANG")
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_MEMORY_BYTES: Final = 256 * MIB
"""A quarter of the smallest machine this is for, as for an agent process."""
_PIDS: Final = 64
"""A pipeline of a shell script has five; a fork bomb ends here."""
TIMED_OUT: Final = "timed out"
FAILED: Final = "failed"


def _alone(_run: Run) -> bytes | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripts:
    """Runs scripts of one home. `engine` is how the machine can confine them."""

    home: Path
    engine: Engine
    clock: Callable[[], int]
    """Unix milliseconds."""
    door: JobDoor
    allowed: Callable[[Job], Mapping[str, Any] | None]
    """What is on record of a job's permission."""
    fence: Callable[[Run], bytes | None] = _alone
    """What goes with the effects of a run that a fleet shares."""

    async def __call__(self, run: Run, job: Job, words: Words) -> Result:
        """Run the script of a job to its end. Raises JobRefused, SandboxError, OSError."""
        confined, fence = job.spec.confined, self.fence(run)
        self.door.check(words.argv, confined=confined, allowed=self.allowed(job))
        given = {} if fence is None else {"TIMMY_RUN": run.id.hex(), "TIMMY_FENCE": fence.hex()}
        return await self.carry_out(
            words.argv, limit_s=job.spec.limit_s, confined=confined, given=given
        )

    async def carry_out(
        self,
        argv: Sequence[str],
        *,
        limit_s: float,
        confined: bool,
        given: Mapping[str, str] = NOTHING,
    ) -> Result:
        """Run `argv` for at most `limit_s`, `given` in its environment; raises as `__call__`."""
        if confined and self.engine is Engine.NONE:
            raise JobRefused(
                "scripts cannot be confined on this machine",
                hint="timmy doctor says why; or add the job with --unconfined",
            )
        ours, theirs = socket.socketpair()
        ours.close()  # its standard input is at its end
        start = self._confined if confined else self._bare
        began_ms = self.clock()
        child = await start(argv, theirs, limit_s, given)
        try:
            code = await child.wait()
        finally:
            await child.end()
        took_ms = max(0, self.clock() - began_ms)
        facts = {"exit": code, "confined": confined, "took_ms": took_ms}
        if child.timed_out:
            return Result(outcome=TIMED_OUT, facts=facts, output=child.stderr_tail())
        outcome = FAILED if code else DONE
        return Result(outcome=outcome, facts=facts, output=child.stderr_tail())

    async def _confined(
        self,
        argv: Sequence[str],
        channel: socket.socket,
        limit_s: float,
        given: Mapping[str, str],
    ) -> Child:
        folder = self.home / "scripts"
        limits = SandboxLimits(memory_bytes=_MEMORY_BYTES, pids=_PIDS, wall_s=limit_s)
        return await sandbox.spawn_script(
            argv, channel,
            limits=limits, engine=self.engine, folder=folder if folder.is_dir() else None,
            given=given,
        )  # fmt: skip

    async def _bare(
        self,
        argv: Sequence[str],
        channel: socket.socket,
        limit_s: float,
        given: Mapping[str, str],
    ) -> Child:
        env = {name: os.environ[name] for name in _KEPT if name in os.environ}
        child = Child(wall_s=limit_s)
        with channel:
            try:
                await child.start(
                    list(argv), channel, folder=str(self.home),
                    env=env | {"TIMMY_HOME": str(self.home)} | dict(given),
                )  # fmt: skip
            except BaseException:
                await child.abandon()
                raise
        return child
