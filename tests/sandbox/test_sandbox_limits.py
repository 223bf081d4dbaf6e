"""What a child may use up, and that nothing of it outlives its end."""

# ruff: noqa: ASYNC220, ASYNC240 - these tests own their loop and may block it

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from runtime import bubblewrap, cgroups, landlock, rooms, sandbox
from runtime import child as child_module
from runtime.sandbox import Engine, SandboxError, SandboxLimits, spawn
from runtime.tasks import to_its_end
from tests.sandbox.engines import ENGINES, EVERY, kernel_says, needs_landlock
from tests.sandbox.sandbox_driver import run_child

MIB = 1 << 20
NO_PROCESS = (1 << 22) + 1
"""Beyond the largest number that Linux gives (PID_MAX_LIMIT): of one that ended, another has it."""
DRAWN = "a_1b2c3d"
"""As `mkdtemp` draws it."""


@pytest.fixture
def tree(tmp_path):
    def write(source: str) -> Path:
        (tmp_path / "main.py").write_text(source)
        return tmp_path

    return write


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture
def run(tree, engine):
    async def run(source, **limits):
        values = {"memory_bytes": 96 * MIB, "wall_s": 120, "cpu_seconds": 5, "state_bytes": 8 * MIB}
        return await run_child(tree(source), engine, SandboxLimits(**values | limits))

    return run


async def test_the_engine_works_here():
    assert await sandbox.probe() == sandbox.Probe(engine=Engine.BUBBLEWRAP), (
        "install bubblewrap: apt install bubblewrap"
    )
    assert await sandbox.detect() is Engine.BUBBLEWRAP


async def test_landlock_works_where_the_kernel_has_it():
    found = await sandbox.probe(Engine.LANDLOCK)
    why = kernel_says()
    if why is not None:
        assert found == sandbox.Probe(engine=Engine.NONE, reason=why)
        pytest.skip(why)
    assert found == sandbox.Probe(engine=Engine.LANDLOCK)


@needs_landlock
async def test_without_bubblewrap_it_is_landlock_and_why_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await sandbox.probe()
    assert found.engine is Engine.LANDLOCK
    assert found.reason == "bubblewrap (bwrap) is not on PATH"


async def test_a_kernel_that_holds_too_little_is_refused(monkeypatch, tmp_path):
    """By the ABI it tells: such a kernel would let a child end the node by a signal."""
    monkeypatch.setattr(landlock, "abi", lambda: 5)
    found = await sandbox.probe(Engine.LANDLOCK)
    assert found.engine is Engine.NONE
    assert "does not hold signals" in found.reason


