"""The sandbox proves itself by its attacks once a boot, before a verdict may rest on it.

A child is started as every agent is, and tries what runtime/attacks/main.py lists: to read, write,
connect, signal, trace, mount and inherit; five more take memory, disk, threads, CPU and time
without end. Whoever gets out is named, and the engine is not trusted: what is judged there is
inconclusive.

What came of it is kept in a small file, with the boot, the engine, and a digest of all that it
depends on: another kernel, another engine or another line of code is tried anew, and so is an
engine that did not pass.

Not covered: what the attacks do not try (tests/sandbox tries four times as much); a sandbox that
holds in this minute and not in the next; somebody who may write into the home, who needs no sandbox
to get out.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

from ledger.core.hashing import tagged
from ledger.files import write_atomically
from runtime import interpreter
from runtime.core.seccomp import UnsupportedMachine
from runtime.sandbox import MIB, Engine, SandboxError, SandboxLimits, spawn

SOURCES_TAG: Final = "timmy/sandbox-trial/v1"
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
MOUNTS: Final = Path("/proc/self/mountinfo")
_REPORT_BYTES_MAX: Final = 64 * 1024
_KEPT_BYTES_MAX: Final = 64 * 1024
_AT_ONCE: Final = 3
"""Children at a time: on two cores more only wait for each other."""
_WALL_S: Final = 30.0
"""A child takes a tenth of a second; one that is still there means a machine that does not move."""
_FOREVER_S: Final = 0.5
"""How long the one that never ends is let live."""
_BASE: Final = SandboxLimits(
    memory_bytes=48 * MIB, cpu_seconds=20, wall_s=_WALL_S, state_bytes=4 * MIB
)
_MODES: Final[Mapping[str, SandboxLimits]] = {
    "attempts": _BASE,
    "memory": _BASE,
    "disk": _BASE,
    "threads": _BASE,
    "busy": replace(_BASE, cpu_seconds=1),
    "forever": replace(_BASE, wall_s=_FOREVER_S),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """What the attacks said of one engine in one boot. `escapes` names those that got out."""

    engine: Engine
    boot: str
    sources: str
    tried: int
    escapes: tuple[str, ...] = ()
    fault: str = ""
    """Why it could not be tried, if it could not."""
    took_ms: int = 0
    kept: bool = False
    """Whether this was read from the file, and tried earlier in this boot."""

    @property
    def passed(self) -> bool:
        """Whether the engine may be trusted."""
        return self.tried > 0 and not self.escapes and not self.fault

    def of(self, engine: Engine, boot: str, sources: str) -> bool:
        """Whether this is about that engine in that boot, by those sources."""
        return (self.engine, self.boot, self.sources) == (engine, boot, sources)

    @property
    def holds(self) -> Engine:
        """The engine as far as it may be trusted: NONE if it may not."""
        return self.engine if self.passed else Engine.NONE

    @property
    def reason(self) -> str:
        """Why it is not trusted; "" if it is."""
        if self.engine is Engine.NONE:
            return "no sandbox engine works here"
        if self.escapes:
            return f"{self.engine.value} did not hold: {', '.join(self.escapes)}"
        return self.fault


async def trusted(engine: Engine, *, evaluator: bytes, kept: Path | None = None) -> SelfTest:
    """Return whether `engine` passed in this boot, trying it if that is not known.

    `evaluator` is the digest of the judge that is going to rest on it; `kept` the file, which is
    written 0600. Raises nothing: what cannot be tried is a fault.
    """
    boot, digest = this_boot(), sources(evaluator).hex()
    if engine is Engine.NONE:
        return SelfTest(engine=engine, boot=boot, sources=digest, tried=0)
    known = None if kept is None else await asyncio.to_thread(read_kept, kept)
    if known is not None and known.passed and known.of(engine, boot, digest):
        return known
    found = await attack(engine, boot=boot, sources=digest)
    if kept is not None and boot:
        with suppress(OSError):  # it is tried again, that is all
            await asyncio.to_thread(_keep, kept, found)
    return found


def sources(evaluator: bytes) -> bytes:
    """Return 32 bytes over what a test depends on: attacks, this module, judge and sandbox."""
    parts = [
        resources.files(package).joinpath(name).read_bytes()
        for package, name in (("runtime", "selftest.py"), ("runtime.attacks", "main.py"))
    ]
    return tagged(SOURCES_TAG, evaluator + b"".join(tagged(SOURCES_TAG, part) for part in parts))


async def attack(engine: Engine, *, boot: str = "", sources: str = "") -> SelfTest:
    """Have every attack made in an engine. Raises ValueError for none: nothing would hold them."""
    if engine is Engine.NONE:
        raise ValueError("attacks are never made without a sandbox")
    began = time.perf_counter_ns()
    outcomes: dict[str, tuple[int, dict[str, str]]] = {}
    faults: list[str] = []
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(mode: str, targets: dict[str, Any], folder: Path) -> None:
        async with places:
            try:
                outcomes[mode] = await _mode(mode, engine, targets, folder)
            except (SandboxError, UnsupportedMachine, OSError, ValueError) as error:
                faults.append(f"{mode}: {error}"[:300])

    try:
        with _ground(engine) as (targets, folder):
            async with asyncio.TaskGroup() as group:
                for mode in _MODES:
                    group.create_task(one(mode, targets, folder))
    except OSError as error:
        faults.append(str(error))
    return SelfTest(
        engine=engine,
        boot=boot,
        sources=sources,
        tried=sum(count for count, _ in outcomes.values()),
        escapes=tuple(
            name if came == "done" else f"{name} ({came})"
            for mode in _MODES
            for name, came in outcomes.get(mode, (0, {}))[1].items()
        ),
        fault="; ".join(sorted(faults)),
        took_ms=(time.perf_counter_ns() - began) // 1_000_000,
    )


async def _mode(
    mode: str, engine: Engine, targets: dict[str, Any], folder: Path
) -> tuple[int, dict[str, str]]:
    """Run one child; return how many attempts it made, and those that got out."""
    bounds = _MODES[mode]
    tree = folder / mode
    await asyncio.to_thread(_write_tree, tree, targets | {"mode": mode})
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        snapshot = folder / "snapshot"
        child = await spawn(tree, theirs, limits=bounds, engine=engine, snapshot=snapshot)
        try:
            said = await _report(ours)
            code = await child.wait()
        finally:
            await child.end()
    if mode == "attempts":
        if not said:
            last = child.stderr_tail().strip()[-300:]
            raise SandboxError(f"the attempts ended with {code}: {last}")
        found = json.loads(said)
        return int(found["tried"]), dict(found["out"])
    if mode == "busy" and child.timed_out:
        return 1, {"compute without end": "done"}
    return 1, {f"take {mode} without end": "done"} if said else {}


async def _report(channel: socket.socket) -> bytes:
    loop, said = asyncio.get_running_loop(), b""
    with suppress(ConnectionError):  # it was killed: it said nothing more
        while len(said) < _REPORT_BYTES_MAX and (data := await loop.sock_recv(channel, 65_536)):
            said += data
    return said


def _write_tree(tree: Path, targets: dict[str, Any]) -> None:
    tree.mkdir()
    program = resources.files("runtime.attacks").joinpath("main.py").read_bytes()
    (tree / "main.py").write_bytes(program)
    (tree / "targets.json").write_text(json.dumps(targets))


@contextmanager
def _ground(engine: Engine) -> Iterator[tuple[dict[str, Any], Path]]:
    """What there is to reach: files, sockets, a process, and a descriptor that is left open."""
    with _folder() as folder:
        house, snapshot = folder / "house", folder / "snapshot"
        for made in (house, snapshot):
            made.mkdir(mode=0o777)
            made.chmod(0o777)
            (made / "open").write_bytes(b"GENESIS")
            (made / "open").chmod(0o666)
        (house / "secret").write_bytes(b"SECRET")
        abstract = f"timmy-attacks-{os.getpid()}-{folder.name}"
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            _unix(str(house / "socket"), socket.SOCK_STREAM),
            _unix(str(house / "datagrams"), socket.SOCK_DGRAM),
            _unix(f"\0{abstract}", socket.SOCK_STREAM),
            (house / "secret").open("rb") as leak,
            _victim() as victim,
        ):
            os.set_inheritable(leak.fileno(), True)  # noqa: FBT003 - os's own signature
            yield (
                {
                    "house": str(house),
                    "open": str(house / "open"),
                    "secret": str(house / "secret"),
                    "snapshot": "/snapshot" if engine is Engine.BUBBLEWRAP else str(snapshot),
                    "port": listener.getsockname()[1],
                    "abstract": abstract,
                    "victim": victim,
                    "starter": os.getpid(),
                    "memory_bytes": _BASE.memory_bytes,
                    "state_bytes": _BASE.state_bytes,
                },
                folder,
            )


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that is removed afterwards, unless something was mounted in it.

    What an attack has mounted there, if one could, would be emptied by its removal: so it is left.
    """
    folder = Path(tempfile.mkdtemp(prefix="timmy-attacks-"))
    try:
        yield folder
    finally:
        if mounted_below(folder, MOUNTS.read_text()):
            raise OSError(f"{folder} holds a mount that the attacks made: unmount it by hand")
        shutil.rmtree(folder, ignore_errors=True)


