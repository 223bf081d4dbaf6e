"""Which engine a node takes, and that it tells: start, status, doctor; an agent held by Landlock."""

import os
from pathlib import Path

from tests.node.world import SETTINGS
from tests.sandbox.engines import needs_landlock

LANDLOCK = SETTINGS + '\n[agent]\nsandbox = "landlock"\n'


@needs_landlock
def test_an_agent_held_by_landlock_answers_and_runs_scripts(born):
    born.config.write_text(LANDLOCK)
    with born.running() as node:
        assert node.status()["sandbox"] == "landlock"
        assert "not confined" not in node.stderr
        assert born.run("say", "hello").good().out
        born.run("jobs", "add", "where", "--yes", "--when", "in 2h", "--run", "pwd").good()
        assert "timmy-room-" in born.run("jobs", "run", "where").good().out
        listed = born.run("tools", "list").good().out
        for tool in ("shell", "git_commit", "search_files"):
            assert tool in listed
    found = {row["name"]: row for row in born.run("--json", "doctor").json}
    assert found["sandbox"]["text"] == "landlock"


@needs_landlock
def test_without_bubblewrap_it_is_landlock_and_both_say_why(born, tmp_path):
    """As on a machine that has no bwrap: everything else of PATH is there."""
    path = tmp_path / "bin"
    path.mkdir()
    for folder in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(folder).glob("*"):
            (path / program.name).unlink(missing_ok=True)
            (path / program.name).symlink_to(program)
    (path / "bwrap").unlink()
    done = born.run("--json", "doctor", env={"PATH": str(path)})
    found = {row["name"]: row for row in done.json}
    assert found["sandbox"] == {
        "name": "sandbox", "ok": True, "hint": None,
        "text": "landlock (bubblewrap (bwrap) is not on PATH)",
    }  # fmt: skip


def test_an_engine_that_is_named_and_does_not_work_is_refused(born, tmp_path):
    born.config.write_text(SETTINGS + '\n[agent]\nsandbox = "bubblewrap"\n')
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho bwrap: no permissions >&2\nexit 1\n")
    fake.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = born.run("run", env={"PATH": path})
    done.refused("agent.sandbox is bubblewrap", "no permissions", "set agent.sandbox to auto")
    found = born.run("--json", "doctor", env={"PATH": path})
    [row] = [row for row in found.json if row["name"] == "sandbox"]
    assert (found.code, row["ok"]) == (1, False)


def test_no_engine_is_said_where_it_is_asked_for(born):
    born.config.write_text(SETTINGS + '\n[agent]\nsandbox = "none"\n')
    [row] = [r for r in born.run("--json", "doctor").json if r["name"] == "sandbox"]
    assert row["text"] == "the agent process is not confined: agent.sandbox is none"
    with born.running() as node:
        assert (node.status()["sandbox"], node.status()["sandbox_why"]) == (
            "none", "agent.sandbox is none",
        )  # fmt: skip
