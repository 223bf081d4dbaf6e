"""Starts an agent process that can do nothing but compute and talk over one socket.

`spawn` runs `main.py` of an architecture tree under a fresh interpreter with the given socket as
file descriptor 0. The engine is bubblewrap: own user, process, network, IPC, host-name and
control-group namespaces; no capability; the filter of runtime.core.seccomp. Where it does not work
it is Landlock (runtime.landlock says what differs), where that does not either there is none.

What the child sees, in bubblewrap
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

Start to first byte from the child, median on two old cores: 35 ms; a bare interpreter takes 16, and
Landlock's two 1.6 times as long as bubblewrap (both on a busy machine; 65 ms of CPU to its 28).
"""

import asyncio
import socket
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from runtime import bubblewrap, cgroups, held, interpreter, landlock
from runtime.bubblewrap import CLOSED, Bench, Descriptors, Mount, Openings, SandboxError
from runtime.cgroups import Usage
from runtime.child import Child
from runtime.core import seccomp
from runtime.core.seccomp import Filter
from runtime.held import Command, Planner
from runtime.landlock import ONLINE, Plan
from runtime.rooms import Room, Workplace, workplace
from runtime.tasks import to_its_end

__all__ = [
    "MIB",
    "Child",
    "Engine",
    "Mount",
    "Openings",
    "Probe",
    "SandboxError",
    "SandboxLimits",
    "Usage",
    "detect",
    "probe",
    "spawn",
    "spawn_brain",
    "spawn_script",
    "spawn_tool",
]

MIB: Final = 1024 * 1024
PROBE_S: Final = 10.0
"""A start takes 25 ms; a machine that needs four hundred times that cannot run an agent."""
DESCRIPTORS_MAX: Final = 64
"""The agent opens its modules one at a time, a database, and little else."""

INSTALL_HINT: Final = "apt install bubblewrap, or take a kernel with Landlock (Linux 6.12 or newer)"
BRAIN_DESCRIPTORS_MAX: Final = 256
"""A model's server keeps a descriptor for each connection, 64 at most."""


_PROGRAM: Final = Filter(processes=True, families=(seccomp.AF_UNIX, *ONLINE))
"""In a network namespace of its own, with nobody there but itself."""
_ONLINE: Final = Filter(processes=True, families=ONLINE)
"""In the host's: UNIX sockets of abstract names belong to that."""
_SERVER: Final = Filter(accepts=True)


class Engine(StrEnum):
    """How a child is held. The values are what verdicts and status reports say."""

    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"
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
    """What trial starts found: the engine to use and, in a line, why it is no stronger one."""

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
    ATTEMPTS
}
found = [name for name, attempt in attempts.items() if not contained(attempt)]
found += ["it has an environment"] if set(os.environ) - {"PWD", "LC_CTYPE"} else []
os.write(0, "; ".join(found).encode() or b"contained")
"""
_PROBED: Final = {
    Engine.BUBBLEWRAP: """
    "it has a real user id": lambda: os.getuid() == 65534 and os.stat("/nowhere"),
""",
    Engine.LANDLOCK: """
    "its starter could be signalled": lambda: os.kill(os.getppid(), 0),
    "processes could be listed": lambda: os.listdir("/proc"),
    "a file's mode could be changed": lambda: os.chmod(__file__, 0o600),
