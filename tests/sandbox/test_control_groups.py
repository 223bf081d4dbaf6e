"""Control groups without a sandbox: which files get which text, and what a kernel makes of it.

The hierarchy of version 2 is the one that is mounted here, if this process may make groups in it.
Where version 1 has the controllers of memory and processes, as on many machines that mount both,
version 2 counts and ends, and cannot bound.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import cgroups
from tests.node.world import until

MIB = 1 << 20
SECONDS = 60.0
FAMILY = """
import subprocess, sys
sys.stdin.read()
for _ in range(3):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
while True:
    pass
"""
"""Waits until it is in the group; what it starts then is in it from the beginning."""


def version_2() -> Path | None:
    """Where version 2 is mounted."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return next((Path(at) for _, at, kind, *_ in mounts if kind == "cgroup2"), None)


@pytest.fixture
def kernel():
    """The mounted hierarchy of version 2; skips where there is none, or none to write to."""
    root = version_2()
    if root is None:
        pytest.skip("no hierarchy of version 2 is mounted")
    return root


@pytest.fixture
def group(kernel):
    """A group in it without limits, made as `create` makes one."""
    folder = kernel / f"{cgroups._PREFIX}{os.getpid()}-test"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no group can be made in {kernel}: {error.strerror}")
    made = cgroups.Cgroup({"": folder})
    yield made
    made.end()
    assert made.remove()


def test_a_kernel_of_version_2_counts_a_family_and_ends_it(group):
    folder = group.folders[""]
    child = subprocess.Popen([sys.executable, "-c", FAMILY], stdin=subprocess.PIPE)
    try:
        group.add(child.pid)
        child.stdin.close()
        until(lambda: len(cgroups._pids(folder)) == 4, SECONDS, "all are in the group")
        until(lambda: group.usage().cpu_s, SECONDS, "its time is counted")
        used = group.usage()
        assert used.cpu_s > 0
        counted = (folder / "memory.peak").exists()
        assert (used.memory_peak_bytes is not None) == counted
        assert not group.remove()
    finally:
        group.end()
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert cgroups._pids(folder) == []
    assert folder.is_dir()


def test_a_kernel_of_version_2_bounds_or_there_is_no_group(kernel):
    """Without controllers in the parent a group has no such files, and none is left half made."""
    made = cgroups.create(64 * MIB, 7, root=kernel)
    if made is None:
        assert not list(kernel.rglob(f"{cgroups._PREFIX}{os.getpid()}-*"))
        return
    folder = made.folders[""]
    told = {name: (folder / name).read_text() for name in ("memory.max", "pids.max")}
    assert made.remove()
    assert told == {"memory.max": f"{64 * MIB}\n", "pids.max": "7\n"}


def test_control_groups_version_2_are_written_beside_the_own(tmp_path):
    """A plain folder stands in: what is tested is which files get which text."""
    root, own = tmp_path / "cgroup", tmp_path / "own"
    (root / "user" / "shell").mkdir(parents=True)
    (root / "cgroup.controllers").write_text("memory pids")
    own.write_text("0::/user/shell\n")
    group = cgroups.create(1000, 7, root=root, own=own)
    assert group is not None
    folder = group.folders[""]
    assert folder.parent == root / "user"
    assert (folder / "memory.max").read_text() == "1000"
    assert (folder / "pids.max").read_text() == "7"
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (folder / "memory.peak").write_text("77\n")
    assert group.usage() == cgroups.Usage(cpu_s=1.5, memory_peak_bytes=77)


def test_without_control_groups_there_is_none(tmp_path):
    assert cgroups.create(1000, 7, root=tmp_path, own=tmp_path / "absent") is None
    own = tmp_path / "own"
    own.write_text("4:memory:/\n")
    assert cgroups.create(1000, 7, root=tmp_path, own=own) is None
