"""The command line of bubblewrap (bwrap(1), 0.8 or newer) that holds an agent process.

What each mount is for is said in runtime.sandbox; here is why the options are as they are.

- `--unshare-user` with `--cap-drop ALL` even for root: without it root keeps its capabilities.
- No `--proc`: for root's files there an owner's permission is enough, no capability is asked.
- No `--dev`: it brings a terminal multiplexer and a /dev/shm without a size.
- `--block-fd`: the child waits before its first step, so that it can be put into a control group.
- `--disable-userns`: the second lock on a door that the seccomp filter holds too.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from runtime import interpreter
from runtime.core.errors import AgentError

TREE: Final = "/tree"
SITE: Final = "/site"
SNAPSHOT: Final = "/snapshot"
STATE: Final = "/state"
SCRIPTS: Final = "/scripts"
WEIGHTS: Final = "/weights.gguf"
WORK: Final = "/work"
SCRIPT_ENV: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
    "HOME": WORK,
    "LANG": "C.UTF-8",
    "TZ": "UTC",
}
"""All that a confined script finds in its environment, PWD aside."""
PROGRAMS: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store"),
    *("/etc/alternatives", "/etc/ld.so.cache"),
    *(f"/etc/python3.{minor}" for minor in range(9, 20)),
)
"""What programs are made of. Debian's Python has a link into /etc in its standard library."""
NETWORK_FILES: Final = (
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf"),
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates"),
)
"""How names are looked up, and whose certificates count: all of /etc that has to do with it."""
UID: Final = 65534
"""nobody, on every distribution."""
DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/urandom")


class SandboxError(AgentError):
    """The engine cannot start a child."""


