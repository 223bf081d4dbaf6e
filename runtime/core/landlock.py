"""What Landlock (landlock(7)) is asked to hold, by the version of it that a kernel has.

Landlock takes rights from a process for good, by itself and without privilege: of files, of TCP
ports, and of reaching others by signals and abstract UNIX sockets. What a kernel knows is its ABI
version, one number; a right that is not *handled* is not held, so all that are known are handled.

    ABI 1  Linux 5.13  files      2  5.19  renaming across folders    3  6.2   truncation
    ABI 4  6.7         TCP ports  5  6.10  controls of devices        6  6.12  signals, abstract
                                                                               sockets

`unfit` says what is missing for our purpose. Below 6 a process could end every process of the same
user, this node first, and nothing else that needs no privilege would stop it: such a kernel is
refused, not used with less.

Not covered, and closed by `runtime.core.seccomp` (`shares_host`): every socket but TCP, the mode,
owner and times of files, queues, limits of other processes. Not closed by anything: that a file of
a guessed name exists, how large it is and when it changed (stat(2)).
"""

from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import Final

ABI_NEEDED: Final = 6
_LINUX_NEEDED: Final = "6.12"


class Right(IntFlag):
    """LANDLOCK_ACCESS_FS_*: the names and values of linux/landlock.h."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


class Net(IntFlag):
    """LANDLOCK_ACCESS_NET_*."""

    BIND_TCP = 1 << 0
    CONNECT_TCP = 1 << 1


class Scope(IntFlag):
    """LANDLOCK_SCOPE_*: what does not leave the domain."""

    ABSTRACT_UNIX_SOCKET = 1 << 0
    SIGNAL = 1 << 1


_OF_FILES: Final = (
    Right.EXECUTE | Right.WRITE_FILE | Right.READ_FILE | Right.TRUNCATE | Right.IOCTL_DEV
)
"""The rights that a rule about something else than a folder may name."""
_SINCE: Final = {2: Right.REFER, 3: Right.TRUNCATE, 5: Right.IOCTL_DEV}
_FIRST: Final = Right((1 << 13) - 1)
_READ: Final = Right.EXECUTE | Right.READ_FILE | Right.READ_DIR
_MAKES: Final = Right.MAKE_DIR | Right.MAKE_REG | Right.MAKE_SYM | Right.MAKE_FIFO | Right.MAKE_SOCK
_WRITE: Final = (
    _READ | Right.WRITE_FILE | Right.TRUNCATE | Right.REMOVE_DIR | Right.REMOVE_FILE
    | Right.REFER | _MAKES
)  # fmt: skip
_DEVICE: Final = Right.READ_FILE | Right.WRITE_FILE | Right.TRUNCATE


class Access(Enum):
    """What a granted path is for. Nobody is ever granted the making of devices."""

    READ = "read"
    """With all below it; programs in it may be run."""
    WRITE = "write"
    DEVICE = "device"
    """One that is neither a file nor a terminal: null, zero, urandom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """struct landlock_ruleset_attr: what the kernel holds unless a rule grants it."""

    fs: Right
    net: Net
    scoped: Scope


def unfit(abi: int) -> str | None:
    """Say in a line why a kernel with this ABI cannot hold a child; None if it can.

    `abi` is what landlock_create_ruleset(2) answers when asked for the version; 0 if it has none.
    """
    if abi < 1:
        return "this kernel has no Landlock (not built in, or not among the modules of lsm=)"
    if abi < ABI_NEEDED:
        return (
            f"this kernel's Landlock (ABI {abi}) does not hold signals:"
            f" ABI {ABI_NEEDED} expected, Linux {_LINUX_NEEDED}"
        )
    return None


def handled(abi: int, *, network: bool = False) -> Handled:
    """Return all that a kernel of this ABI can hold; TCP is left alone if the child may use it."""
    files = _FIRST
    for since, right in _SINCE.items():
        files |= right if abi >= since else Right(0)
    ports = Net.BIND_TCP | Net.CONNECT_TCP if abi >= 4 and not network else Net(0)
    scopes = Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL if abi >= ABI_NEEDED else Scope(0)
    return Handled(fs=files, net=ports, scoped=scopes)


def rights(abi: int, access: Access, *, folder: bool) -> Right:
    """Return what a rule about one path grants: never more than is handled, or fits a file."""
    match access:
        case Access.READ:
            wanted = _READ
        case Access.WRITE:
            wanted = _WRITE
        case Access.DEVICE:
            wanted = _DEVICE
    known = wanted & handled(abi).fs
    return known if folder else known & _OF_FILES
