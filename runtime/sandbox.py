"""Starts an agent process that can do nothing but compute and talk over one socket.

`spawn` runs `main.py` of an architecture tree under a fresh interpreter with the given socket as
file descriptor 0. The engine is bubblewrap: own user, process, network, IPC, host-name and
control-group namespaces; no capability; the filter of runtime.core.seccomp.

What the child sees
    /tree      the architecture tree, read-only, first on sys.path
    /site      cbor2, read-only, last on sys.path; nothing else of the host's environment
    /snapshot  a file or folder given by the caller, read-only; a copy, never a live home
    /state     an empty tmpfs of `state_bytes`, its working directory, gone with it
    /dev       null, zero and urandom
    and, read-only, the interpreter's standard library and the system's shared libraries. There is
    no /proc, no /etc, no home, no /usr/bin, no environment but PWD.

What is covered: files (outside reading and all writing), network of every family, UNIX sockets
lying in a mount, other processes, new processes, inherited descriptors, environment, terminal;
limits on memory, threads, CPU time, wall time, file size, disk, and how fast its output is read.
The kernel ends the child when this process ends, and `Child.wait` returns only when the last
process of its namespace is dead.

What is not covered: bugs in the kernel; timing and cache side channels; a busy core (CPU time is
limited in total, not per second); what the child writes on its channel, which the caller must
bound. Memory is counted by a control group where one can be made (root, or a delegated group),
else the limit holds for address space and the tmpfs comes on top.

Engine NONE runs the same interpreter with the same rlimits, an empty environment and a process
group of its own: no containment at all. It is for machines where the operator trusts the tree;
a judge must not accept anything under it.

Start to first byte from the child, median on two old cores: 35 ms; a bare interpreter takes 16.
"""

import asyncio
import os
import socket
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

from runtime import bubblewrap, cgroups, interpreter
from runtime.bubblewrap import SandboxError
from runtime.cgroups import Usage
from runtime.child import Child
from runtime.core import seccomp
from runtime.tasks import to_its_end

__all__ = [
    "MIB",
    "Child",
    "Engine",
    "Probe",
    "SandboxError",
    "SandboxLimits",
    "Usage",
    "detect",
    "probe",
    "spawn",
]

MIB: Final = 1024 * 1024
PROBE_S: Final = 10.0
"""A start takes 25 ms; a machine that needs four hundred times that cannot run an agent."""
START_S: Final = 30.0
"""How long bubblewrap may take to make its namespaces, 10 ms on an idle machine."""
DESCRIPTORS_MAX: Final = 64
"""The agent opens its modules one at a time, a database, and little else."""


