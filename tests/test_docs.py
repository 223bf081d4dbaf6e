"""The README's first five minutes, carried out in order by a new user; links and commands exist."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli import GROUPS
from tests.node.world import SETTINGS, Home

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMAND = re.compile(r"^\$ (.*?)(?:\s+# exits (\d))?$", re.MULTILINE)


def commands():
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        yield from COMMAND.findall(block)


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """A new user: an empty home, the examples beside it, `timmy` on the path, a node running."""
    home = Home(tmp_path_factory.mktemp("readme") / "user").configure(SETTINGS)
    (home.root / "bin").mkdir()
    timmy = home.root / "bin" / "timmy"
    timmy.write_text(f'#!/bin/sh\nexec {sys.executable} -m node "$@"\n')
    timmy.chmod(0o755)
    shutil.copytree(ROOT / "examples", home.root / "examples")
    (home.root / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "proposed-patch.md", home.root / "docs")
    (home.root / ".timmy").symlink_to(home.path)
    with home.running():
        yield home
    home.end()


def test_the_first_five_minutes_work_as_written(user):
    """One after the other, as in the README: a later command needs what an earlier one did."""
    env = {name: value for name, value in user.env.items() if not name.startswith("COVERAGE")}
    env |= {"HOME": str(user.root), "PATH": f"{user.root}/bin:{user.env['PATH']}"}
    env |= {"PYTHONPATH": str(ROOT)}
    assert len(list(commands())) >= 15
    for command, code in commands():
        done = subprocess.run(
            ["bash", "-c", command], cwd=user.root, env=env, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == int(code or 0), (command, done.stdout, done.stderr)


def pages():
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_pages_name_exist(page):
    known = {name for group in GROUPS.values() for name in group}
    for name in re.findall(r"`timmy ([a-z]+)", page.read_text()):
        assert name in known, f"{page}: timmy {name}"


def test_every_command_has_a_module_and_a_line_of_help():
    shown = subprocess.run(
        [sys.executable, "-m", "node", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout
    for group in GROUPS.values():
        for name, about in group.items():
            assert f"{name} " in shown
            assert about in shown


def test_the_default_configuration_is_the_commented_file():
    shown = subprocess.run(
        [sys.executable, "-m", "node", "config"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout
    assert shown.strip() == (ROOT / "node.toml").read_text().strip()


def test_make_run_is_enough_on_a_fresh_checkout(tmp_path):
    """What README promises of `make run`: it plans the set-up a node needs, then starts it."""
    for part in ("Makefile", "pyproject.toml", "requirements", "tests/system.sh"):
        source, target = ROOT / part, tmp_path / part
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    env = {"PATH": os.environ["PATH"], "PYTHON": sys.executable}
    done = subprocess.run(
        ["make", "-n", "run"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    steps = [
        f"{sys.executable} -m venv .venv",
        "--require-hashes -r requirements/run.txt",
        "--no-deps --no-build-isolation --editable .",
        "tests/system.sh --optional",
        ".venv/bin/timmy run",
    ]
    places = [done.stdout.index(step) for step in steps]
    assert places == sorted(places)
    assert done.stdout.rstrip().endswith(steps[-1])
    assert "requirements/test.txt" not in done.stdout
    assert list(tmp_path.glob(".venv*")) == []
    assert re.search(r"^make run +# sets everything up", README, re.MULTILINE)
