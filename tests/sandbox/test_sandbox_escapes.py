"""Every attempt of the attacker must be stopped; outside the sandbox nearly all of them succeed,
which shows that a stopped attempt was stopped by the sandbox."""

import functools
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from runtime import interpreter
from runtime.sandbox import Engine
from tests.sandbox.engines import ENGINES

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
ATTACKER = runpy.run_path(str(HERE / "attacker" / "main.py"), run_name="attacker")
ATTEMPTS, ALLOWED = sorted(ATTACKER["ATTEMPTS"]), sorted(ATTACKER["ALLOWED"])
NOBODY = 65534

NOT_ON_EVERY_HOST = {
    # needs a device, a kernel option, or fails for everyone: shows nothing about the sandbox
    *("vsock_socket", "key_ring", "io_uring", "bpf_map", "perf_event", "user_fault"),
    *("channel_to_path", "remount_writable", "young_system_call", "open_kernel_log"),
    *("tcp6_socket", "clone3", "sys_tree", "resolve_name", "write_shared_memory", "open_terminal"),
    # the bare engine stops these too: it starts with an empty environment and closed descriptors
    *("environment", "inherited_descriptors"),
    # needs not to be root; and only a sandbox within a sandbox can refuse these to root
    *("become_root", "packet_socket", "raw_socket", "mount_tmpfs", "fsopen", "open_tree"),
    *(
        "chroot",
        "unshare_mounts",
        "unshare_user",
        "set_host_name",
        "name_to_handle",
        "raise_limits",
    ),
    *("trace_host_process", "capabilities", "is_root", "write_standard_library", "proc_1_root"),
}
CONTROL = sorted(set(ATTEMPTS) - NOT_ON_EVERY_HOST)


def nobody_interpreter():
    """An interpreter that user nobody can run, if there is one."""
    for path in (
        interpreter.executable(),
        Path("/usr/bin/python3"),
        Path("/usr/local/bin/python3"),
    ):
        test = [str(path), "-I", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        try:
            if (
                subprocess.run(
                    test,
                    user=NOBODY,
                    group=NOBODY,
                    extra_groups=[],
                    check=False,
                    cwd="/",
                    capture_output=True,
                ).returncode
                == 0
            ):
                return path
        except OSError:
            continue
    return None


class Ground:
    """A folder that everyone may write, a secret beside it, and a process to aim at."""

    def __init__(self, folder: Path, user: int | None):
        self.folder, self.user = folder, user
        self.home = folder / "home"
        self.home.mkdir()
        self.home.chmod(0o777)
        folder.chmod(0o777)
        for name in ("ledger.db", "spare-1", "spare-2"):
            (self.home / name).write_bytes(b"GENESIS")
            (self.home / name).chmod(0o666)
        (folder / "secret").write_text("SECRET")
        code = folder / "code"
        for package in ("runtime", "ledger"):
            shutil.copytree(
                REPOSITORY / package, code / package, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copytree(HERE / "attacker", code / "attacker")
        shutil.copy(HERE / "sandbox_driver.py", code)
        if user is not None:
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, user, user)

    def as_user(self):
        return (
            {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}
        )

    def attack(self, python: Path, engine: str) -> dict:
        code = self.folder / "code"
        victim = (
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            if self.user is None
            else subprocess.Popen(["/bin/sleep", "60"], **self.as_user())
        )
        try:
            (self.folder / "victim.pid").write_text(str(victim.pid))
            run = subprocess.run(
                [
                    str(python),
                    str(code / "sandbox_driver.py"),
                    engine,
                    str(code / "attacker"),
                    str(self.home),
                ],
                cwd=code,
                env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                check=False,
                timeout=60,
                **self.as_user(),
            )
            assert run.returncode == 0, run.stderr.decode()
            assert victim.poll() is None, "the victim is dead"
            return json.loads(run.stdout)
        finally:
            victim.kill()
            victim.wait()


NOT_HELD = {
    # a user of its own needs a namespace: the number stays, root's powers do not ("capabilities")
    ("landlock", "as_me", "is_root"): "0" if os.getuid() == 0 else None,
}


@functools.cache
def reports(who: str, engine: str) -> dict:
    """What the attacker reported. As `as_me` or, if we are root, `as_nobody`, too."""
    user = None if who == "as_me" else NOBODY
    python = Path(sys.executable) if user is None else nobody_interpreter()
    if python is None:
        pytest.skip("no Python 3.11 that user nobody can run")
    with tempfile.TemporaryDirectory(prefix="timmy-ground-") as name:
        ground = Ground(Path(name), user)
        held = ground.attack(python, engine)
        files = sorted(path.name for path in ground.home.iterdir())
        if engine != "none":
            assert files == ["datagram.sock", "ledger.db", "node.sock", "spare-1", "spare-2"]
            assert (ground.home / "ledger.db").read_bytes() == b"GENESIS"
        return held


@pytest.fixture(params=["as_me", "as_nobody"])
def who(request):
    if request.param == "as_nobody" and os.getuid() != 0:
        pytest.skip("only root can become nobody")
    return request.param


@pytest.fixture(params=[engine.value for engine in ENGINES])
def engine(request):
    return request.param


@pytest.mark.parametrize("name", ATTEMPTS)
def test_attempt_is_blocked(who, engine, name):
    outcome, detail = reports(who, engine)[name]
    if NOT_HELD.get((engine, who, name)):
        assert outcome == "done"
        assert reports(who, engine)["capabilities"][0] == "blocked"
        return
    assert outcome == "blocked", f"{name}: {outcome} {detail}"


@pytest.mark.parametrize("name", ALLOWED)
def test_work_is_possible(who, engine, name):
    assert reports(who, engine)[name] == ["done", "True"]


@pytest.mark.parametrize("name", CONTROL)
def test_attempt_succeeds_without_sandbox(who, name):
    outcome, detail = reports(who, "none")[name]
    assert outcome == "done", f"{name}: {outcome} {detail}"


def test_root_would_get_out_without_sandbox():
    """As root the capabilities are there to lose: these show that they are lost."""
    if os.getuid() != 0:
        pytest.skip("not root")
    bare = reports("as_me", "none")
    needed = {"capabilities", "is_root"}
    assert {name for name in needed if bare[name][0] == "done"} == needed


def test_bubblewrap_is_here():
    assert Engine.BUBBLEWRAP in ENGINES, "install bubblewrap: apt install bubblewrap"
