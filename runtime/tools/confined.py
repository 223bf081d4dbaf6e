"""Runs a program for a tool: in the sandbox, in the working folder, without network, to its end.

What it sees
    the folder      under the name it has, read-only or not; `.timmy` in it stays as it is, lest a
                    program change the rules of its project
    /usr            and what belongs to it, read-only
    /tmp            empty, in memory, gone with it; HOME is there. By Landlock another folder, which
                    HOME and TMPDIR name
    and no home, no /etc, no /proc, no environment but PATH, HOME, LANG, TZ, PWD, no process of
    others, no network of any family: neither the node's port nor any other is within its reach.

When its time is up, or nobody waits for it any more, every process it started is killed; a program
that leaves children behind leaves them dead. Bounds: memory and processes where a control group can
be made, the size of a file, open files, CPU time, output.

What is not covered: the disk that the folder lies on; with Landlock what runtime.landlock says. Nor
what a program leaves in the folder for others to run, git hooks among it: whoever works there
outside of the sandbox should look first.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from runtime import sandbox
from runtime.bubblewrap import Bench
from runtime.core.errors import ToolFailed
from runtime.core.tool import ToolResult
from runtime.sandbox import MIB, Engine, SandboxError, SandboxLimits
from runtime.tools.keeping import Keeping

_MEMORY_BYTES: Final = 512 * MIB
"""A compiler's need; half of the smallest machine this is for."""
_PIDS: Final = 128
"""A build with a few workers; a fork bomb ends here."""
_FILE_KIB: Final = 1024 * 1024
"""One file: a gigabyte."""
_OPEN_FILES: Final = 512
OUTPUT_BYTES: Final = MIB
"""Kept of what it writes, its end; the toolbox cuts that to what a model is given."""
_BOUNDED: Final = 'ulimit -c 0 -n "$1" -f "$2" -t "$3"; shift 3; exec "$@"'
KEPT: Final = ".timmy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a program ended. `output` is the last of it, and `left_out` bytes came before."""

    code: int
    output: str
    left_out: int
    timed_out: bool

    def result(self, *, good: Sequence[int] = (0,)) -> ToolResult:
        """Return it for a model: the status first, since a long output is cut."""
        ended = "its time is up, it was killed" if self.timed_out else f"exit status {self.code}"
        lost = f"\n[{self.left_out} bytes before this were left out]" if self.left_out else ""
        return ToolResult(
            text=f"[{ended}]{lost}\n{self.output}",
            is_error=self.timed_out or self.code not in good,
            left_out=self.left_out,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Confined:
    """Runs programs. `engine` is how this machine can confine them."""

    engine: Engine
    keeping: Keeping = field(default_factory=Keeping)

    async def run(
        self,
        argv: Sequence[str],
        *,
        folder: str,
        write: bool,
        seconds: float,
        given: Sequence[tuple[str, str]] = (),
    ) -> Ran:
        """Run `argv` in `folder` for at most `seconds`. Raises ToolFailed if it cannot start."""
        if self.engine is Engine.NONE:
            raise ToolFailed("programs cannot be confined on this machine: no engine works here")
        if await asyncio.to_thread(os.path.realpath, folder) != folder:
            raise ToolFailed("the working folder leads elsewhere than when the node started")
        kept = os.path.join(folder, KEPT)  # noqa: PTH118 - a text, as the sandbox takes it
        bench = Bench(
            folder=folder,
            write=write,
            kept=(kept,) if await asyncio.to_thread(os.path.isdir, kept) else (),
            given=tuple(given),
        )
        if self.engine is Engine.LANDLOCK and bench.write and bench.kept:
            async with self.keeping.kept(Path(kept)) as said:
                ran = await self._at(bench, argv, seconds)
            return replace(ran, output="".join(f"{line}\n" for line in said) + ran.output)
        return await self._at(bench, argv, seconds)

    async def _at(self, bench: Bench, argv: Sequence[str], seconds: float) -> Ran:
        bounds = [str(_OPEN_FILES), str(_FILE_KIB), str(max(1, round(seconds * 2)))]
        ours, theirs = socket.socketpair()
        ours.close()  # its standard input is at its end
        try:
            child = await sandbox.spawn_tool(
                ["bash", "--norc", "--noprofile", "-c", _BOUNDED, "tool", *bounds, *argv],
                theirs,
                limits=SandboxLimits(memory_bytes=_MEMORY_BYTES, pids=_PIDS, wall_s=seconds),
                engine=self.engine,
                bench=bench,
                output_bytes=OUTPUT_BYTES,
            )
        except (SandboxError, OSError) as error:
            raise ToolFailed(f"the sandbox does not start: {error}") from error
        try:
            code = await child.wait()
        finally:
            await child.end()
        output = child.stderr_tail()
        left_out = max(0, child.output_bytes - OUTPUT_BYTES)
        return Ran(code=code, output=output, left_out=left_out, timed_out=child.timed_out)
