"""The filter, run by a small interpreter of classic BPF: every call on both machines."""

import re
from pathlib import Path
from struct import iter_unpack, pack

import pytest

from runtime.core import seccomp
from runtime.core.seccomp import ALLOW, ERRNO, KILL, Filter, program

MACHINES = ["x86_64", "aarch64"]
COLUMN = {name: index for index, name in enumerate(MACHINES)}
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
NEEDED = {
    # name: (x86_64, aarch64): what an interpreter with threads and an event loop calls
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "mmap": (9, 222), "brk": (12, 214), "futex": (202, 98),
    "openat": (257, 56), "fstat": (5, 80), "execve": (59, 221), "exit_group": (231, 94), "recvfrom": (45, 207),
    "sendto": (44, 206), "getrandom": (318, 278), "epoll_create1": (291, 20), "clock_gettime": (228, 113),
    "prlimit64": (302, 261), "kill": (62, 129), "getsockopt": (55, 209), "rseq": (334, 293),
}  # fmt: skip


def evaluate(code: bytes, machine_arch: int, number: int, *args: int) -> int:
    data = pack("<IIQ6Q", number, machine_arch, 0, *(list(args) + [0] * 6)[:6])
    instructions = list(iter_unpack("<HBBI", code))
    at, register = 0, 0
    while True:
        opcode, yes, no, k = instructions[at]
        at += 1
        if opcode == 0x06:
            return k
        if opcode == 0x20:
            assert k % 4 == 0
            assert k < 64
            register = int.from_bytes(data[k : k + 4], "little")
        elif opcode == 0x54:
            register &= k
        else:
            taken = {0x15: register == k, 0x35: register >= k, 0x45: bool(register & k)}[opcode]
            at += yes if taken else no


@pytest.fixture(params=MACHINES)
def run(request):
    code, arch = program(request.param), seccomp.AUDIT_ARCH[request.param]
    run = lambda number, *args: evaluate(code, arch, number, *args)  # noqa: E731
    run.machine = request.param
    return run


def test_every_number_is_decided_as_the_table_says(run):
    column = COLUMN[run.machine]
    refused = {numbers[column] for numbers in seccomp._REFUSED.values()} - {None}
    special = {
        pair[column]
        for pair in (seccomp._CLONE, seccomp._CLONE3, seccomp._SOCKETPAIR, seccomp._IOCTL)
    }
    assert not refused & special
    for number in range(600):
        if number in special:
            continue
        action = run(number)
        if number > 462:
            assert action == ERRNO | 38
        elif number in refused:
            assert action & 0xFFFF0000 == ERRNO
            assert action & 0xFFFF in (1, 13)
        else:
            assert action == ALLOW


@pytest.mark.parametrize("name", NEEDED)
def test_the_interpreter_s_calls_are_allowed(run, name):
    assert run(NEEDED[name][COLUMN[run.machine]], 0, 0, 0) == ALLOW


def test_another_architecture_is_killed(run):
    other = next(arch for name, arch in seccomp.AUDIT_ARCH.items() if name != run.machine)
    code = program(run.machine)
    for arch in (other, 0x40000003, 0x40000028, 0):
        assert evaluate(code, arch, 0) == KILL


def test_x32_calls_are_killed():
    assert evaluate(program("x86_64"), seccomp.AUDIT_ARCH["x86_64"], 0x40000000) == KILL


def test_threads_but_no_processes(run):
    clone, clone3 = (pair[COLUMN[run.machine]] for pair in (seccomp._CLONE, seccomp._CLONE3))
    assert run(clone, 0x3D0F00) == ALLOW  # what pthread_create passes
    assert run(clone, 0x01200011) == ERRNO | 1  # what fork passes
    assert run(clone, 0x10000000 | 17) == ERRNO | 1
    assert run(clone3) == ERRNO | 38  # the C library then uses clone


def test_only_connected_stream_pairs(run):
    pair = seccomp._SOCKETPAIR[COLUMN[run.machine]]
    assert run(pair, 1, 1, 0) == ALLOW
    assert run(pair, 1, 1 | 0o2000000 | 0o4000, 0) == ALLOW  # close-on-exec, non-blocking
    for family, kind in ((1, 2), (1, 5), (2, 1), (0, 1), (16, 3)):
        assert run(pair, family, kind, 0) == ERRNO | 13


def test_terminal_input_is_refused(run):
    ioctl = seccomp._IOCTL[COLUMN[run.machine]]
    assert run(ioctl, 0, 0x5412) == run(ioctl, 0, 0x541C) == ERRNO | 1
    assert run(ioctl, 0, 0x5413) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_the_kernel_s(machine):
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"no {header.name}: apt install linux-libc-dev")
    pairs = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
    numbers = {name: int(number) for name, number in pairs}
    table = (
        seccomp._REFUSED
        | seccomp._REFUSED_ON_HOST
        | seccomp._OWN_PROCESS_ONLY
        | {
            "setpriority": seccomp._SETPRIORITY,
            "ioprio_set": seccomp._IOPRIO_SET,
            "utimensat": seccomp._UTIMENSAT,
            "clone": seccomp._CLONE,
            "clone3": seccomp._CLONE3,
            "socketpair": seccomp._SOCKETPAIR,
            "ioctl": seccomp._IOCTL,
        }
    )
    for name, columns in table.items():
        number = columns[COLUMN[machine]]
        if name in numbers:
            assert number == numbers[name], name
        else:
            assert number is None or number > 450, f"{name} is not in {header}"


