"""What a tool's program may use up, and that nothing of it is left: rows of docs/SANDBOX.md."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from runtime import cgroups
from runtime.bubblewrap import Bench
from runtime.core.errors import ToolFailed
from runtime.sandbox import Engine, SandboxLimits, spawn_tool
from runtime.tools.confined import OUTPUT_BYTES, Confined
from tests.sandbox.engines import ENGINES, needs_landlock


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def run(engine, folder):
    async def run(line: str, seconds: float = 30.0):
        return await Confined(engine=engine).run(
            ["bash", "--norc", "-c", line], folder=str(folder), write=True, seconds=seconds
        )

    return run


@pytest.fixture
def counted():
    group = cgroups.create(1 << 26, 16)
    if group is None:
        pytest.skip("no control group can be made here")
    group.remove()


def alive_in(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


FORKS = """
import os, time
n = 0
try:
    while n < 2000:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        n += 1
except OSError:
    pass
print(n, flush=True)
os._exit(0)
"""


async def test_fork_bomb(run, folder, counted):
    ran = await run(f"python3 -c '{FORKS}'")
    assert 10 < int(ran.output.split()[-1]) < 128
    assert alive_in(folder) == []
    bomb = await run("f() { f | f & }; f; sleep 60", seconds=1)
    assert bomb.timed_out
    assert alive_in(folder) == []


async def test_memory_hog(run, counted):
    ran = await run("python3 -c 'b = []\nwhile True: b.append(bytearray(8 << 20))'; echo $?")
    assert ran.code == 137 or ran.output.split()[-1] in ("1", "137")


async def test_disk_filling(run, engine, counted):
    """In bubblewrap the room is full; by Landlock it is memory, and that has an end."""
    ran = await run("head -c 900M /dev/zero > ${TMPDIR:-/tmp}/x && echo wrote it all")
    assert "wrote it all" not in ran.output
    assert ran.code != 0


async def test_endless_output(run):
    ran = await run("yes", seconds=1)
    assert ran.timed_out
    assert len(ran.output) <= OUTPUT_BYTES
    assert ran.left_out >= 0


async def test_never_ending(run, folder):
    ran = await run("trap '' TERM INT HUP QUIT; while true; do :; done", seconds=1)
    assert (ran.timed_out, ran.code) == (True, 137)
    assert alive_in(folder) == []


DAEMON = """
import ctypes, os, time
libc = ctypes.CDLL(None)
for _ in range(3):
    if os.fork():
        os._exit(0)
    os.setsid()
    libc.prctl(1, 0, 0, 0, 0)
    libc.prctl(36, 1, 0, 0, 0)
for n in range(3, 99):
    try: os.close(n)
    except OSError: pass
open("there", "w").close()
for n in (0, 1, 2): os.close(n)
time.sleep(600)
"""


async def test_daemon(run, folder):
    """In sessions of its own, adopted by itself, its output closed: nobody waits for it."""
    await run(f"python3 -c '{DAEMON}'; until test -e there; do sleep 0.05; done")
    assert alive_in(folder) == []


@needs_landlock
async def test_a_warden_that_is_killed_leaves_nothing_where_a_control_group_is(folder, counted):
    """Its program dies with it; what that started, in a session of its own, by the group."""
    ours, theirs = socket.socketpair()
    ours.close()
    child = await spawn_tool(
        ["python3", "-c", DAEMON],
        theirs,
        limits=SandboxLimits(memory_bytes=256 << 20, pids=32, wall_s=60),
        engine=Engine.LANDLOCK,
        bench=Bench(folder=str(folder), write=True),
        output_bytes=1000,
    )
    await child.wait()  # the daemon's first process has ended, and the warden all the rest
    assert alive_in(folder) == []
    (folder / "there").unlink(missing_ok=True)
    ours, theirs = socket.socketpair()
    ours.close()
    child = await spawn_tool(
        ["bash", "-c", f"python3 -c '{DAEMON}'; sleep 60"],
        theirs,
        limits=SandboxLimits(memory_bytes=256 << 20, pids=32, wall_s=60),
        engine=Engine.LANDLOCK,
        bench=Bench(folder=str(folder), write=True),
        output_bytes=1000,
    )
    async with asyncio.timeout(60):
        while not (folder / "there").exists():
            await asyncio.sleep(0.02)
    assert alive_in(folder)
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    assert alive_in(folder) == []


@pytest.mark.parametrize("swapped", ["folder", "parent"])
async def test_swapped_folder(tmp_path, engine, swapped):
    folder, home = tmp_path / "a" / "work", tmp_path / "home" / "work"
    for path in (folder, home):
        path.mkdir(parents=True)
    (home / "key").write_text("the operator's")
    if swapped == "folder":
        folder.rmdir()
        folder.symlink_to(home)
    else:
        (tmp_path / "a").rename(tmp_path / "old")
        (tmp_path / "a").symlink_to(tmp_path / "home")
    with pytest.raises(ToolFailed, match="leads elsewhere"):
        await Confined(engine=engine).run(
            ["cat", "key"], folder=str(folder), write=True, seconds=30
        )


@needs_landlock
async def test_landlock_opens_no_folder_through_a_link(tmp_path, monkeypatch):
    """Put there after the node looked: the kernel itself refuses to follow it."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").symlink_to(tmp_path / "home")
    monkeypatch.setattr(os.path, "realpath", lambda path, **_: str(path))
    with pytest.raises(ToolFailed, match="cannot be opened"):
        await Confined(engine=Engine.LANDLOCK).run(
            ["ls"], folder=str(tmp_path / "work"), write=True, seconds=30
        )


@needs_landlock
async def test_root_without_a_control_group_starts_no_program_by_landlock(folder, monkeypatch):
    """Nothing would bound how many processes it starts: limits of a user do not hold for root."""
    if os.getuid() != 0:
        pytest.skip("not root")
    monkeypatch.setattr(cgroups, "create", lambda *_: None)
    with pytest.raises(ToolFailed, match="nothing bounds root's processes"):
        await Confined(engine=Engine.LANDLOCK).run(
            ["true"], folder=str(folder), write=True, seconds=30
        )
