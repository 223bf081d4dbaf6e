"""What Landlock is asked, by ABI: compared with the kernel's own header, and within its rules."""

import re
from pathlib import Path

import pytest

from runtime.core.landlock import Access, Net, Right, Scope, handled, rights, unfit

HEADER = Path("/usr/include/linux/landlock.h")
ABIS = range(1, 9)
FILE_RIGHTS = {"EXECUTE", "WRITE_FILE", "READ_FILE", "TRUNCATE", "IOCTL_DEV"}
COUNT = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""File rights by ABI: landlock(7), section VERSIONS."""


def names(flags) -> set[str]:
    return {flag.name for flag in flags}


@pytest.mark.parametrize("prefix_and_kind", [("FS", Right), ("NET", Net)])
def test_values_are_the_kernel_s(prefix_and_kind):
    if not HEADER.exists():
        pytest.skip(f"no {HEADER}: apt install linux-libc-dev")
    prefix, kind = prefix_and_kind
    found = re.findall(rf"LANDLOCK_ACCESS_{prefix}_(\w+)\s+\(1ULL << (\d+)\)", HEADER.read_text())
    known = {name: 1 << int(bit) for name, bit in found}
    assert known or prefix == "NET"  # a header older than Linux 6.7
    ours = {name: int(flag) for name, flag in kind.__members__.items()}
    assert known.items() <= ours.items()


@pytest.mark.parametrize("abi", ABIS)
def test_all_that_a_kernel_knows_is_held(abi):
    held = handled(abi)
    assert len(names(held.fs)) == COUNT[min(abi, 5)]
    assert names(held.net) == ({"BIND_TCP", "CONNECT_TCP"} if abi >= 4 else set())
    assert names(held.scoped) == ({"ABSTRACT_UNIX_SOCKET", "SIGNAL"} if abi >= 6 else set())
    assert handled(abi, network=True).net == Net(0)
    assert handled(abi, network=True).fs == held.fs


@pytest.mark.parametrize("abi", ABIS)
@pytest.mark.parametrize("access", Access)
@pytest.mark.parametrize("folder", [True, False])
def test_no_more_is_granted_than_is_held_and_fits(abi, access, folder):
    """The kernel refuses a rule that names a right which is not handled, or not one of a file."""
    granted = rights(abi, access, folder=folder)
    assert granted
    assert granted & ~handled(abi).fs == Right(0)
    if not folder:
        assert names(granted) <= FILE_RIGHTS


def test_nobody_makes_devices_or_controls_them():
    every = Right(0)
    for access in Access:
        every |= rights(9, access, folder=True)
    assert not every & (Right.MAKE_CHAR | Right.MAKE_BLOCK | Right.IOCTL_DEV)


def test_reading_changes_nothing():
    assert names(rights(9, Access.READ, folder=True)) == {"EXECUTE", "READ_FILE", "READ_DIR"}


@pytest.mark.parametrize(("abi", "word"), [(0, "no Landlock"), (1, "ABI 1"), (5, "ABI 5")])
def test_a_kernel_that_holds_too_little_is_named(abi, word):
    assert word in (unfit(abi) or "")


@pytest.mark.parametrize("abi", [6, 7, 30])
def test_a_kernel_that_holds_signals_will_do(abi):
    assert unfit(abi) is None


def test_scopes_are_two():
    assert [int(scope) for scope in Scope] == [1, 2]
