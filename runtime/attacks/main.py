"""Tries to get out of the sandbox that it is started in, and says what it could do.

Started by `runtime.selftest` as any agent is. `targets.json` beside this file names the mode and
what there is to reach. Attempts: one that returns has got out, one that raises OSError was stopped,
anything else is a broken attempt, which counts as one that got out. Each of the other modes takes
without end of one thing; that it comes to report at all means that nothing bounds it.

It runs by itself under a bare interpreter, and imports the standard library and nothing of ours.

An attempt that gets out does no harm, for it may be made as root on a machine whose sandbox leaks:
files are opened for writing and not written, but for decoys; nothing is mounted, the kernel is only
asked with a path that is not there; what it signals and traces is a process made to be its victim.

Not covered: what only root could do without a sandbox; the many attempts of tests/sandbox.
"""

# The attempts are system calls, not paths:
# ruff: noqa: PTH101, PTH104, PTH107, PTH123, PTH208, PTH211, S103, S108

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_PTRACE_ATTACH, _PTRACE_DETACH = 16, 17
_CLONE_NEWUSER, _CLONE_NEWNS = 0x10000000, 0x00020000
_PR_GET_NO_NEW_PRIVS = 39
_CAPABILITY_VERSION_3 = 0x20080522
_IO_URING_SETUP, _PIDFD_GETFD, _OPEN_TREE, _FSOPEN, _CLONE3 = 425, 438, 428, 430, 435
"""System calls younger than 2019 have one number on every machine."""
_HELD_MIB = 2
_THREADS = 200
_LOOKED_AT_S = 1.6
"""A warden that looks at a room does so twice a second."""


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _call(number: int, *arguments: Any) -> int:
    values = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(_LIBC.syscall(ctypes.c_long(number), *values))


def _refused(condition: bool, why: str) -> None:  # noqa: FBT001 - an assertion
    if not condition:
        raise OSError(why)


def _read(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def _writable(path: str) -> None:
    """Open for writing, and write nothing: the file may be one that matters."""
    os.close(os.open(path, os.O_WRONLY))


def _unnamed(folder: str) -> None:
    """Make a file without a name: it is gone when it is closed."""
    os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600))


def _link_inside(path: str) -> None:
    os.symlink(path, "link")
    _writable("link")


def _connect(family: int, address: Any, kind: int = socket.SOCK_STREAM) -> None:
    with socket.socket(family, kind) as one:
        one.settimeout(1.0)
        one.connect(address)
        one.send(b"x")


def _pair(path: str) -> None:
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, two:
        one.sendto(b"x", path)


def _channel(path: str) -> None:
    with socket.socket(fileno=os.dup(0)) as one:
        one.connect(path)


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _clone3() -> None:
    given = (ctypes.c_uint64 * 8)(0, 0, 0, 0, signal.SIGCHLD)
    if _call(_CLONE3, ctypes.byref(given), 64) == 0:
        os._exit(0)


def _trace(pid: int) -> None:
    _checked(_LIBC.ptrace(_PTRACE_ATTACH, pid, None, None))
    os.waitpid(pid, 0x40000000)
    _LIBC.ptrace(_PTRACE_DETACH, pid, None, None)


def _capabilities() -> None:
    header, data = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    _checked(_LIBC.capget(header, data))
    _refused(any(data), "none is held")


def _privileges() -> None:
    _refused(_LIBC.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0, "no_new_privs is set")


def _limits() -> None:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    except ValueError as error:
        raise OSError(str(error)) from error


def _descriptors() -> None:
    """Descriptors 0 to 2 are the channel and the output; the folder's own is closed by then."""
    more = []
    for number in range(3, 256):
        try:
            os.fstat(number)
        except OSError:
            continue
        more.append(number)
    _refused(bool(more), "none is open")


def _mount() -> None:
    """Ask for a mount on a path that is not there: a filter says no before the kernel looks."""
    if _LIBC.mount(b"none", b"/timmy-is-not-there", b"tmpfs", 0, None) < 0:
        error = ctypes.get_errno()
        if error in {errno.EPERM, errno.EACCES, errno.ENOSYS}:
            raise OSError(error, os.strerror(error))