async def test_a_missing_engine_is_said_not_hidden(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    found = await sandbox.probe()
    assert found.engine is Engine.NONE
    assert "bwrap" in found.reason
    assert "no Landlock" in found.reason
    ours, theirs = socket.socketpair()
    with ours, pytest.raises(SandboxError, match="not on PATH") as caught:
        await spawn(tmp_path, theirs, limits=SandboxLimits(), engine=Engine.BUBBLEWRAP)
    assert "bubblewrap" in caught.value.hint


async def test_an_engine_that_fails_is_not_used(monkeypatch, tmp_path):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho bwrap: no permissions >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(bubblewrap, "program", lambda: str(fake))
    found = await sandbox.probe(Engine.BUBBLEWRAP)
    assert found.engine is Engine.NONE
    assert "no permissions" in found.reason


async def test_an_engine_that_leaks_is_not_used(monkeypatch):
    whole = bubblewrap.command

    def without_filter(fds, *args, **kwargs):
        argv = whole(fds, *args, **kwargs)
        at = argv.index("--seccomp")
        return argv[:at] + argv[at + 2 :]

    monkeypatch.setattr(bubblewrap, "command", without_filter)
    found = await sandbox.probe(Engine.BUBBLEWRAP)
    assert found.engine is Engine.NONE
    assert "a socket could be made" in found.reason
    assert "a process could be started" in found.reason


async def test_memory_hog_ends(run):
    _, child, code = await run("b = []\nwhile True: b.append(bytearray(4 << 20))")
    assert code in (1, 137)  # MemoryError, or killed by the kernel
    peak = child.usage().memory_peak_bytes
    assert peak is None or peak <= 96 * MIB


async def test_memory_hog_ends_without_a_control_group(run, monkeypatch):
    monkeypatch.setattr(cgroups, "create", lambda *_: None)
    _, child, code = await run("b = []\nwhile True: b.append(bytearray(4 << 20))")
    assert code == 1
    assert "MemoryError" in child.stderr_tail()
    assert child.usage() == cgroups.Usage()


FILES = "import os\nfor n in range({n}): open(f'f{{n}}', 'wb').write(bytes(1 << 20))\nimport time\ntime.sleep(60)"


async def test_memory_in_files_counts(run, engine):
    """In bubblewrap its own file system is full; by Landlock it is memory like all other."""
    _, child, code = await run(FILES.format(n=256))
    assert (code, "No space left" in child.stderr_tail()) == (
        (1, True) if engine is Engine.BUBBLEWRAP else (137, False)
    )


async def test_files_are_bounded_without_a_control_group(run, monkeypatch):
    monkeypatch.setattr(cgroups, "create", lambda *_: None)
    _, child, code = await run(FILES.format(n=16))
    assert code in (1, 137)
    assert "No space left" in child.stderr_tail()


async def test_a_file_is_bounded(run):
    source = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nopen('f', 'wb').write(bytes(3 << 20))"
    _, child, code = await run(source, file_bytes=MIB)
    assert code == 1
    assert "File too large" in child.stderr_tail()


async def test_cpu_spin_ends(run):
    _, child, code = await run("while True: pass", cpu_seconds=1)
    assert code == 137
    assert not child.timed_out
    used = child.usage().cpu_s
    assert used is None or used < 2.5


async def test_a_hang_ends(run):
    _, child, code = await run("import time; time.sleep(60)", wall_s=0.5)
    assert child.timed_out
    assert code == 137


async def test_ignoring_signals_does_not_help(run):
    source = "import signal, time\nfor n in range(1, 65):\n  try: signal.signal(n, signal.SIG_IGN)\n  except (OSError, ValueError): pass\ntime.sleep(60)"
    _, child, code = await run(source, wall_s=0.5)
    assert child.timed_out
    assert code == 137


async def test_thread_bomb_is_held(run):
    source = (
        "import threading, time\nthreading.stack_size(65536)\nn = 0\n"
        "try:\n  while True:\n    threading.Thread(target=time.sleep, args=(9,), daemon=True).start(); n += 1\n"
        "except RuntimeError: print(n, flush=True)\nimport os; os._exit(0)"
    )
    _, child, code = await run(source, pids=16)
    assert code == 0
    assert int(child.stderr_tail().split()[-1]) < 16


async def test_output_flood_is_slow_and_bounded(run):
    source = "import sys\nwhile True: sys.stdout.write('A' * 65536)"
    before = time.process_time()
    _, child, _ = await run(source, wall_s=1)
    assert len(child.stderr_tail()) <= child_module.OUTPUT_TAIL_BYTES_MAX
    assert time.process_time() - before < 0.7


async def test_output_tail_is_the_end(run):
    _, child, code = await run("import sys\nprint('x' * 50000)\nsys.exit('the end')")
    assert code == 1
    assert child.stderr_tail().rstrip().endswith("the end")


async def test_snapshot_and_entry(tree, tmp_path):
    snapshot = tmp_path / "bundle"
    snapshot.write_bytes(b"events")
    (tree("raise SystemExit(9)") / "other.py").write_text(
        "import os\nos.write(0, open('/snapshot', 'rb').read())"
    )
    said, _, code = await run_child(
        tmp_path, Engine.BUBBLEWRAP, entry="other.py", snapshot=snapshot
    )
    assert (said, code) == (b"events", 0)


async def test_siblings_and_cbor2_are_importable(tree):
    source = "import os, cbor2, helper\nos.write(0, cbor2.dumps(helper.VALUE))"
    (tree(source) / "helper.py").write_text("VALUE = [1, 2]")
    for engine in EVERY:
        said, child, code = await run_child(tree(source), engine)
        assert (said, code) == (b"\x82\x01\x02", 0), child.stderr_tail()


ORPHANS = """
import asyncio, socket, sys
from pathlib import Path
from runtime.sandbox import Engine, SandboxLimits, spawn

async def main():
    channel = socket.socket(fileno=int(sys.argv[1]))
    await spawn(Path(sys.argv[2]), channel, limits=SandboxLimits(), engine=Engine(sys.argv[3]))
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_child_dies_with_the_node(tree, engine):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        folder = tree("import os, time\nos.write(0, b'x')\ntime.sleep(60)")
        node = subprocess.Popen(
            [sys.executable, "-c", ORPHANS, str(theirs.fileno()), str(folder), engine],
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        loop = asyncio.get_running_loop()
        try:
            assert await loop.sock_recv(ours, 1) == b"x"
            node.kill()
            assert await loop.sock_recv(ours, 1) == b""  # nobody holds the other end
        finally:
            node.kill()
            node.wait()


@needs_landlock
def test_a_room_is_removed_whatever_was_left_in_it(tmp_path, monkeypatch):
    """By the next room, too, if the node that made it was killed. In a place of its own: another
    test process that makes a room in memory would sweep this one while it is being filled."""
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(rooms, "_MEMORY_FOLDER", tmp_path / "memory")
    (tmp_path / "operator").mkdir()
    (tmp_path / "operator" / "key").write_text("mine")
    room = rooms.Room()
    room.path = room.path.rename(room.path.parent / f"timmy-room-{NO_PROCESS}-{DRAWN}")
    at = os.open(room.path / "state", os.O_DIRECTORY)
    for _ in range(2000):  # deeper than a path can be long
        os.mkdir("d", dir_fd=at)
        at, above = os.open("d", os.O_DIRECTORY, dir_fd=at), at
        os.close(above)
    os.symlink(tmp_path / "operator", "link", dir_fd=at)
    os.mkdir("shut", 0o000, dir_fd=at)
    os.mkfifo("pipe", dir_fd=at)
    os.close(at)
    rooms.Room().cleanup()
    assert not room.path.exists()
    assert (tmp_path / "operator" / "key").read_text() == "mine"


def left(folder: Path) -> Path:
    """A folder as a process leaves it that was killed."""
    folder.mkdir(mode=0o700, parents=True)
    (folder / "tree").mkdir()
    (folder / "tree" / "main.py").write_text("")
    return folder


def test_a_workplace_is_removed_by_the_next_one_of_its_kind(tmp_path, monkeypatch):
    """What lies there of a process that runs, of another kind or of no process stays."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names = (
        f"timmy-judge-1-{DRAWN}", f"timmy-judge-x-{DRAWN}", f"timmy-other-{NO_PROCESS}-{DRAWN}",
        f"timmy-judge-{'9' * 30}-{DRAWN}", f"timmy-judge-{NO_PROCESS}-my-notes",
    )  # fmt: skip
    for name in (*names, f"timmy-judge-{NO_PROCESS}-{DRAWN}"):
        left(tmp_path / name)
    (tmp_path / f"timmy-judge-{NO_PROCESS}-{'l' * 8}").symlink_to(tmp_path / names[0])
    (opened := left(tmp_path / f"timmy-judge-{NO_PROCESS}-november")).chmod(0o755)
    names = (*names, f"timmy-judge-{NO_PROCESS}-{'l' * 8}", opened.name)
    with rooms.workplace("judge") as folder, rooms.workplace("judge") as beside:
        assert folder != beside
        (folder / "tree").mkdir()
        assert f"timmy-judge-{os.getpid()}-" in folder.name
        assert rooms._MADE.fullmatch(folder.name.removeprefix("timmy-judge-"))  # the next one's
        found = {path.name for path in tmp_path.iterdir()}
        assert found == {*names, folder.name, beside.name}
    assert {path.name for path in tmp_path.iterdir()} == {*names}
    assert all((tmp_path / name / "tree" / "main.py").exists() for name in names)


