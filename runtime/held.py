"""Starting a child stopped, putting it into its control group, then letting it go.

Both engines start in the same steps. Nothing of the child runs before it is counted, and the engine
says on a pipe which process is the first of the child, or closes the pipe if it could not start.

Not covered: what a child is let have (`runtime.bubblewrap`, `runtime.landlock`), and which engine
is taken (`runtime.sandbox`).
"""

import asyncio
import marshal
import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from runtime import bubblewrap, cgroups, interpreter, landlock
from runtime.bubblewrap import Descriptors, SandboxError
from runtime.child import Child
from runtime.core import landlock as ruleset
from runtime.core import seccomp
from runtime.core.seccomp import Filter
from runtime.landlock import Plan
from runtime.rooms import Room

START_S: Final = 30.0
"""How long an engine may take to start a child, 10 to 60 ms on an idle machine."""
_WARDEN: Final = Path(__file__).parent / "warden" / "main.py"


class Command(Protocol):
    """Gives the command line for these descriptors; `counted`: by a control group."""

    def __call__(self, fds: Descriptors, *, counted: bool) -> list[str]:
        """See the class."""
        ...


async def by_bubblewrap(
    child: Child,
    channel: socket.socket,
    command: Command,
    rules: Filter,
    *,
    memory_bytes: int,
    pids: int,
    env: Mapping[str, str] | None = None,
) -> None:
    """Start `command` in bubblewrap. Raises SandboxError, UnsupportedMachine, OSError."""
    cgroup = await asyncio.to_thread(cgroups.create, memory_bytes, pids)
    child.hold(cgroup=cgroup)
    with ExitStack() as stack:
        code = _memory_file(stack, seccomp.program(os.uname().machine, rules))
        info, info_end = _pipe(stack)
        go_end, go = _pipe(stack)
        fds = Descriptors(info=info_end.fileno(), block=go_end.fileno(), seccomp=code.fileno())
        argv = command(fds, counted=cgroup is not None)
        await child.start(argv, channel, pass_fds=fds.all, env=dict(env or {}))
        info_end.close()
        first_pid = bubblewrap.first_pid(await _told(info, child))
        if first_pid is None:
            raise await _start_failed(child, "bubblewrap", _NO_NAMESPACES)
        child.hold(first=os.pidfd_open(first_pid))
        if cgroup is not None:
            await asyncio.to_thread(cgroup.add, first_pid)
        go.write(b"\0")


_NO_NAMESPACES: Final = "unprivileged user namespaces may be switched off (sysctl, AppArmor)"
_NO_LANDLOCK: Final = "agent.sandbox in node.toml can name another engine"


class Planner(Protocol):
    """Gives the plan for a room; `counted`: by a control group."""

    def __call__(self, room: Room, *, counted: bool) -> Plan:
        """See the class."""
        ...


async def by_landlock(
    child: Child,
    channel: socket.socket,
    planner: Planner,
    *,
    memory_bytes: int,
    pids: int,
    state_bytes: int,
) -> None:
    """Start a plan under a warden. Raises SandboxError, UnsupportedMachine, OSError."""
    abi = landlock.abi()
    unfit = ruleset.unfit(abi)
    if unfit is not None:
        raise SandboxError(unfit, hint="apt install bubblewrap")
    cgroup = await asyncio.to_thread(cgroups.create, memory_bytes, pids)
    child.hold(cgroup=cgroup)
    room = await asyncio.to_thread(Room)
    child.hold(folder=room)
    plan = planner(room, counted=cgroup is not None)
    more = {} if cgroup is not None else await asyncio.to_thread(_uncounted, plan, pids)
    watched = room if cgroup is None or not room.in_memory else None
    said = _brief(plan, abi, more, watched, state_bytes)
    with ExitStack() as stack:
        brief = _memory_file(stack, marshal.dumps(said))
        info, info_end = _pipe(stack)
        go_end, go = _pipe(stack)
        fds = (brief.fileno(), go_end.fileno(), info_end.fileno())
        argv = [*interpreter.run(_WARDEN), *map(str, fds)]
        await child.start(argv, channel, pass_fds=fds)
        child.hold(warden=True)
        info_end.close()
        if cgroup is not None:
            await asyncio.to_thread(cgroup.add, child.pid)
        go.write(b"\0")
        go.close()
        if bubblewrap.first_pid(await _told(info, child)) is None:
            raise await _start_failed(child, "the warden", _NO_LANDLOCK)


def _brief(
    plan: Plan, abi: int, more: Mapping[str, int], room: Room | None, room_bytes: int
) -> dict[str, Any]:
    """What runtime/warden/main.py is told."""
    handled = ruleset.handled(abi, network=plan.network)
    grants = [
        (path, *(int(ruleset.rights(abi, access, folder=folder)) for folder in (True, False)))
        for path, access in plan.grants
    ]
    return {
        "starter": os.getpid(),
        "handled": [int(handled.fs), int(handled.net), int(handled.scoped)],
        "grants": grants,
        "filter": seccomp.program(os.uname().machine, plan.rules),
        "rlimits": {"CORE": 0, **plan.rlimits, **more},
        "argv": list(plan.argv),
        "env": dict(plan.env),
        "folder": plan.folder,
        "room": None if room is None else str(room.state),
        "room_bytes": room_bytes,
    }


def _uncounted(plan: Plan, pids: int) -> dict[str, int]:
    """Bound processes where no control group does. Raises SandboxError if nothing would.

    The limit counts all tasks of the user, so those that there are come on top. It does not hold
    for root.
    """
    if os.getuid() != 0:
        return {"NPROC": _tasks_of_this_user() + pids}
    if plan.rules.processes:
        raise SandboxError(
            "no control group can be made, and without one nothing bounds root's processes",
            hint="run the node as a user of its own, or apt install bubblewrap",
        )
    return {}


def _tasks_of_this_user() -> int:
    user, found = os.getuid(), 0
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and process.stat().st_uid == user:
                found += len(list((process / "task").iterdir()))
        except OSError:  # it ended meanwhile
            continue
    return found


async def _told(info: BinaryIO, child: Child) -> bytes:
    """Return all that the engine says about its child; it is killed if that takes too long.

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


async def _start_failed(child: Child, engine: str, hint: str) -> SandboxError:
    code = await child.wait()
    said = child.stderr_tail().strip()[-300:]
    return SandboxError(f"{engine} ended with {code}: {said}", hint=hint)


def _memory_file(stack: ExitStack, data: bytes) -> BinaryIO:
    file = stack.enter_context(os.fdopen(os.memfd_create("timmy"), "w+b", buffering=0))
    file.write(data)
    file.seek(0)
    return file


def _pipe(stack: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    read, write = os.pipe()
    return (
        stack.enter_context(os.fdopen(read, "rb", buffering=0)),
        stack.enter_context(os.fdopen(write, "wb", buffering=0)),
    )