class Descriptors(NamedTuple):
    """What bwrap inherits: where to say the pid, what to wait on, the filter to read."""

    info: int
    block: int
    seccomp: int

    @property
    def all(self) -> tuple[int, ...]:
        """All of them."""
        return tuple(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder or file of the outside: `at` is its name, inside too, `real` where that led.

    `real` is what is mounted. bubblewrap follows links, so a name that was judged once would give
    whatever somebody has put in its place since.
    """

    at: Path
    real: Path

    @classmethod
    def of(cls, path: Path) -> "Mount":
        """Return what a name leads to now."""
        return cls(at=path, real=path.resolve())

    def holds(self) -> bool:
        """Whether the name still leads where it did, and that place is no link itself."""
        return self.at.resolve() == self.real == self.real.resolve()


@dataclass(frozen=True, slots=True, kw_only=True)
class Openings:
    """What a program is let have beside what every script has: nothing, if nothing is said.

    `shown` and `writable` are folders or files, under the names that they have outside. With
    `environment` it inherits that of bwrap itself, which is its starter's to choose: what is given
    on a command line every user of the machine can read.
    """

    shown: tuple[Mount, ...] = ()
    writable: tuple[Mount, ...] = ()
    network: bool = False
    environment: bool = False


CLOSED: Final = Openings()


def program() -> str | None:
    """Return the path of bwrap, or None."""
    return shutil.which("bwrap")


def command(fds: Descriptors, tree: Path, snapshot: Path | None, *, state_bytes: int) -> list[str]:
    """Return the command line up to where the child's own begins. Raises SandboxError."""
    return [
        *_held(fds),
        *("--hostname", "agent"),
        *_system_mounts(interpreter.needed_paths()),
        *_own_mounts(tree, snapshot),
        *_room(STATE, state_bytes),
        *("--remount-ro", "/", "--chdir", STATE, "--"),
    ]


def script(
    fds: Descriptors,
    folder: Path | None,
    *,
    state_bytes: int,
    given: Mapping[str, str],
    opened: Openings = CLOSED,
) -> list[str]:
    """Return the command line that holds a program of the system's own; see runtime.scripts.

    `given` is added to the environment of one that gets none of the node's. Raises SandboxError.
    """
    shown = [] if folder is None else ["--ro-bind", str(folder), SCRIPTS]
    own = SCRIPT_ENV | dict(given)
    named = [part for name, value in own.items() for part in ("--setenv", name, value)]
    return [
        *_held(fds, opened),
        *("--hostname", "job"),
        *([] if opened.environment else named),
        *_system_mounts([Path(path) for path in PROGRAMS if Path(path).exists()]),
        *shown,
        *_room("/tmp", state_bytes),  # noqa: S108 - one of its own, in memory
        *_room(WORK, state_bytes),
        *_opened_mounts(opened),  # after the rooms: they may lie in one of them
        *("--remount-ro", "/", "--chdir", WORK, "--"),
    ]


class Bench(NamedTuple):
    """What a tool's program works in: a folder under its own name, read-only or not.

    `kept` are paths in it that stay read-only in any case; `given` is its environment.
    """

    folder: str
    write: bool
    kept: tuple[str, ...] = ()
    given: tuple[tuple[str, str], ...] = ()


def bench(fds: Descriptors, bench: Bench, *, state_bytes: int) -> list[str]:
    """Return the command line that holds a program at a bench; see runtime.tools.confined.

    The folder is bound last, over the rooms: it may lie below /tmp. Raises SandboxError.
    """
    environment = dict(SCRIPT_ENV) | {"HOME": "/tmp"} | dict(bench.given)  # noqa: S108 - its own
    given = [part for name, value in environment.items() for part in ("--setenv", name, value)]
    bound = "--bind" if bench.write else "--ro-bind"
    kept = [part for path in bench.kept for part in ("--ro-bind", path, path)]
    return [
        *_held(fds),
        *("--hostname", "tool"),
        *given,
        *_system_mounts([Path(path) for path in PROGRAMS if Path(path).exists()]),
        *_room("/tmp", state_bytes),  # noqa: S108 - one of its own, in memory
        *(bound, bench.folder, bench.folder, *kept),
        *("--remount-ro", "/", "--chdir", bench.folder, "--"),
    ]


def brain(
    fds: Descriptors, tree: Path, site: Path, weights: Path, brief: str, *, state_bytes: int
) -> list[str]:
    """Return the command line that holds a model of this machine; see runtime.local_process.

    Its namespace has no network; a socket that listens already is of the host's. Raises
    SandboxError.
    """
    return [
        *_held(fds),
        *("--hostname", "brain", "--setenv", "TIMMY_BRAIN", brief),
        *_system_mounts(interpreter.needed_paths()),
        *("--ro-bind", str(tree), TREE, "--ro-bind", str(site), SITE),
        *("--ro-bind", str(weights), WEIGHTS),
        *_room(STATE, state_bytes),
        *("--remount-ro", "/", "--chdir", STATE, "--"),
    ]


def _opened_mounts(opened: Openings) -> list[str]:
    """At the outside's own names. A link is followed here: /etc/resolv.conf leads into /run."""
    files = [path for path in NETWORK_FILES if opened.network and Path(path).exists()]
    binds = [("--ro-bind", path, path) for path in files]
    binds += [("--ro-bind", str(one.real), str(one.at)) for one in opened.shown]
    binds += [("--bind", str(one.real), str(one.at)) for one in opened.writable]
    return [part for bind in binds for part in bind]


def _held(fds: Descriptors, opened: Openings = CLOSED) -> list[str]:
    bwrap = program()
    if bwrap is None:
        raise SandboxError(
            "bubblewrap (bwrap) is not on PATH", hint="apt install bubblewrap (0.8 or newer)"
        )
    return [
        *(bwrap, "--info-fd", str(fds.info), "--block-fd", str(fds.block)),
        *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
        *(() if opened.network else ("--unshare-net",)),
        *("--unshare-cgroup-try", "--disable-userns", "--cap-drop", "ALL"),
        *("--uid", str(UID), "--gid", str(UID)),
        *("--die-with-parent", "--new-session"),
        *("--seccomp", str(fds.seccomp)),
        *(() if opened.environment else ("--clearenv",)),
    ]


def _room(path: str, size_bytes: int) -> list[str]:
    return ["--perms", "0700", "--size", str(size_bytes), "--tmpfs", path]


def first_pid(said: bytes) -> int | None:
    """Return the pid, on the host, of the namespace's first process; None if bwrap gave up."""
    try:
        return int(json.loads(said)["child-pid"])
    except (ValueError, KeyError, TypeError):
        return None


def _system_mounts(paths: list[Path]) -> list[str]:
    mounts: list[str] = []
    for path in paths:
        if path.is_symlink():  # /lib on a merged-usr system
            mounts += ["--symlink", str(path.readlink()), str(path)]
        else:
            mounts += ["--ro-bind", str(path), str(path)]
    for device in DEVICES:
        mounts += ["--dev-bind", device, device]
    return mounts


def _own_mounts(tree: Path, snapshot: Path | None) -> list[str]:
    mounts = ["--ro-bind", str(tree), TREE, "--dir", SITE]
    package = interpreter.package("cbor2")
    if package is not None:
        mounts += ["--ro-bind", str(package), f"{SITE}/{package.name}"]
    if snapshot is not None:
        mounts += ["--ro-bind", str(snapshot), SNAPSHOT]
    return mounts
