"""Leaving the local model out must be said, and CI does not listen to that."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST = """
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "llama_cpp" else found(name, *a)
from tests.local.conftest import model
def test_it(model): pass
"""


def outcome(tmp_path, **env):
    """What pytest says of a test that needs a model where llama-cpp-python is not installed."""
    (tmp_path / "test_it.py").write_text(TEST)
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "TIMMY_WITHOUT_LOCAL")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
         "--rootdir", str(tmp_path), str(tmp_path / "test_it.py")],
        cwd=ROOT, env=kept | {"PYTHONPATH": str(ROOT)} | env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.stdout


def test_tests_fail_without_it_and_skip_only_where_that_was_said(tmp_path):
    told = outcome(tmp_path)
    assert "the local model was not built: make local" in told
    assert "1 error" in told
    assert "1 skipped" in outcome(tmp_path, TIMMY_WITHOUT_LOCAL="1")
    assert "1 error" in outcome(tmp_path, TIMMY_WITHOUT_LOCAL="1", CI="true")


def test_ci_leaves_nothing_out(tmp_path):
    """As .ci/run calls it, whatever the caller's environment says; a stand-in for make looks."""
    make = tmp_path / "make"
    make.write_text('#!/usr/bin/env bash\necho "CI=$CI $*"\n')
    make.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name != "CI"}
    env = kept | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TIMMY_WITHOUT_LOCAL": "1"}
    done = subprocess.run(
        [".ci/run"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout == "CI=true test\n", done.stderr


def test_the_script_leaves_it_out_where_that_was_said():
    done = subprocess.run(
        ["tests/local.sh"], cwd=ROOT, env={"PATH": os.environ["PATH"], "TIMMY_WITHOUT_LOCAL": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "without the local model" in done.stdout


def test_a_missing_compiler_is_one_line(tmp_path):
    """As a user without root: nothing is installed, what to install is said."""
    for name in ("bash", "id", "env"):
        found = Path("/usr/bin") / name
        (tmp_path / name).symlink_to(found if found.exists() else Path("/bin") / name)
    (tmp_path / "id").unlink()
    (tmp_path / "id").write_text("#!/bin/bash\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    done = subprocess.run(
        ["bash", "tests/system.sh", "--compiler"], cwd=ROOT, env={"PATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "timmy: error: the local model is compiled, and there is no C++ compiler: apt install g++\n"
    )