""",
}
"""What an engine must hold beside what each must."""


async def detect() -> Engine:
    """Return the strongest engine that works here, found by running a child in it."""
    return (await probe()).engine


async def probe(wanted: Engine | None = None) -> Probe:
    """Start a child that tries to get out, and say what came of it. Callers keep the answer.

    Tries `wanted` alone, or else each engine, the strongest first.
    """
    order = (Engine.BUBBLEWRAP, Engine.LANDLOCK) if wanted is None else (wanted,)
    reasons: list[str] = []
    for engine in order:
        if engine is Engine.NONE:
            break
        reason = await _unfit(engine)
        if reason is None:
            return Probe(engine=engine, reason="; ".join(reasons))
        reasons.append(reason)
    return Probe(engine=Engine.NONE, reason="; ".join(reasons))


async def _unfit(engine: Engine) -> str | None:
    """Say why an engine does not hold here, or None."""
    with workplace("probe") as folder:
        program = _PROBE_MAIN.replace("ATTEMPTS", _PROBED[engine])
        await asyncio.to_thread((folder / "main.py").write_text, program)
        try:
            said = await _ask_probe(folder, engine)
        except (SandboxError, seccomp.UnsupportedMachine, OSError) as error:
            return str(error)
    return None if said == "contained" else f"{engine.value} leaks: {said}"


async def _ask_probe(tree: Path, engine: Engine) -> str:
    ours, theirs = socket.socketpair()
    limits = SandboxLimits(cpu_seconds=int(PROBE_S), wall_s=PROBE_S)
    with ours:
        ours.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        child = await spawn(tree, theirs, limits=limits, engine=engine)
        try:
            said = await asyncio.get_running_loop().sock_recv(ours, 4096)
            code = await child.wait()
        finally:
            await child.end()
    if not said:
        raise SandboxError(f"trial ended with {code}: {child.stderr_tail().strip()[-300:]}")
    return said.decode(errors="replace")


async def _begin(channel: socket.socket, child: Child, start: Coroutine[Any, Any, None]) -> Child:
    """See a start to its end, or undo it. `channel` is closed on this side in any case."""
    with channel:
        try:
            await to_its_end(start)
        except BaseException:
            await to_its_end(child.abandon())
            raise
    return child


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
    stub = interpreter.command(_STUB)

    def command(fds: Descriptors, *, counted: bool) -> list[str]:
        return [
            *bubblewrap.command(fds, tree, snapshot, state_bytes=limits.state_bytes),
            *(*stub, _rlimits(limits, engine=engine, counted=counted)),
            *(bubblewrap.TREE, bubblewrap.SITE, entry),
        ]

    def planner(room: Room, *, counted: bool) -> Plan:
        real = tree.resolve()
        site = room.site(interpreter.package("cbor2"))
        bounds = _rlimits(limits, engine=engine, counted=counted)
        return landlock.agent(room, real, snapshot, [*stub, bounds, str(real), str(site), entry])

    match engine:
        case Engine.NONE:
            start = _spawn_bare(child, tree, channel, limits, entry)
        case Engine.BUBBLEWRAP:
            start = _in_bubblewrap(child, channel, limits, command, seccomp.AGENT)
        case Engine.LANDLOCK:
            start = _by_landlock(child, channel, limits, planner)
    return await _begin(channel, child, start)


async def spawn_script(
    argv: Sequence[str],
    channel: socket.socket,
    *,
    limits: SandboxLimits,
    engine: Engine,
    folder: Path | None,
    opened: Openings = CLOSED,
    env: Mapping[str, str] | None = None,
    given: Mapping[str, str] | None = None,
) -> Child:
    """Start a program that is not an agent's: `runtime.scripts` says how it is held.

    As `spawn`: `channel` is its standard input and belongs to it, and the same errors are raised;
    SandboxError for Engine.NONE, too. `folder` is shown read-only. `env` counts where `opened`
    passes an environment on; `given` is added to that of a program that gets none of the node's.
    """

    def command(fds: Descriptors, *, counted: bool) -> list[str]:
        del counted  # without a control group nothing bounds its memory: rlimits would not add up
        held = bubblewrap.script(
            fds, folder, state_bytes=limits.state_bytes, opened=opened, given=given or {}
        )
        return [*held, *argv]

    def planner(room: Room, *, counted: bool) -> Plan:
        del counted
        return landlock.script(room, argv, folder, opened=opened, env=env or {}, given=given or {})

    child = Child(wall_s=limits.wall_s)
    rules = _ONLINE if opened.network else _PROGRAM
    start = _held(child, channel, limits, engine, command, planner, rules, env=env)
    return await _begin(channel, child, start)


async def spawn_tool(
    argv: Sequence[str],
    channel: socket.socket,
    *,
    limits: SandboxLimits,
    engine: Engine,
    bench: Bench,
    output_bytes: int,
) -> Child:
    """Start a tool's program at a bench: `runtime.tools.confined` says how.

    As `spawn_script`. The last `output_bytes` of what it writes are kept.
    """

    def command(fds: Descriptors, *, counted: bool) -> list[str]:
        del counted  # as for a script
        return [*bubblewrap.bench(fds, bench, state_bytes=limits.state_bytes), *argv]

    def planner(room: Room, *, counted: bool) -> Plan:
        del counted
        return landlock.bench(room, argv, bench)

    child = Child(wall_s=limits.wall_s, tail_bytes=output_bytes)
    start = _held(child, channel, limits, engine, command, planner, _PROGRAM)
    return await _begin(channel, child, start)


async def spawn_brain(
    entry: Path,
    weights: Path,
    site: Path,
    brief: str,
    channel: socket.socket,
    *,
    limits: SandboxLimits,
    engine: Engine,
) -> Child:
    """Start a model of this machine: `runtime.local_process` says how it is held.

    As `spawn`: `channel` is its standard input and belongs to it, and the same errors are raised.
    """
    tree = entry.parent

    def argv(tree: str, site: str) -> list[str]:
        return [*interpreter.command(_STUB), _brain_rlimits(limits), tree, site, entry.name]

    def command(fds: Descriptors, *, counted: bool) -> list[str]:
        del counted  # without a control group runtime.local_process watches its memory
        return [
            *bubblewrap.brain(fds, tree, site, weights, brief, state_bytes=limits.state_bytes),
            *argv(bubblewrap.TREE, bubblewrap.SITE),
        ]

    def planner(room: Room, *, counted: bool) -> Plan:
        del counted
        return landlock.brain(room, argv(str(tree), str(site)), tree, site, weights, brief)

    async def start_bare() -> None:
        cgroup = await asyncio.to_thread(cgroups.create, limits.memory_bytes, limits.pids)
        child.hold(cgroup=cgroup)
        await child.start(argv(str(tree), str(site)), channel, env={"TIMMY_BRAIN": brief})
        if cgroup is not None:
            await asyncio.to_thread(cgroup.add, child.pid)

    child = Child(wall_s=limits.wall_s)
    if engine is Engine.NONE:
        return await _begin(channel, child, start_bare())
    start = _held(child, channel, limits, engine, command, planner, _SERVER)
    return await _begin(channel, child, start)


async def _held(
    child: Child,
    channel: socket.socket,
    limits: SandboxLimits,
    engine: Engine,
    command: Command,
    planner: Planner,
    rules: Filter,
    *,
    env: Mapping[str, str] | None = None,
) -> None:
    match engine:
        case Engine.BUBBLEWRAP:
            await _in_bubblewrap(child, channel, limits, command, rules, env=env)
        case Engine.LANDLOCK:
            await _by_landlock(child, channel, limits, planner)
        case Engine.NONE:
            raise SandboxError("no sandbox engine works here", hint=INSTALL_HINT)


async def _in_bubblewrap(
    child: Child,
    channel: socket.socket,
    limits: SandboxLimits,
    command: Command,
    rules: Filter,
    *,
    env: Mapping[str, str] | None = None,
) -> None:
    await held.by_bubblewrap(
        child, channel, command, rules,
        memory_bytes=limits.memory_bytes, pids=limits.pids, env=env,
    )  # fmt: skip


async def _by_landlock(
    child: Child, channel: socket.socket, limits: SandboxLimits, planner: Planner
) -> None:
    await held.by_landlock(
        child, channel, planner,
        memory_bytes=limits.memory_bytes, pids=limits.pids, state_bytes=limits.state_bytes,
    )  # fmt: skip


def _brain_rlimits(limits: SandboxLimits) -> str:
    """No limit of address space: mapped weights count there, and they are not memory taken."""
    values = {"FSIZE": limits.file_bytes, "NOFILE": BRAIN_DESCRIPTORS_MAX, "CORE": 0, "MEMLOCK": 0}
    return ",".join(f"{name}={value}" for name, value in values.items())


async def _spawn_bare(
    child: Child, tree: Path, channel: socket.socket, limits: SandboxLimits, entry: str
) -> None:
    package = interpreter.package("cbor2")
    place = await asyncio.to_thread(Workplace, "agent")
    child.hold(folder=place)
    argv = [
        *interpreter.command(_STUB),
        *(_rlimits(limits, engine=Engine.NONE, counted=False), str(tree)),
        *("" if package is None else str(package.parent), entry),
    ]
    await child.start(argv, channel, folder=str(place.path))


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