class Engine(StrEnum):
    """How a child is held. The values are what verdicts and status reports say."""

    BUBBLEWRAP = "bubblewrap"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """Bounds of one child. None means unbounded, for a process that is meant to live."""

    memory_bytes: int = 256 * MIB
    """The interpreter takes 12 MiB; a view of a million events is of this order."""
    pids: int = 16
    """Threads, and bubblewrap's own process; the agent can start no process."""
    cpu_seconds: int | None = None
    wall_s: float | None = None
    file_bytes: int = 64 * MIB
    """The largest single file in /state."""
    state_bytes: int = 64 * MIB
    """All of /state together; it counts as memory."""

    def __post_init__(self) -> None:
        for name in ("memory_bytes", "pids", "file_bytes", "state_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, at least 1 expected")
        for name in ("cpu_seconds", "wall_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}, more than 0 expected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a trial start found: the engine to use and, for NONE, the reason in a line."""

    engine: Engine
    reason: str = ""


_STUB: Final = """
import resource, sys
def _prepare():
    _, limits, tree, site, entry = sys.argv
    for item in limits.split(","):
        name, value = item.split("=")
        kind = getattr(resource, "RLIMIT_" + name)
        hard = resource.getrlimit(kind)[1]
        value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        resource.setrlimit(kind, (value, value))
    sys.path.insert(0, tree)
    if site:
        sys.path.append(site)
    path = tree + "/" + entry
    sys.argv = [path]
    globals()["__file__"] = path
    with open(path, "rb") as file:
        return compile(file.read(), path, "exec", dont_inherit=True)
exec(_prepare())
"""
"""Runs before the tree's first byte: lowers the limits for good, then becomes main.py. It is ours
and not `python main.py` because -I leaves the script's folder off the path, and because limits set
here do not weigh on the engine."""

_PROBE_MAIN: Final = """
import os, socket
def contained(attempt):
    try:
        attempt()
    except OSError:
        return True
    return False
attempts = {
    "a socket could be made": socket.socket,
    "a process could be started": os.fork,
    "the tree could be written": lambda: open(__file__, "ab"),
    "the root folder could be written": lambda: os.mkdir("/x"),
    "the home folders could be listed": lambda: os.listdir("/home") or os.listdir("/root"),
}
found = [name for name, attempt in attempts.items() if not contained(attempt)]
found += ["it has a real user id"] if os.getuid() != 65534 else []
found += ["it has an environment"] if set(os.environ) - {"PWD", "LC_CTYPE"} else []
os.write(0, "; ".join(found).encode() or b"contained")
"""


async def detect() -> Engine:
    """Return the strongest engine that works here, found by running a child in it."""
    return (await probe()).engine


async def probe() -> Probe:
    """Start a child that tries to get out, and say what came of it. Callers keep the answer."""
    if bubblewrap.program() is None:
        return Probe(engine=Engine.NONE, reason="bubblewrap (bwrap) is not on PATH")
    with tempfile.TemporaryDirectory(prefix="timmy-probe-") as folder:
        await asyncio.to_thread((Path(folder) / "main.py").write_text, _PROBE_MAIN)
        try:
            said = await _ask_probe(Path(folder))
        except (SandboxError, seccomp.UnsupportedMachine, OSError) as error:
            return Probe(engine=Engine.NONE, reason=str(error))
    if said != "contained":
        return Probe(engine=Engine.NONE, reason=f"the sandbox leaks: {said}")
    return Probe(engine=Engine.BUBBLEWRAP)


async def _ask_probe(tree: Path) -> str:
    ours, theirs = socket.socketpair()
    limits = SandboxLimits(cpu_seconds=int(PROBE_S), wall_s=PROBE_S)
    with ours:
        ours.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        child = await spawn(tree, theirs, limits=limits, engine=Engine.BUBBLEWRAP)
        try:
            said = await asyncio.get_running_loop().sock_recv(ours, 4096)
            code = await child.wait()
        finally:
            await child.end()
    if not said:
        raise SandboxError(f"trial ended with {code}: {child.stderr_tail().strip()[-300:]}")
    return said.decode(errors="replace")


async def spawn(
    tree: Path,
    channel: socket.socket,
    *,
    limits: SandboxLimits,
    engine: Engine,
    entry: str = "main.py",
    snapshot: Path | None = None,
) -> Child:
    """Start `entry` of `tree` with `channel` as its file descriptor 0; see the module.

    `channel` belongs to the child from here on: it is closed on this side in any case. Raises
    SandboxError if the engine cannot start, OSError if the machine cannot. A cancelled start is
    finished first, at most START_S long, and then undone: before that nobody could undo it all.
    """
    child = Child(wall_s=limits.wall_s)
    with channel:
        try:
            if engine is Engine.NONE:
                start = _spawn_bare(child, tree, channel, limits, entry)
            else:
                start = _spawn_bubblewrap(
                    child, tree, channel, limits, entry=entry, snapshot=snapshot
                )
            await to_its_end(start)
        except BaseException:
            await to_its_end(child.abandon())
            raise
    return child


async def _spawn_bare(
    child: Child, tree: Path, channel: socket.socket, limits: SandboxLimits, entry: str
) -> None:
    package = interpreter.package("cbor2")
    folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="timmy-agent-")
    child.hold(folder=folder)
    argv = [
        *interpreter.command(_STUB),
        *(_rlimits(limits, engine=Engine.NONE, counted=False), str(tree)),
        *("" if package is None else str(package.parent), entry),
    ]
    await child.start(argv, channel, folder=folder.name)


