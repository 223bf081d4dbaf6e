"""docs/SKINS.md carried out as it stands, by a user with a running node."""

import re
import subprocess
import sys
from pathlib import Path

from tests.node.world import SETTINGS, Home

ROOT = Path(__file__).parent.parent.parent
FIRST, *LATER = re.findall(
    r"```console\n(.*?)```", (ROOT / "docs" / "SKINS.md").read_text(), re.DOTALL
)


def test_the_commands_of_the_page_work_in_order(tmp_path):
    home = Home(tmp_path / "user").configure(SETTINGS)
    timmy = home.root / "bin" / "timmy"
    timmy.parent.mkdir()
    timmy.write_text(f'#!/bin/sh\nexec {sys.executable} -m node "$@"\n')
    timmy.chmod(0o755)
    (home.root / ".timmy").symlink_to(home.path)
    env = {name: value for name, value in home.env.items() if not name.startswith("COVERAGE")}
    env |= {"HOME": str(home.root), "PYTHONPATH": str(ROOT)}
    env |= {"PATH": f"{timmy.parent}:{home.env['PATH']}"}
    command, document = FIRST.split("\n", 1)
    assert command == "$ cat > owl.toml"
    (home.root / "owl.toml").write_text(document)
    commands = [line[2:] for block in LATER for line in block.splitlines()]
    assert len(commands) == 6
    home.run("init").good()
    with home.running() as node:
        for command in commands:
            done = subprocess.run(
                ["bash", "-c", command], env=env, capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL, timeout=120, cwd=home.root,
            )  # fmt: skip
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            if command.startswith("timmy skins use"):
                worn = node.request("GET", "/v1/worn?conversation=night").json
                assert (worn["label"], worn["greeting"]) == ("Owl", "The night is clear.")
    home.end()
