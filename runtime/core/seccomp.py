"""The system-call filters of what runs in the sandbox, assembled as classic BPF (seccomp(2)).

The agent computes and talks over one inherited socket; it needs no other process, no network and
no namespace. So beyond the usual list of kernel doors its filter (AGENT) refuses

- every new socket, and every socketpair but a connected stream: a read-only mount does not stop
  connect(2) to a UNIX socket that lies in it, and a datagram pair can be pointed at one;
- every new process (threads are let through): no fork bomb, no daemon, and per-process limits on
  CPU time and address space become limits on the whole agent;
- memory that no limit counts (memfd, System V and POSIX queues), and every call younger than
  this table.

A program of the system (a shell, a script, a server of tools) starts others and may be let have
sockets; the kernel's doors stay shut for it as well. What a `Filter` opens is named in it.

`shares_host` is for Landlock, which gives no view of processes, files and queues of its own: with
it are refused, too, calls that act on whatever a path or a number names without that Landlock is
asked. That is the mode, owner, attributes and times of a file (its owner needs no other right than
to be the same user), watching a folder for names, limits and priority of another process, and
System V objects by their number.

Not covered: arguments behind pointers, which a filter cannot read; execve(2), which starts the
interpreter itself and later only reaches what is mounted or granted.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from struct import pack
from typing import Final

from runtime.core.errors import AgentError

EPERM: Final = 1
EACCES: Final = 13
ENOSYS: Final = 38

KILL: Final = 0x8000_0000
ALLOW: Final = 0x7FFF_0000
ERRNO: Final = 0x0005_0000

INSTRUCTIONS_MAX: Final = 4096
"""BPF_MAXINSNS: the kernel takes no longer program."""

AUDIT_ARCH: Final = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}

_LOAD, _JUMP_EQ, _JUMP_GE, _JUMP_SET, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCH, _ARG0, _ARG1, _ARG1_HIGH = 0, 4, 16, 24, 28
"""Offsets into struct seccomp_data; of an argument the low half, both machines little-endian."""

_X32_BIT: Final = 0x4000_0000
_CLONE_THREAD: Final = 0x0001_0000
_CLONE_NEW: Final = 0x7E02_0000
"""Every namespace that clone(2) can make."""
AF_UNIX: Final = 1
AF_INET: Final = 2
AF_INET6: Final = 10
AF_NETLINK: Final = 16
_SOCK_STREAM: Final = 1
_SOCK_TYPE_MASK: Final = 0xF
_TERMINAL_INPUT: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX put keystrokes into somebody else's terminal."""

_YOUNGEST: Final = 462
"""mseal, Linux 6.10: what came later was not reviewed here and does not exist for the agent."""

_REFUSED: Final = {
    # name: (x86_64, aarch64); None where the machine has no such call
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "fork": (57, None),
    "vfork": (58, None),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "unshare": (272, 97),
    "setns": (308, 268),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "set_mempolicy_home_node": (450, 450),
    "vmsplice": (278, 75),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
}
_CLONE, _CLONE3, _SOCKETPAIR, _IOCTL = (56, 220), (435, 435), (53, 199), (16, 29)
_SOCKET: Final = (41, 198)
_PROCESSES: Final = ("fork", "vfork")
_ACCEPTING: Final = ("accept", "accept4", "listen")
"""asyncio says listen(2) again of the socket that it is given; no other could be made or bound."""
_SOCKETS: Final = ("socket", "connect", "bind", "listen", *_ACCEPTING)

_REFUSED_ON_HOST: Final = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
    "shmctl": (31, 195),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_unlink": (241, 181),
}
"""What Landlock is not asked about, of files, folders and queues of the same user."""
_OWN_PROCESS_ONLY: Final[dict[str, tuple[int, int]]] = {
    "prlimit64": (302, 261),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122),
}
"""Take the number of a process first; 0 is the caller, and the only one let through."""
_SETPRIORITY, _IOPRIO_SET, _UTIMENSAT = (141, 140), (251, 30), (280, 88)
_PRIO_PROCESS, _IOPRIO_WHO_PROCESS = 0, 1

_Instruction = tuple[int, int, int, int]


class UnsupportedMachine(AgentError):
    """There is no table of system calls for this processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What one kind of process is let do beside computing."""

    processes: bool = False
    """Start others; never in namespaces of their own."""
    families: tuple[int, ...] = ()
    """Make sockets of these address families (AF_...)."""
    accepts: bool = False
    """Take connections of a socket that it inherited."""
    shares_host: bool = False
    """It sees the host's processes, files and queues; see the module."""


AGENT: Final = Filter()
"""Of an agent process; with `shares_host` under Landlock."""