def mounted_below(folder: Path, mounts: str) -> bool:
    """Whether a table of mounts (/proc/self/mountinfo) has one at `folder` or below it."""
    points = (line.split(" ")[4] for line in mounts.splitlines() if line.count(" ") >= 5)
    plain = (point.encode().decode("unicode_escape") for point in points)
    return any(Path(point).is_relative_to(folder.resolve()) for point in plain)


@contextmanager
def _unix(address: str, kind: socket.SocketKind) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, kind) as listener:
        listener.bind(address)
        if kind is socket.SOCK_STREAM:
            listener.listen()
        if not address.startswith("\0"):
            Path(address).chmod(0o777)
        yield


@contextmanager
def _victim() -> Iterator[int]:
    """A process of the same user that does nothing."""
    command = interpreter.command("import sys; sys.stdin.read()")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={}
    ) as process:
        try:
            yield process.pid
        finally:
            process.kill()


# ---- the file -----------------------------------------------------------------------------------


def this_boot() -> str:
    """Return what names this boot; "" where the kernel does not tell: then nothing is kept."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def read_kept(path: Path) -> SelfTest | None:
    """Return the test that was kept, None of anything else: a file that others may read, too."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        about = os.fstat(fd)
        if about.st_uid != os.getuid() or about.st_mode & 0o077:
            return None
        data = file.read(_KEPT_BYTES_MAX)
    try:
        match json.loads(data):
            case {"engine": str(engine), "boot": str(boot), "sources": str(digest),
                  "tried": int(tried), "escapes": [*escapes], "fault": str(fault),
                  "took_ms": int(took_ms)} if boot:  # fmt: skip
                return SelfTest(
                    engine=Engine(engine), boot=boot, sources=digest, tried=tried,
                    escapes=tuple(map(str, escapes)), fault=fault, took_ms=took_ms, kept=True,
                )  # fmt: skip
    except ValueError:
        return None
    return None


def _keep(path: Path, found: SelfTest) -> None:
    value = {
        "engine": found.engine.value,
        "boot": found.boot,
        "sources": found.sources,
        "tried": found.tried,
        "escapes": list(found.escapes),
        "fault": found.fault,
        "took_ms": found.took_ms,
    }
    write_atomically(path, json.dumps(value).encode() + b"\n")
