"""One child process on the host: its output, its end, and what must be released after it.

asyncio's subprocess protocol, driven by callbacks, so that a child needs no task of its own. The
child counts as ended only when the last process of its namespace is dead, its output was read, and
its control group and folder are gone.

Not covered: what runs in it and how it is held (runtime.sandbox).
"""

import asyncio
import os
import signal
import socket
import subprocess
from contextlib import suppress
from typing import Final, Protocol, cast

from runtime.cgroups import Cgroup, Usage
from runtime.tasks import to_its_end

OUTPUT_TAIL_BYTES_MAX: Final = 16 * 1024
"""A traceback and the lines before it."""
OUTPUT_PAUSE_S: Final = 0.05
"""After each read: at asyncio's 256 KiB a read, a flood costs us 5 MB a second, no more."""


class Folder(Protocol):
    """A folder on the host that goes with the child."""

    def cleanup(self) -> None:
        """Remove it; every process of the child is dead."""
        ...


class Child(asyncio.SubprocessProtocol):
    """A running agent process. Made by `runtime.sandbox.spawn` only."""

    def __init__(self, *, wall_s: float | None, tail_bytes: int = OUTPUT_TAIL_BYTES_MAX) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._done: asyncio.Future[int] = loop.create_future()
        self._transport: asyncio.SubprocessTransport | None = None
        self._tail = bytearray()
        self._tail_bytes = tail_bytes
        self.output_bytes = 0
        """All it wrote, kept or not."""
        self._first: int | None = None
        self._cgroup: Cgroup | None = None
        self._folder: Folder | None = None
        self._warden = False
        self._usage = Usage()
        self._collected = False
        self._timer = None if wall_s is None else loop.call_later(wall_s, self._out_of_time)
        self.timed_out = False

    @property
    def pid(self) -> int:
        """The process id on the host of the engine's process."""
        return self._process().get_pid()

    async def wait(self) -> int:
        """Return the exit status once every process of the child is dead; 128 + n: signal n."""
        return await asyncio.shield(self._done)

    def kill(self) -> None:
        """End the child and all it started, at once. A dead one is left alone."""
        if self._done.done() or self._collected:
            return
        if self._warden:  # it has the means to end all, and ends when that is done
            if self._process().get_returncode() is None:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGTERM)
            return
        with suppress(ProcessLookupError):
            if self._first is not None:
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            else:
                os.killpg(self.pid, signal.SIGKILL)
        # Not the transport's kill: it polls first, reaps, and the watcher then reports 255.
        if self._process().get_returncode() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def end(self) -> int:
        """Kill it and return its exit status, cancelled or not: nothing is left when this returns.

        SIGKILL is the bound of this wait.
        """
        self.kill()
        return await to_its_end(self.wait())

    def stderr_tail(self) -> str:
        """The last of what it wrote to its standard output and error, joined."""
        return self._tail.decode(errors="replace")

    @property
    def counted(self) -> bool:
        """Whether a control group bounds its memory."""
        return self._cgroup is not None

    def usage(self) -> Usage:
        """What the control group has counted so far; empty without one."""
        if self._cgroup is not None and not self._done.done():
            self._usage = self._cgroup.usage()
        return self._usage

    def hold(
        self,
        *,
        first: int | None = None,
        cgroup: Cgroup | None = None,
        folder: Folder | None = None,
        warden: bool = False,
    ) -> None:
        """Take over what must be released when the child is dead (`spawn` calls this).

        `first` is a pidfd of the namespace's first process: when that one ends, the kernel has
        ended all others. `warden`: the first process ends what it started when it is asked to.
        """
        if first is not None and self._collected:
            os.close(first)  # it has ended while we were about to take hold of it
        elif first is not None:
            self._first = first
        self._cgroup = self._cgroup if cgroup is None else cgroup
        self._folder = self._folder if folder is None else folder
        self._warden = self._warden or warden

    async def start(
        self,
        argv: list[str],
        channel: socket.socket,
        *,
        pass_fds: tuple[int, ...] = (),
        folder: str | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        """Run `argv`, with no environment but `env`, in a session of its own (`spawn` calls this).

        Raises OSError.
        """
        await self._loop.subprocess_exec(
            lambda: self,
            *argv,
            stdin=channel.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
            cwd=folder,
            env={} if env is None else env,
            start_new_session=True,
        )

    async def abandon(self) -> None:
        """Leave nothing behind of a start that failed (`spawn` calls this)."""
        if self._transport is None:
            await asyncio.to_thread(self._release)
            self._done.set_result(-1)
        else:
            await self.end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio calls this)."""
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep the end of the output, and read no more for a moment."""
        self._tail += data
        self.output_bytes += len(data)
        del self._tail[: -self._tail_bytes]
        pipe = self._process().get_pipe_transport(fd)
        if isinstance(pipe, asyncio.ReadTransport):
            pipe.pause_reading()
            self._loop.call_later(OUTPUT_PAUSE_S, pipe.resume_reading)

    def process_exited(self) -> None:
        """Sweep what the first process left behind in its group, where no namespace does it.

        With the bare engine that is the tree's doing. With bubblewrap it is a start cut short: its
        child is tied to it, and leaves the group, only after it was put into its control group.
        """
        if self._first is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The engine is dead and its output read: now wait for the namespace's last process."""
        if self._first is None:
            self._collect()
        else:
            self._loop.add_reader(self._first, self._collect)

    def _process(self) -> asyncio.SubprocessTransport:
        assert self._transport is not None
        return self._transport

    def _out_of_time(self) -> None:
        self.timed_out = True
        self.kill()

    def _collect(self) -> None:
        self._collected = True
        if self._first is not None:
            self._loop.remove_reader(self._first)
        code = self._process().get_returncode() or 0
        status = code if code >= 0 else 128 - code
        self._process().close()
        released = self._loop.run_in_executor(None, self._release)
        released.add_done_callback(lambda _: self._done.set_result(status))

    def _release(self) -> None:
        """Give back what `hold` took. Runs once, in a worker thread: it touches files."""
        if self._timer is not None:
            self._loop.call_soon_threadsafe(self._timer.cancel)
        if self._first is not None:
            os.close(self._first)
            self._first = None
        if self._cgroup is not None:
            self._usage = self._cgroup.usage()
            self._cgroup.end()
            self._cgroup.remove()
        if self._folder is not None:
            self._folder.cleanup()
