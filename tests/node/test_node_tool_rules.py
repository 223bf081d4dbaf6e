"""Which rules a node's tools go by, and which folder they work in: read anew, and never less."""

import os
from pathlib import Path

import pytest

from node.agent.tools import Rules, work_folder
from node.config import load
from node.home import Home
from node.sections.base import ConfigError


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    home = Home(path=tmp_path / "home", state=tmp_path / "state")
    for folder in (home.work, home.state, tmp_path / "config" / "timmy", tmp_path / "project"):
        folder.mkdir(parents=True)
    return home


def effect(rules: Rules, tool: str, argument: str) -> str:
    return rules().rule_on(tool, argument, folder=rules.folder).decision.effect.value


def test_the_home_is_closed_but_for_the_folder_that_tools_work_in(home):
    rules = Rules(home, home.work.resolve())
    for path in ("../token", "../keys/x", str(home.state / "operator" / "k"), "../work2/x", ".."):
        assert effect(rules, "FileRead", path) == "deny"
        assert effect(rules, "FileEdit", path) == "deny"
    assert effect(rules, "FileRead", "notes/a.txt") == "allow"
    assert effect(rules, "FileEdit", "notes/a.txt") == "ask"
    assert effect(rules, "FileEdit", ".timmy/permissions.toml") == "deny"
    (home.work / "out").symlink_to(home.path)
    assert effect(rules, "FileRead", "out/token") == "deny"
    assert effect(rules, "Bash", "cat ../token") == "deny"


def test_rules_are_read_again_when_a_file_of_them_changes(home):
    rules = Rules(home, home.work.resolve())
    assert effect(rules, "Bash", "ls") == "ask"
    home.config.write_text('[permissions]\nallow = ["Bash(ls)"]\n')
    assert effect(rules, "Bash", "ls") == "allow"
    (home.work / ".timmy").mkdir()
    (home.work / ".timmy" / "permissions.toml").write_text('deny = ["Bash(ls)"]\n')
    assert effect(rules, "Bash", "ls") == "deny"
    assert rules.allows("FileRead", "a", str(home.work))
    assert not rules.allows("FileRead", "a\0", str(home.work))


@pytest.mark.parametrize("first", [True, False])
def test_with_a_broken_file_nothing_is_allowed_and_what_is_closed_stays_so(home, first):
    rules = Rules(home, home.work.resolve())
    if not first:
        assert effect(rules, "FileRead", "a") == "allow"
    user = Path(os.environ["XDG_CONFIG_HOME"]) / "timmy" / "permissions.toml"
    user.write_text("allow = [")
    assert effect(rules, "FileRead", "a") == "ask"
    assert effect(rules, "FileRead", "../token") == "deny"
    user.write_text('allow = ["Bash(ls)"]')
    assert effect(rules, "Bash", "ls") == "allow"


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("project", "is not absolute"),
        ("/", "holds secrets"),
        ("{home}", "holds secrets"),
        ("{home}/keys", "holds secrets"),
        ("{state}", "holds secrets"),
        ("{state}/operator", "holds secrets"),
        ("{root}", "holds secrets"),
        ("{root}/none", "is not a folder"),
        ("{root}/link", "holds secrets"),
    ],
)
def test_tools_work_in_no_folder_with_secrets(home, tmp_path, named, words):
    (tmp_path / "link").symlink_to(home.path)
    folder = named.format(home=home.path, state=home.state, root=tmp_path)
    home.config.write_text(f'[tools]\nfolder = "{folder}"\n')
    with pytest.raises(ConfigError, match=words):
        work_folder(home, load(home.config))


def test_tools_work_where_node_toml_says(home, tmp_path):
    assert work_folder(home, load(None)) == home.work
    for good in (tmp_path / "project", home.work / "deep"):
        good.mkdir(exist_ok=True)
        home.config.write_text(f'[tools]\nfolder = "{good}"\n')
        assert work_folder(home, load(home.config)) == good


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[tools]\ntoolsets = ["fly"]\n', "tools.toolsets"),
        ("[tools]\napproval_seconds = 0\n", "tools.approval_seconds"),
        ("[tools]\nresult_kb = 1000\n", "tools.result_kb"),
        ("[agent]\niterations_max = 0\n", "agent.iterations_max"),
    ],
)
def test_bounds_of_tools_have_bounds(home, text, words):
    home.config.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load(home.config)