def test_what_a_process_holds_stays_where_there_is_no_proc(tmp_path, monkeypatch):
    """As on macOS: who runs is asked of the kernel."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    exists = Path.exists
    monkeypatch.setattr(
        Path, "exists", lambda path, **how: path.parts[1:2] != ("proc",) and exists(path, **how)
    )
    held = [rooms.Workplace("agent") for _ in range(2)]
    gone = left(tmp_path / f"timmy-agent-{NO_PROCESS}-{DRAWN}")
    held.append(rooms.Workplace("agent"))
    assert all(exists(place.path) for place in held)
    assert not exists(gone)


async def test_a_child_that_nothing_holds_removes_what_a_killed_node_left(
    tree, tmp_path, monkeypatch
):
    temporary = tmp_path / "temporary"
    left(temporary / f"timmy-agent-{NO_PROCESS}-{DRAWN}")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    source = tree("import os\nopen('here', 'w').close()\n")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = await spawn(source, theirs, limits=SandboxLimits(), engine=Engine.NONE)
        assert [path.name.split("-")[2] for path in temporary.iterdir()] == [str(os.getpid())]
        await child.wait()
    assert list(temporary.iterdir()) == []


def left_behind(before: set[str]) -> set[str]:
    """Children of ours that were not there before, and control groups of ours."""
    groups = {str(path) for path in cgroups.ROOT.glob(f"*/timmy-{os.getpid()}-*")}
    return (children() - before) | groups


def children() -> set[str]:
    """Of every thread of ours. A thread that ends while we look has none left: they are another's."""
    found: set[str] = set()
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        with suppress(FileNotFoundError):
            found.update((task / "children").read_text().split())
    return found