def test_unknown_machine_is_refused():
    with pytest.raises(seccomp.UnsupportedMachine, match="riscv64"):
        program("riscv64")


# ---- what other filters open and shut ----------------------------------------------------------

NUMBERS = seccomp._REFUSED | seccomp._REFUSED_ON_HOST | seccomp._OWN_PROCESS_ONLY


def filtered(machine: str, **rules):
    code, arch = program(machine, Filter(**rules)), seccomp.AUDIT_ARCH[machine]
    return lambda number, *args: evaluate(code, arch, number, *args)


@pytest.fixture(params=MACHINES)
def machine(request):
    return request.param


def number(machine, name):
    return NUMBERS[name][COLUMN[machine]]


RULES = [
    Filter(),
    Filter(shares_host=True),
    Filter(processes=True),
    Filter(processes=True, shares_host=True),
    Filter(accepts=True, shares_host=True),
    Filter(processes=True, families=(2, 10, 16)),
    Filter(processes=True, families=(1, 2, 10, 16), shares_host=True),
]


@pytest.mark.parametrize("rules", RULES)
def test_what_is_opened_is_named_and_nothing_else_is(machine, rules):
    """A dumb twin: every call without arguments that matter, by sets."""
    run = filtered(machine, **{name: getattr(rules, name) for name in rules.__slots__})
    opened = set()
    opened |= {"fork", "vfork"} if rules.processes else set()
    opened |= {"accept", "accept4", "listen"} if rules.accepts or rules.families else set()
    opened |= {"connect", "bind", "listen"} if rules.families else set()
    table = seccomp._REFUSED | (seccomp._REFUSED_ON_HOST if rules.shares_host else {})
    for name in table:
        at = number(machine, name)
        if at is None or (name == "socket" and rules.families):
            continue
        assert (run(at) == ALLOW) is (name in opened), name
    if not rules.shares_host:
        for name in seccomp._REFUSED_ON_HOST | seccomp._OWN_PROCESS_ONLY:
            if number(machine, name) is not None:
                assert run(number(machine, name), 7) == ALLOW, name


def test_processes_but_never_in_namespaces_of_their_own(machine):
    run = filtered(machine, processes=True)
    clone = seccomp._CLONE[COLUMN[machine]]
    assert run(clone, 0x01200011) == ALLOW  # fork
    assert run(clone, 0x4111) == ALLOW  # vfork, posix_spawn
    assert run(clone, 0x3D0F00) == ALLOW  # a thread
    for bit in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert run(clone, bit | 17) == ERRNO | 1
    assert run(seccomp._CLONE3[COLUMN[machine]]) == ERRNO | 38  # what it asks is behind a pointer


def test_sockets_of_named_families_only(machine):
    run = filtered(machine, families=(2, 10))
    socket, pair = number(machine, "socket"), seccomp._SOCKETPAIR[COLUMN[machine]]
    for family in range(50):
        assert run(socket, family, 1) == (ALLOW if family in (2, 10) else ERRNO | 13)
    assert run(pair, 1, 1) == ALLOW
    assert run(pair, 1, 2) == ERRNO | 13  # a datagram pair can be pointed at a path
    unix = filtered(machine, families=(1,))
    assert unix(pair, 1, 2) == ALLOW
    assert unix(pair, 2, 2) == ERRNO | 13


def test_beside_the_host_s_processes_only_the_own_is_changed(machine):
    run = filtered(machine, processes=True, shares_host=True)
    for name in seccomp._OWN_PROCESS_ONLY:
        assert run(number(machine, name), 0) == ALLOW
        for other in (1, 4711, 0xFFFFFFFF):
            assert run(number(machine, name), other) == ERRNO | 1
    priority, io = seccomp._SETPRIORITY[COLUMN[machine]], seccomp._IOPRIO_SET[COLUMN[machine]]
    assert run(priority, 0, 0) == run(io, 1, 0) == ALLOW
    for who, which in ((0, 4711), (1, 0), (2, 0)):  # of another, of a group, of all of the user
        assert run(priority, who, which) == ERRNO | 1
        assert run(io, who + 1, which) == ERRNO | 1


def test_times_are_changed_of_what_is_open_only(machine):
    run = filtered(machine, shares_host=True)
    times = seccomp._UTIMENSAT[COLUMN[machine]]
    assert run(times, 3, 0) == ALLOW
    for path in (1, 0x7FFF_1234_5678, 0x1_0000_0000):  # the halves are looked at both
        assert run(times, 3, path) == ERRNO | 1
