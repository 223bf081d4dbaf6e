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
from pathlib import Path
from typing import Final, NamedTuple

from runtime import interpreter
from runtime.core.errors import AgentError

TREE: Final = "/tree"
SITE: Final = "/site"
SNAPSHOT: Final = "/snapshot"
STATE: Final = "/state"
UID: Final = 65534
"""nobody, on every distribution."""
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/urandom")


class SandboxError(AgentError):
    """The engine cannot start a child."""


class Descriptors(NamedTuple):
    """What bwrap inherits: the filter to read, where to say the pid, what to wait on."""

    seccomp: int
    info: int
    block: int


def program() -> str | None:
    """Return the path of bwrap, or None."""
    return shutil.which("bwrap")


def command(fds: Descriptors, tree: Path, snapshot: Path | None, *, state_bytes: int) -> list[str]:
    """Return the command line up to where the child's own begins. Raises SandboxError."""
    bwrap = program()
    if bwrap is None:
        raise SandboxError(
            "bubblewrap (bwrap) is not on PATH", hint="apt install bubblewrap (0.8 or newer)"
        )
    return [
        *(bwrap, "--seccomp", str(fds.seccomp)),
        *("--info-fd", str(fds.info), "--block-fd", str(fds.block)),
        *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
        *("--unshare-cgroup-try", "--disable-userns", "--cap-drop", "ALL"),
        *("--uid", str(UID), "--gid", str(UID), "--hostname", "agent"),
        *("--die-with-parent", "--new-session", "--clearenv"),
        *_system_mounts(),
        *_own_mounts(tree, snapshot),
        *("--perms", "0700", "--size", str(state_bytes), "--tmpfs", STATE),
        *("--remount-ro", "/", "--chdir", STATE, "--"),
    ]


def first_pid(said: bytes) -> int | None:
    """Return the pid, on the host, of the namespace's first process; None if bwrap gave up."""
    try:
        return int(json.loads(said)["child-pid"])
    except (ValueError, KeyError, TypeError):
        return None


def _system_mounts() -> list[str]:
    mounts: list[str] = []
    for path in interpreter.needed_paths():
        if path.is_symlink():  # /lib on a merged-usr system
            mounts += ["--symlink", str(path.readlink()), str(path)]
        else:
            mounts += ["--ro-bind", str(path), str(path)]
    for device in _DEVICES:
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