@pytest.mark.parametrize("engine", EVERY)
async def test_a_start_that_is_cancelled_leaves_nothing(tree, engine):
    """At any moment. A bubblewrap that is killed too early leaves its child to nobody."""
    folder, before, started = tree("import time; time.sleep(60)"), children(), 0
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(40):
        ours, theirs = socket.socketpair()
        with ours:
            try:
                async with asyncio.timeout(0.001 * number):
                    child = await spawn(folder, theirs, limits=SandboxLimits(), engine=engine)
            except TimeoutError:
                assert ours.recv(1) == b""  # nobody holds the other end
            else:
                started += 1
                await child.end()
        assert left_behind(before) == set()
    assert started < 40
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors


@pytest.mark.parametrize("engine", EVERY)
async def test_an_end_that_is_cancelled_is_an_end(tree, engine):
    before = children()
    ours, theirs = socket.socketpair()
    with ours:
        folder = tree("import time; time.sleep(60)")
        child = await spawn(folder, theirs, limits=SandboxLimits(), engine=engine)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await child.end()
    assert left_behind(before) == set()


async def test_a_cancellation_counts_before_what_it_waited_for():
    async def fails() -> None:
        await asyncio.sleep(0.01)
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await to_its_end(fails())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await to_its_end(fails())


@pytest.mark.parametrize("engine", EVERY)
async def test_kill_ends_everything(tree, engine):
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        child = await spawn(
            tree("import os, time\nos.write(0, b'x')\ntime.sleep(60)"),
            theirs,
            limits=SandboxLimits(),
            engine=engine,
        )
        await asyncio.get_running_loop().sock_recv(ours, 1)
        child.kill()
        child.kill()
        assert await child.wait() == 137
        child.kill()
        assert (
            await asyncio.get_running_loop().sock_recv(ours, 1) == b""
        )  # no one holds the channel
        assert not Path(f"/proc/{child.pid}").exists()


async def test_a_daemon_dies_with_the_bare_engine_s_group(tree):
    source = (
        "import os, time\nif pid := os.fork():\n  os.write(0, str(pid).encode())\n  os._exit(0)\n"
        "os.close(1)\nos.close(2)\ntime.sleep(60)"
    )
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        child = await spawn(tree(source), theirs, limits=SandboxLimits(), engine=Engine.NONE)
        pid = int(await asyncio.get_running_loop().sock_recv(ours, 100))
        assert await child.wait() == 0
        assert await asyncio.get_running_loop().sock_recv(ours, 1) == b""
    stat = Path(f"/proc/{pid}/stat")
    while stat.exists() and stat.read_text().split()[2] != "Z":  # Z: nobody has reaped it
        await asyncio.sleep(0.01)  # killed, and gone when the kernel has run it once more


async def test_no_control_group_and_no_room_stays_behind(run):
    base = cgroups.ROOT / "memory"
    await run("pass")
    assert not list(Path("/dev/shm").glob(f"timmy-room-{os.getpid()}-*"))
    left = list(base.rglob(f"timmy-{os.getpid()}-*")) if base.is_dir() else []
    assert left == []


@pytest.mark.parametrize(
    "kwargs", [{"memory_bytes": 0}, {"pids": 0}, {"wall_s": 0}, {"cpu_seconds": -1}]
)
def test_senseless_limits_are_refused(kwargs):
    with pytest.raises(ValueError, match="expected"):
        SandboxLimits(**kwargs)
