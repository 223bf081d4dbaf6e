"""The folder with a project's rules is as it was after any program, whatever that did to it."""

import asyncio
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.agent.tools import Rules
from node.home import Home
from runtime.core.errors import ToolFailed
from runtime.sandbox import Engine
from runtime.tools.confined import Confined
from runtime.tools.keeping import BYTES_MAX, ENTRIES_MAX, Keeping
from tests.sandbox.engines import needs_landlock


def looks(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): (
            path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None,
            path.lstat().st_mode,
        )
        for path in sorted(folder.rglob("*"))
    }  # fmt: skip


@pytest.fixture
def rules(tmp_path) -> Path:
    folder = tmp_path / "work" / ".timmy"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "permissions.toml").write_text('deny = ["Bash(ls)"]\n')
    (folder / "deep" / "run.sh").write_text("x")
    (folder / "deep" / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("deep/run.sh")
    (tmp_path / "operator").mkdir()
    (tmp_path / "operator" / "key").write_text("mine")
    return folder


def more(folder: Path) -> None:
    (folder / "more").write_text("x")


def other(folder: Path) -> None:
    (folder / "permissions.toml").write_text('allow = ["Bash(ls)"]\n')


def moved(folder: Path) -> None:
    folder.rename(folder.parent / "x")
    folder.mkdir()


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def linked(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(folder.parent.parent / "operator")


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("x")


def inner_link(folder: Path) -> None:
    (folder / "deep" / "out").symlink_to(folder.parent.parent / "operator")


def mode(folder: Path) -> None:
    (folder / "deep" / "run.sh").chmod(0o644)


def too_much(folder: Path) -> None:
    for number in range(ENTRIES_MAX + 1):
        (folder / str(number)).touch()


@pytest.mark.parametrize(
    "change", [more, other, moved, gone, linked, a_file, inner_link, mode, too_much]
)
async def test_it_is_put_back(rules, tmp_path, change):
    before, keeping = looks(rules), Keeping()
    async with keeping.kept(rules) as said:
        assert keeping.busy()
        change(rules)
    assert not keeping.busy()
    assert looks(rules) == before
    assert not rules.is_symlink()
    assert said == ["[.timmy was changed by this: it is as it was before]"]
    assert (tmp_path / "operator" / "key").read_text() == "mine"
    left = {path.name for path in rules.parent.iterdir()}
    assert left == {".timmy", *(["x"] if change is moved else [])}


async def test_what_was_not_changed_is_left_alone(rules):
    before = rules.stat()
    async with Keeping().kept(rules) as said:
        (rules.parent / "file").write_text("x")
    assert said == []
    assert rules.stat() == before


async def test_it_is_put_back_if_the_call_is_cancelled(rules):
    before, keeping = looks(rules), Keeping()

    async def call() -> None:
        async with keeping.kept(rules):
            other(rules)
            await asyncio.sleep(600)

    async with asyncio.TaskGroup() as group:
        calling = group.create_task(call())
        await asyncio.sleep(0.05)
        calling.cancel()
    assert looks(rules) == before
    assert not keeping.busy()


async def test_more_than_can_be_kept_is_refused(rules):
    (rules / "large").write_bytes(bytes(BYTES_MAX + 1))
    with pytest.raises(ToolFailed, match="holds more than"):
        async with Keeping().kept(rules):
            pass


async def test_the_rules_in_force_are_those_of_before(rules, tmp_path, monkeypatch):
    """A program that allows itself something while it runs allows nobody anything."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    home, keeping = Home(path=tmp_path / "home", state=tmp_path / "state"), Keeping()
    home.path.mkdir()
    home.config.write_text(f'[permissions]\ntrust = ["{rules.parent}"]\n')
    asked = Rules(home, rules.parent, keeping.busy)

    def effect() -> str:
        return asked().rule_on("Bash", "ls", folder=rules.parent).decision.effect.value

    assert effect() == "deny"
    async with keeping.kept(rules):
        other(rules)
        assert effect() == "deny"
    assert effect() == "deny"
    other(rules)
    assert effect() == "allow"


@needs_landlock
async def test_two_programs_do_not_keep_each_other_s_changes(rules):
    confined, before = Confined(engine=Engine.LANDLOCK), looks(rules)

    async def run(line: str) -> str:
        ran = await confined.run(
            ["bash", "-c", line], folder=str(rules.parent), write=True, seconds=60
        )
        return ran.output

    async with asyncio.TaskGroup() as group:
        first = group.create_task(run("echo x > .timmy/new; sleep 0.3; rm .timmy/permissions.toml"))
        second = group.create_task(run("ls .timmy/new; mv .timmy gone"))
    assert looks(rules) == before
    assert "it is as it was before" in first.result()
    assert "No such file" in second.result()


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.binary(max_size=50), max_size=8))
def test_any_contents_come_back(contents):
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / ".timmy"
        folder.mkdir()
        for file, data in contents.items():
            (folder / file).write_bytes(data)
        before = looks(folder)

        async def go() -> None:
            async with Keeping().kept(folder):
                shutil.rmtree(folder)

        asyncio.run(go())
        assert looks(folder) == before