async def _spawn_bubblewrap(
    child: Child,
    tree: Path,
    channel: socket.socket,
    limits: SandboxLimits,
    *,
    entry: str,
    snapshot: Path | None,
) -> None:
    """Start stopped, put it into its group while nothing of it runs, then let it go."""
    cgroup = await asyncio.to_thread(cgroups.create, limits.memory_bytes, limits.pids)
    child.hold(cgroup=cgroup)
    with ExitStack() as stack:
        rules = stack.enter_context(_memory_file(seccomp.program(os.uname().machine)))
        info, info_end = _pipe(stack)
        go_end, go = _pipe(stack)
        fds = bubblewrap.Descriptors(
            seccomp=rules.fileno(), info=info_end.fileno(), block=go_end.fileno()
        )
        argv = [
            *bubblewrap.command(fds, tree, snapshot, state_bytes=limits.state_bytes),
            *interpreter.command(_STUB),
            _rlimits(limits, engine=Engine.BUBBLEWRAP, counted=cgroup is not None),
            *(bubblewrap.TREE, bubblewrap.SITE, entry),
        ]
        await child.start(argv, channel, pass_fds=tuple(fds))
        info_end.close()
        first_pid = bubblewrap.first_pid(await _told(info, child))
        if first_pid is None:
            raise await _start_failed(child)
        child.hold(first=os.pidfd_open(first_pid))
        if cgroup is not None:
            await asyncio.to_thread(cgroup.add, first_pid)
        go.write(b"\0")


async def _told(info: BinaryIO, child: Child) -> bytes:
    """Return all that bubblewrap says about itself; it is killed if that takes too long.

    On the event loop and not in a thread: a descriptor that is closed under a reading thread may
    be another's by the time it is read.
    """
    loop = asyncio.get_running_loop()
    said = bytearray()
    ended: asyncio.Future[None] = loop.create_future()

    def take() -> None:
        data = os.read(info.fileno(), 4096)
        said.extend(data)
        if not data and not ended.done():
            ended.set_result(None)

    late = loop.call_later(START_S, child.kill)
    loop.add_reader(info, take)
    try:
        await ended
    finally:
        loop.remove_reader(info)
        late.cancel()
    return bytes(said)


async def _start_failed(child: Child) -> SandboxError:
    code = await child.wait()
    return SandboxError(
        f"bubblewrap ended with {code}: {child.stderr_tail().strip()[-300:]}",
        hint="unprivileged user namespaces may be switched off (sysctl, AppArmor)",
    )


def _memory_file(data: bytes) -> BinaryIO:
    file = os.fdopen(os.memfd_create("seccomp"), "w+b", buffering=0)
    file.write(data)
    file.seek(0)
    return file


def _pipe(stack: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    read, write = os.pipe()
    return (
        stack.enter_context(os.fdopen(read, "rb", buffering=0)),
        stack.enter_context(os.fdopen(write, "wb", buffering=0)),
    )


def _rlimits(limits: SandboxLimits, *, engine: Engine, counted: bool) -> str:
    """What the stub sets. With a control group, address space is only a second line at 4 times."""
    values = {
        "AS": limits.memory_bytes * (4 if counted else 1),
        "FSIZE": limits.file_bytes,
        "NOFILE": DESCRIPTORS_MAX,
        "CORE": 0,
        "MEMLOCK": 0,
    }
    if limits.cpu_seconds is not None:
        values["CPU"] = limits.cpu_seconds
    if engine is Engine.BUBBLEWRAP:
        values["NPROC"] = limits.pids  # without a user namespace it would count the whole user's
    return ",".join(f"{name}={value}" for name, value in values.items())