def program(machine: str, rules: Filter = AGENT) -> bytes:
    """Return the filter for `machine` (`x86_64` or `aarch64`, as uname(2) says).

    The bytes are an array of struct sock_filter, what bubblewrap's --seccomp and prctl(2) take.
    Raises UnsupportedMachine.
    """
    if machine not in AUDIT_ARCH:
        raise UnsupportedMachine(f"no system-call table for {machine}, only x86_64 and aarch64")
    column = tuple(AUDIT_ARCH).index(machine)
    streams = _of_family((AF_UNIX,)) if AF_UNIX in rules.families else _streams_only()
    code: list[_Instruction] = [
        *_prologue(machine),
        *_unless(_CLONE3[column], [_ret(ERRNO | ENOSYS)]),
        *_unless(_CLONE[column], _no_namespaces() if rules.processes else _threads_only()),
        *_unless(_SOCKETPAIR[column], streams),
        *_unless(_IOCTL[column], _no_terminal_input()),
        *(_unless(_SOCKET[column], _of_family(rules.families)) if rules.families else []),
        *(_on_host(column) if rules.shares_host else []),
    ]
    for name in _refused_names(rules):
        number = (_REFUSED | _REFUSED_ON_HOST)[name][column]
        if number is not None:
            code += _unless(number, [_ret(ERRNO | (EACCES if name == "socket" else EPERM))])
    code.append(_ret(ALLOW))
    assert len(code) <= INSTRUCTIONS_MAX
    return b"".join(pack("<HBBI", *instruction) for instruction in code)


def _refused_names(rules: Filter) -> Iterable[str]:
    """Those that are refused whatever their arguments are."""
    opened = {
        *(_PROCESSES if rules.processes else ()),
        *(_SOCKETS if rules.families else ()),
        *(_ACCEPTING if rules.accepts else ()),
    }
    names = [*_REFUSED, *(_REFUSED_ON_HOST if rules.shares_host else ())]
    return [name for name in names if name not in opened]


def _on_host(column: int) -> list[_Instruction]:
    own = [_load(_ARG0), (_JUMP_EQ, 0, 1, 0), _ret(ALLOW), _ret(ERRNO | EPERM)]
    code: list[_Instruction] = []
    for numbers in _OWN_PROCESS_ONLY.values():
        code += _unless(numbers[column], own)
    return [
        *code,
        *_unless(_SETPRIORITY[column], _own_priority(_PRIO_PROCESS)),
        *_unless(_IOPRIO_SET[column], _own_priority(_IOPRIO_WHO_PROCESS)),
        *_unless(_UTIMENSAT[column], _times_of_an_open_file()),
    ]


def _own_priority(who: int) -> list[_Instruction]:
    """Of the calling process: neither of another, nor of all that a user or a group has."""
    return [
        _load(_ARG0),
        (_JUMP_EQ, 0, 3, who),
        _load(_ARG1),
        (_JUMP_EQ, 0, 1, 0),
        _ret(ALLOW),
        _ret(ERRNO | EPERM),
    ]


def _times_of_an_open_file() -> list[_Instruction]:
    """Without a path (futimens): of a file that could be opened, as touch(1) does it."""
    return [
        _load(_ARG1),
        (_JUMP_EQ, 0, 3, 0),
        _load(_ARG1_HIGH),
        (_JUMP_EQ, 0, 1, 0),
        _ret(ALLOW),
        _ret(ERRNO | EPERM),
    ]


def _of_family(families: tuple[int, ...]) -> list[_Instruction]:
    last = len(families)
    tests = [(_JUMP_EQ, last - at, 0, family) for at, family in enumerate(families)]
    return [_load(_ARG0), *tests, _ret(ERRNO | EACCES), _ret(ALLOW)]


def _ret(action: int) -> _Instruction:
    return (_RETURN, 0, 0, action)


def _load(offset: int) -> _Instruction:
    return (_LOAD, 0, 0, offset)


def _unless(number: int, block: list[_Instruction]) -> list[_Instruction]:
    """Run `block`, which must return on every path, for call `number`; skip it for others."""
    return [(_JUMP_EQ, 0, len(block), number), *block]


def _prologue(machine: str) -> list[_Instruction]:
    """Another ABI would give every number below another meaning: such a process is killed."""
    code = [_load(_ARCH), (_JUMP_EQ, 1, 0, AUDIT_ARCH[machine]), _ret(KILL), _load(_NUMBER)]
    if machine == "x86_64":
        code += [(_JUMP_GE, 0, 1, _X32_BIT), _ret(KILL)]
    return [*code, (_JUMP_GE, 0, 1, _YOUNGEST + 1), _ret(ERRNO | ENOSYS)]


def _threads_only() -> list[_Instruction]:
    return [_load(_ARG0), (_JUMP_SET, 1, 0, _CLONE_THREAD), _ret(ERRNO | EPERM), _ret(ALLOW)]


def _no_namespaces() -> list[_Instruction]:
    return [_load(_ARG0), (_JUMP_SET, 0, 1, _CLONE_NEW), _ret(ERRNO | EPERM), _ret(ALLOW)]


def _streams_only() -> list[_Instruction]:
    return [
        _load(_ARG0),
        (_JUMP_EQ, 0, 4, AF_UNIX),
        _load(_ARG1),
        (_AND, 0, 0, _SOCK_TYPE_MASK),
        (_JUMP_EQ, 0, 1, _SOCK_STREAM),
        _ret(ALLOW),
        _ret(ERRNO | EACCES),
    ]


def _no_terminal_input() -> list[_Instruction]:
    sti, linux = _TERMINAL_INPUT
    return [
        _load(_ARG1),
        (_JUMP_EQ, 1, 0, sti),
        (_JUMP_EQ, 0, 1, linux),
        _ret(ERRNO | EPERM),
        _ret(ALLOW),
    ]