def attempts(t: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Every attempt by its name; `t` names the targets."""
    victim, house = t["victim"], t["house"]
    loop = ("127.0.0.1", t["port"])
    return {
        "read a file outside": lambda: _read(t["secret"]),
        "read the accounts": lambda: _read("/etc/passwd"),
        "list the homes": lambda: _refused(bool(os.listdir("/home") or os.listdir("/root")), "-"),
        "write a file outside": lambda: _writable(t["open"]),
        "write one through a link": lambda: _link_inside(t["open"]),
        "make a file outside": lambda: _unnamed(house),
        "remove a file outside": lambda: os.remove(t["open"]),
        "rename a file outside": lambda: os.rename(t["open"], house + "/renamed"),
        "give it a second name": lambda: os.link(t["open"], "second"),
        "change its mode": lambda: os.chmod(t["open"], 0o777),
        "change its times": lambda: os.utime(t["open"]),
        "write the snapshot": lambda: _writable(t["snapshot"] + "/open"),
        "write the tree": lambda: _writable(__file__),
        "write the standard library": lambda: _writable(os.__file__),
        "write shared memory": lambda: _unnamed("/dev/shm"),
        "connect to this machine": lambda: _connect(socket.AF_INET, loop),
        "send a datagram": lambda: _connect(socket.AF_INET, loop, socket.SOCK_DGRAM),
        "listen": lambda: socket.create_server(("127.0.0.1", 0)).close(),
        "ask the kernel by netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
        "make raw packets": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        "connect to a unix socket": lambda: _connect(socket.AF_UNIX, house + "/socket"),
        "connect to an abstract one": lambda: _connect(socket.AF_UNIX, "\0" + t["abstract"]),
        "point a pair at one": lambda: _pair(house + "/datagrams"),
        "point the channel at one": lambda: _channel(house + "/socket"),
        "fork": _fork,
        "fork by clone3": _clone3,
        "run a program": lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}),
        "signal another process": lambda: os.kill(victim, signal.SIGCONT),
        "signal its starter": lambda: os.kill(t["starter"], 0),
        "trace another process": lambda: _trace(victim),
        "name another process": lambda: os.pidfd_open(victim),
        "take its open files": lambda: _call(_PIDFD_GETFD, 0, 0, 0),
        "list processes": lambda: _refused(str(victim) in os.listdir("/proc"), "not there"),
        "read its environment": lambda: _read(f"/proc/{victim}/environ"),
        "walk through its root": lambda: os.listdir(f"/proc/{victim}/root"),
        "see control groups": lambda: os.listdir("/sys/fs/cgroup"),
        "mount": _mount,
        "mount by descriptors": lambda: _call(_FSOPEN, ctypes.c_char_p(b"tmpfs"), 0),
        "open a tree of mounts": lambda: _call(_OPEN_TREE, -100, ctypes.c_char_p(b"/"), 1),
        "change its root": lambda: os.chroot("/"),
        "make a user namespace": lambda: _checked(_LIBC.unshare(_CLONE_NEWUSER)),
        "make a mount namespace": lambda: _checked(_LIBC.unshare(_CLONE_NEWNS)),
        "pass the filter by io_uring": lambda: _call(
            _IO_URING_SETUP, 1, ctypes.create_string_buffer(120)
        ),
        "hold a capability": _capabilities,
        "gain privileges": _privileges,
        "raise its limits": _limits,
        "have an environment": lambda: _refused(bool(set(os.environ) - {"PWD", "LC_CTYPE"}), "no"),
        "have open files": _descriptors,
    }


def tried(attempt: Callable[[], Any]) -> str | None:
    """Make an attempt; None if it was stopped, else what came of it."""
    try:
        attempt()
    except OSError:
        return None
    except Exception as error:  # noqa: BLE001 - a broken attempt shows nothing, and is told
        return f"broken: {type(error).__name__}"
    return "done"


def memory(t: dict[str, Any]) -> None:
    """Hold more and more of it, twice the bound at most."""
    pieces = range(2 * t["memory_bytes"] // (_HELD_MIB << 20))
    _ = [bytearray(os.urandom(1024)) * (_HELD_MIB << 10) for _ in pieces]


def disk(t: dict[str, Any]) -> None:
    """Fill the room that it was given, beyond room and memory together."""
    block = bytes(1 << 20)
    for number in range((2 * t["memory_bytes"] + t["state_bytes"]) // (8 << 20)):
        with open(f"fill-{number}", "wb") as file:
            file.writelines(block for _ in range(8))
    time.sleep(_LOOKED_AT_S)


def threads(_: dict[str, Any]) -> None:
    """Start more and more of them."""
    for _number in range(_THREADS):
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()


def busy(_: dict[str, Any]) -> None:
    """Compute without end."""
    while True:
        pass


def forever(_: dict[str, Any]) -> None:
    """Wait without end, whatever signal comes."""
    for number in range(1, 32):
        if number not in {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(1)


def main() -> None:
    """Carry out one mode and report on descriptor 0."""
    with open(os.path.dirname(__file__) + "/targets.json", "rb") as file:  # noqa: PTH120 - as above
        targets = json.load(file)
    if targets["mode"] == "attempts":
        outcomes = {name: tried(attempt) for name, attempt in attempts(targets).items()}
        found: dict[str, Any] = {"tried": len(outcomes)}
        found["out"] = {name: came for name, came in outcomes.items() if came is not None}
    else:
        takes = {one.__name__: one for one in (memory, disk, threads, busy, forever)}
        takes[targets["mode"]](targets)
        found = {"tried": 1, "out": {targets["mode"]: "done"}}
    os.write(0, json.dumps(found).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
