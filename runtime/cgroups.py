"""Control groups for one child: a memory and process limit the kernel counts, and what it used.

Version 1 (one folder per controller) and version 2 (one folder) are both written through the file
system, below the group this process is in or beside it, whichever takes the folder. Where neither
is writable, which is usual without root or delegation, `create` returns None and the caller is
left with rlimits.

Not covered: moving this process itself so that version 2 would allow children below it (a service
manager's business: `Delegate=yes`), CPU quotas, I/O limits.
"""

import os
import secrets
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
OWN: Final = Path("/proc/self/cgroup")
_V1_CONTROLLERS: Final = ("memory", "pids", "cpuacct")
_PREFIX: Final = "timmy-"
_REMOVE_TRIES: Final = 50
_REMOVE_PAUSE_S: Final = 0.01
_END_TRIES: Final = 200
"""Two seconds: what forks faster than it is killed is bounded by the group itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a child has used: CPU seconds and peak bytes, None where nothing counted them.

    `ended_for_memory`: how many of its processes the kernel ended because they needed more.
    """

    cpu_s: float | None = None
    memory_peak_bytes: int | None = None
    ended_for_memory: int | None = None


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One child's group: `folders` by controller; the one folder of version 2 is under `""`."""

    folders: dict[str, Path]

    def add(self, pid: int) -> None:
        """Move process `pid`, and all it will start, into the group. Raises OSError."""
        for folder in self.folders.values():
            (folder / "cgroup.procs").write_text(str(pid))

    def usage(self) -> Usage:
        """Read the counters; those that are missing are None."""
        if "" in self.folders:
            folder = self.folders[""]
            stat = dict(line.split() for line in _read(folder / "cpu.stat").splitlines())
            cpu = _scaled(stat.get("usage_usec", ""), 1e6)
            return Usage(
                cpu_s=cpu,
                memory_peak_bytes=_int(_read(folder / "memory.peak")),
                ended_for_memory=_ended(_read(folder / "memory.events")),
            )
        memory = self.folders["memory"]
        return Usage(
            cpu_s=_scaled(_read(self.folders["cpuacct"] / "cpuacct.usage"), 1e9),
            memory_peak_bytes=_int(_read(memory / "memory.max_usage_in_bytes")),
            ended_for_memory=_ended(_read(memory / "memory.oom_control")),
        )

    def end(self) -> None:
        """Kill what is left in the group: nothing, unless the engine itself was killed."""
        for _ in range(_END_TRIES):
            left = {pid for folder in self.folders.values() for pid in _pids(folder)}
            if not left:
                return
            for pid in left:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_REMOVE_PAUSE_S)

    def remove(self) -> bool:
        """Remove the emptied folders; False if a process is still in one after half a second."""
        removed = [_remove(folder) for folder in self.folders.values()]
        return all(removed)


def create(memory_bytes: int, pids: int, *, root: Path = ROOT, own: Path = OWN) -> Cgroup | None:
    """Make a group with these limits, or return None if this process may not."""
    name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return None
    if (root / "cgroup.controllers").exists():
        own_path = next((path for number, _, path in lines if number == "0"), "/")
        return _create_v2(root, own_path, name, memory_bytes, pids)
    paths = {kind: path for _, kinds, path in lines for kind in kinds.split(",")}
    return _create_v1(root, paths, name, memory_bytes, pids)


def _create_v1(
    root: Path, paths: dict[str, str], name: str, memory_bytes: int, pids: int
) -> Cgroup | None:
    folders: dict[str, Path] = {}
    try:
        for controller in _V1_CONTROLLERS:
            base = root / controller / paths.get(controller, "/").lstrip("/")
            base = base if base.is_dir() else root / controller
            _sweep(base)
            (base / name).mkdir()
            folders[controller] = base / name
        (folders["memory"] / "memory.limit_in_bytes").write_text(str(memory_bytes))
        (folders["pids"] / "pids.max").write_text(str(pids))
    except OSError:
        Cgroup(folders).remove()
        return None
    _try_write(folders["memory"] / "memory.memsw.limit_in_bytes", str(memory_bytes))
    return Cgroup(folders)


def _create_v2(root: Path, own_path: str, name: str, memory_bytes: int, pids: int) -> Cgroup | None:
    """Beside the own group first: a group that holds processes takes no limited children."""
    own_folder = root / own_path.lstrip("/")
    for base in (own_folder.parent if own_folder != root else root, own_folder):
        folder = base / name
        try:
            _sweep(base)
            folder.mkdir()
            (folder / "memory.max").write_text(str(memory_bytes))
            (folder / "pids.max").write_text(str(pids))
        except OSError:
            _remove(folder)
            continue
        _try_write(folder / "memory.swap.max", "0")
        _try_write(folder / "memory.oom.group", "1")
        return Cgroup({"": folder})
    return None


def _sweep(base: Path) -> None:
    """Remove what a process that was killed could not remove itself."""
    for folder in base.glob(f"{_PREFIX}*-*"):
        owner = _int(folder.name.removeprefix(_PREFIX).split("-")[0])
        if owner is not None and not Path(f"/proc/{owner}").exists():
            _remove(folder, tries=1)


def _remove(folder: Path, tries: int = _REMOVE_TRIES) -> bool:
    for _ in range(tries):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            time.sleep(_REMOVE_PAUSE_S)
        else:
            return True
    return False


def _try_write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError:
        return  # an extra that this kernel was built without


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _ended(lines: str) -> int | None:
    """Read the line `oom_kill N`, the same in both versions; kernels before 4.13 have none."""
    facts = dict(line.split(maxsplit=1) for line in lines.splitlines() if " " in line)
    return _int(facts.get("oom_kill", ""))


def _pids(folder: Path) -> list[int]:
    found = (_int(line) for line in _read(folder / "cgroup.procs").split())
    return [pid for pid in found if pid]


def _int(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None


def _scaled(text: str, divisor: float) -> float | None:
    number = _int(text)
    return None if number is None else number / divisor
