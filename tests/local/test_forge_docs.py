"""docs/SOVEREIGN_FORGE.md carried out as it stands, with a tiny model in the place it names."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from node.config import load
from tests.node.world import SETTINGS, until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "SOVEREIGN_FORGE.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_commands_of_the_page_work_in_order(born, model):
    home = born
    timmy = home.root / "bin" / "timmy"
    timmy.parent.mkdir()
    timmy.write_text(f'#!/bin/sh\nexec {sys.executable} -m node "$@"\n')
    timmy.chmod(0o755)
    (home.root / ".timmy").symlink_to(home.path)
    (home.root / "models").mkdir()
    (home.root / "models" / "model.gguf").write_bytes(model.read_bytes())
    [section] = blocks("toml")
    assert 'model = "~/models/model.gguf"' in section
    placed = section.replace("~", str(home.root))
    home.config.write_text(SETTINGS + placed + "port = 0\n")
    env = {name: value for name, value in home.env.items() if not name.startswith("COVERAGE")}
    env |= {
        "HOME": str(home.root),
        "PATH": f"{timmy.parent}:{home.env['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    commands = [line[2:] for block in blocks("console") for line in block.splitlines()]
    assert len(commands) >= 6
    with home.running() as node:
        until(lambda: node.status()["local"]["state"] == "ready", 90, "the model is ready")
        for command in commands:
            done = subprocess.run(
                ["bash", "-c", command], env=env, capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL, timeout=120, cwd=home.root,
            )  # fmt: skip
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert node.log("model.replied")[-1]["payload"]["link"] == "local"


def test_the_section_of_the_page_is_one_and_its_figures_are_the_defaults(tmp_path):
    [section] = blocks("toml")
    (tmp_path / "node.toml").write_text(section)
    told, default = tomllib.loads(section)["local"], load(None).local
    assert load(tmp_path / "node.toml").local.model == told["model"]
    for key in ("sha256", "context_tokens", "memory_mb"):
        assert told[key] == getattr(default, key), key
    assert f"127.0.0.1:{default.port}/v1" in PAGE
    assert default.model == ""


def test_what_the_page_says_of_building_is_so():
    assert re.search(r"^\$\(LOCAL_STAMP\):.*tests/local\.sh", MAKEFILE, re.MULTILINE)
    assert re.search(r"^test: .*\$\(LOCAL_STAMP\)", MAKEFILE, re.MULTILINE)
    for name in re.findall(r"requirements/[a-z-]+\.txt", PAGE):
        text = (ROOT / name).read_text()
        assert text.count("--hash=sha256:") > 3
        assert "://" not in text
    for path in re.findall(r"`(tests/[a-z_/]+\.(?:py|sh))`", PAGE):
        assert (ROOT / path).exists()
    script = (ROOT / "tests" / "local.sh").read_text()
    assert "GGML_NATIVE=OFF" in script
    assert "timmy/wheels" in script
    assert "TIMMY_WITHOUT_LOCAL" in script
