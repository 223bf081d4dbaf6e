"""The system-call filter of the agent process, assembled as classic BPF (seccomp(2)).

The agent computes and talks over one inherited socket; it needs no other process, no network and
no namespace. So beyond the usual list of kernel doors this filter refuses

- every new socket, and every socketpair but a connected stream: a read-only mount does not stop
  connect(2) to a UNIX socket that lies in it, and a datagram pair can be pointed at one;
- every new process (threads are let through): no fork bomb, no daemon, and per-process limits on
  CPU time and address space become limits on the whole agent;
- memory that no limit counts (memfd, System V and POSIX queues), and every call younger than
  this table.

Not covered: arguments behind pointers, which a filter cannot read; execve(2), which starts the
interpreter itself and later only reaches what is mounted.
"""

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
_NUMBER, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24
"""Offsets into struct seccomp_data; of an argument the low half, both machines little-endian."""

_X32_BIT: Final = 0x4000_0000
_CLONE_THREAD: Final = 0x0001_0000
_AF_UNIX: Final = 1
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

_Instruction = tuple[int, int, int, int]


class UnsupportedMachine(AgentError):
    """There is no table of system calls for this processor."""


def program(machine: str) -> bytes:
    """Return the filter for `machine` (`x86_64` or `aarch64`, as uname(2) says).

    The bytes are an array of struct sock_filter, what bubblewrap's --seccomp and prctl(2) take.
    Raises UnsupportedMachine.
    """
    if machine not in AUDIT_ARCH:
        raise UnsupportedMachine(f"no system-call table for {machine}, only x86_64 and aarch64")
    column = tuple(AUDIT_ARCH).index(machine)
    code: list[_Instruction] = [
        *_prologue(machine),
        *_unless(_CLONE3[column], [_ret(ERRNO | ENOSYS)]),
        *_unless(_CLONE[column], _threads_only()),
        *_unless(_SOCKETPAIR[column], _streams_only()),
        *_unless(_IOCTL[column], _no_terminal_input()),
    ]
    for numbers in _REFUSED.values():
        number = numbers[column]
        if number is not None:
            errno = EACCES if numbers == _REFUSED["socket"] else EPERM
            code += _unless(number, [_ret(ERRNO | errno)])
    code.append(_ret(ALLOW))
    assert len(code) <= INSTRUCTIONS_MAX
    return b"".join(pack("<HBBI", *instruction) for instruction in code)


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


def _streams_only() -> list[_Instruction]:
    return [
        _load(_ARG0),
        (_JUMP_EQ, 0, 4, _AF_UNIX),
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
