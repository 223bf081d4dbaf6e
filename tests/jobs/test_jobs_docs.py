"""docs/JOBS.md carried out as it stands, by a user with a running node."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from node.config import load
from tests.node.world import SETTINGS, Home

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "JOBS.md").read_text()


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_commands_of_the_page_work_in_order(tmp_path):
    home = Home(tmp_path / "user").configure(SETTINGS)
    timmy = home.root / "bin" / "timmy"
    timmy.parent.mkdir()
    timmy.write_text(f'#!/bin/sh\nexec {sys.executable} -m node "$@"\n')
    timmy.chmod(0o755)
    (home.root / ".timmy").symlink_to(home.path)
    env = {name: value for name, value in home.env.items() if not name.startswith("COVERAGE")}
    env |= {
        "HOME": str(home.root),
        "PATH": f"{timmy.parent}:{home.env['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    said = {}
    commands = [line[2:] for block in blocks("console") for line in block.splitlines()]
    assert len(commands) >= 12
    home.run("init").good()
    with home.running():
        for command in commands:
            done = subprocess.run(
                ["bash", "-c", command], env=env, capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL, timeout=120, cwd=home.root,
            )  # fmt: skip
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            said[command] = done.stdout
    home.end()
    assert said["timmy jobs run hello"].endswith("Timmy is well\n")
    assert said["timmy jobs run news"] == "no model: nothing was read\n"
    assert "Use" in said["timmy jobs run space"]


def test_the_settings_of_the_page_are_settings(tmp_path):
    [text] = blocks("toml")
    path = tmp_path / "node.toml"
    path.write_text(text)
    assert load(path).jobs.time_zone == tomllib.loads(text)["jobs"]["time_zone"]
