"""Nothing that a tool's program tries gets out, on each engine of this machine, as root and not.

Without a sandbox nearly all of it succeeds, which shows that what stops it is the sandbox.
docs/SANDBOX.md has the same attempts, compared here.
"""

import functools
import json
import os
import re
import runpy
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.sandbox import test_tool_bounds
from tests.sandbox.engines import ENGINES
from tests.sandbox.test_sandbox_escapes import NOBODY, REPOSITORY, nobody_interpreter

HERE = Path(__file__).parent
ATTACKER = runpy.run_path(str(HERE / "toolattacker" / "main.py"), run_name="attacker")
ATTEMPTS, ALLOWED = ATTACKER["ATTEMPTS"], sorted(ATTACKER["ALLOWED"])
PAGE = (REPOSITORY / "docs" / "SANDBOX.md").read_text()
RESOURCES = {
    "fork_bomb": "start processes without end",
    "memory_hog": "take all memory",
    "disk_filling": "fill the room that it was given",
    "endless_output": "write without end",
    "never_ending": "never end, and ignore every signal",
    "daemon": "leave a process behind that belongs to nobody",
    "swapped_folder": "have the working folder led elsewhere by a link before it starts",
}
"""Attacks on what there is for all: tests of these names in test_tool_bounds.py."""
NOT_ON_EVERY_HOST = {
    # needs hardware, a kernel option, root, or not to be root: it shows nothing here
    *("vsock", "bluetooth", "crypto_socket", "reach_port_by_ipv6", "packet_socket", "raw_socket"),
    *("bpf_program", "performance_counters", "user_fault", "io_uring", "key_ring", "add_key"),
    *("load_module", "kernel_log", "disk_device", "kernel_settings", "control_groups"),
    *("mount_over", "detached_mount", "change_root", "make_device", "enter_namespace"),
    *("namespace_of_users", "namespace_by_clone", "become_root", "become_another", "write_system"),
    *("capabilities", "setuid_program", "open_terminal", "trace_another", "open_by_handle"),
    *("young_system_call", "read_memory_of_another", "read_memory_of_another_by_call"),
    *("take_descriptor_of_another", "set_attribute_outside", "shared_memory_folder"),
    # a program started by Python inherits neither, and none of these tests lowers a hard limit
    *("inherited_descriptors", "raise_limits", "slow_all_of_the_user"),
}


@functools.cache
def reports(who: str, engine: str) -> dict:
    user = None if who == "as_me" else NOBODY
    python = nobody_interpreter()
    if python is None:
        pytest.skip("no Python 3.11 that user nobody can run")
    with tempfile.TemporaryDirectory(prefix="timmy-ground-") as name:
        return _attacked(Path(name), user, python, engine)


def _attacked(folder: Path, user: int | None, python: Path, engine: str) -> dict:
    home, work, code = folder / "home", folder / "work", folder / "code"
    for place in (home, work):
        place.mkdir()
    (folder / "secret").write_text("SECRET")
    for name in ("ledger.db", "spare-1", "spare-2", "spare-4"):
        (home / name).write_bytes(b"GENESIS")
    for package in ("runtime", "ledger"):
        shutil.copytree(
            REPOSITORY / package, code / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copytree(HERE / "toolattacker", code / "toolattacker")
    shutil.copy(HERE / "tool_driver.py", code)
    options = {}
    if user is not None:
        options = {"user": user, "group": user, "extra_groups": []}
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, user, user)
    shutil.copy("/usr/bin/id", work / "suid-id")
    (work / "suid-id").chmod(0o4755)
    run = subprocess.run(
        [python, code / "tool_driver.py", engine, code / "toolattacker", home, work],
        cwd=code,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1",
             "TIMMY_PASSPHRASE": "never to be seen"},
        capture_output=True, check=False, timeout=120, **options,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr.decode()
    if engine != "none":
        assert (folder / "secret").read_text() == "SECRET"
        assert (folder / "secret").stat().st_mode & 0o777 == 0o644 & ~_umask()
        assert (home / "ledger.db").read_bytes() == b"GENESIS"
        names = {"ledger.db", "spare-1", "spare-2", "spare-4", "node.sock", "datagram.sock"}
        assert {path.name for path in home.iterdir()} == names
    return json.loads(run.stdout)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


@pytest.fixture(params=["as_me", "as_nobody"])
def who(request):
    if request.param == "as_nobody" and os.getuid() != 0:
        pytest.skip("only root can become nobody")
    return request.param


@pytest.fixture(params=[engine.value for engine in ENGINES])
def engine(request):
    return request.param


@pytest.mark.parametrize("name", ATTEMPTS)
def test_tool_attempt_is_blocked(who, engine, name):
    outcome, detail = reports(who, engine)[name]
    assert outcome == "blocked", f"{name}: {outcome} {detail}"


@pytest.mark.parametrize("name", ALLOWED)
def test_work_of_tools_is_possible(who, engine, name):
    assert reports(who, engine)[name] == ["done", "True"]


@pytest.mark.parametrize("name", sorted(set(ATTEMPTS) - NOT_ON_EVERY_HOST))
def test_tool_attempt_succeeds_without_sandbox(who, name):
    outcome, detail = reports(who, "none")[name]
    assert outcome == "done", f"{name}: {outcome} {detail}"


def test_the_page_has_every_attempt():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.MULTILINE))
    wanted = {name: function.__doc__.strip() for name, function in ATTEMPTS.items()}
    assert rows == wanted | RESOURCES
    assert {name for name in RESOURCES if not hasattr(test_tool_bounds, f"test_{name}")} == set()
