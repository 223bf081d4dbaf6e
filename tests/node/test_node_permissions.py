"""`timmy permissions`: rules of three files, what is wrong with them, and why a call is decided so."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from .world import Home

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Machine:
    """A user with a home of an agent that need not be born, a configuration folder, a project."""

    home: Home
    config: Path
    project: Path

    def run(self, *argv, **options):
        env = {"XDG_CONFIG_HOME": str(self.config), "HOME": str(self.home.root)}
        where = ("--project", str(self.project))
        return self.home.run("permissions", *argv, *where, env=env, **options)

    def user(self, text):
        (self.config / "timmy").mkdir(parents=True, exist_ok=True)
        (self.config / "timmy/permissions.toml").write_text(text)
        return self

    def own(self, text):
        (self.project / ".timmy").mkdir(exist_ok=True)
        (self.project / ".timmy/permissions.toml").write_text(text)
        return self

    def why(self, *call):
        done = self.run("--json", "why", *call)
        assert done.code == int(done.json["effect"] != "allow"), done
        return done.json

    def lint(self):
        return self.run("--json", "lint").json


@pytest.fixture
def machine(tmp_path):
    project = tmp_path / "proj"
    project.mkdir()
    return Machine(Home(tmp_path / "u"), tmp_path / "config", project)


def test_the_default_allows_looking_and_nothing_else(machine):
    assert machine.run("lint").good().out == "every rule can fire\n"
    assert machine.why("FileRead", "a.py")["effect"] == "allow"
    assert machine.why("FileRead", ".env")["rule"]["text"] == "FileRead(.env*)"
    assert machine.why("FileEdit", ".git/config")["effect"] == "deny"
    assert machine.why("Bash", "ls")["effect"] == "ask"
    assert machine.why("WebFetch", "https://example.org")["effect"] == "ask"


def test_three_files_are_one_policy_and_deny_wins(machine):
    machine.home.configure('[permissions]\nallow = ["Bash(git:*)"]\n')
    machine.user('ask = [\n  "Bash(git commit:*)",\n]\n')
    machine.own("deny = ['Bash(git push:*)']\n")
    assert machine.why("Bash", "git status")["rule"]["scope"] == "node"
    asked = machine.why("Bash", "git commit -m x")
    assert (asked["rule"]["scope"], asked["rule"]["line"]) == ("user", 2)
    denied = machine.why("Bash", "git status && git push")
    assert (denied["rule"]["scope"], denied["rule"]["line"]) == ("project", 1)
    assert [part["effect"] for part in denied["parts"]] == ["allow", "deny"]
    listed = machine.run("--json", "list").json
    assert [rule["effect"] for rule in listed] == sorted((r["effect"] for r in listed), key=["deny", "ask", "allow"].index)  # fmt: skip
    assert "Bash(git push:*)" in machine.run("list").good().out
    shown = machine.run("why", "Bash", "git push")
    assert shown.out.startswith("deny: ")
    assert "permissions.toml:1" in shown.out


def test_a_project_grants_nothing_until_its_user_trusts_it(machine):
    machine.own('allow = ["Bash(make)"]\n')
    assert machine.why("Bash", "make")["effect"] == "ask"
    [found] = machine.lint()
    assert (found["weight"], "you trust" in found["why"]) == ("error", True)
    machine.user(f'trust = ["{machine.project}"]\n')
    assert machine.why("Bash", "make")["effect"] == "allow"
    assert machine.lint() == []
    sibling = replace(machine, project=machine.project.parent / "proj2")
    sibling.project.mkdir()
    sibling.own('allow = ["Bash(make)"]\n')
    assert sibling.why("Bash", "make")["effect"] == "ask"


def test_no_tool_reaches_the_home_or_the_rules_even_through_links(machine):
    machine.home.configure('[permissions]\nallow = ["FileEdit", "FileRead", "Bash"]\n')
    (machine.project / "link").symlink_to(machine.home.path)
    (machine.project / "sub").mkdir()
    for tool, path in (
        ("FileRead", f"{machine.home.path}/token"), ("FileRead", "link/keys/agent"),
        ("FileRead", "link"), ("FileRead", f"{machine.home.state}/x"),
        ("FileEdit", ".timmy/permissions.toml"), ("FileEdit", "sub/../.timmy/permissions.toml"),
        ("FileEdit", ".TIMMY/permissions.toml"), ("FileEdit", f"{machine.config}/timmy/permissions.toml"),
        ("Bash", "cat link/token"), ("Bash", "ls > .timmy/permissions.toml"),
    ):  # fmt: skip
        assert machine.why(tool, path)["rule"]["scope"] == "built-in", (tool, path)
    assert machine.why("FileEdit", "sub/a")["effect"] == "allow"
    inside = replace(machine, project=machine.home.path)
    inside.run("list").refused("lies in the agent's home")


@pytest.mark.parametrize(
    ("text", "named"),
    [("alow = []", "alow: there is no such key"), ("allow = 'Bash'", "allow: expected `array`"),
     ("allow = [1]", "allow[0]: expected `str`"), ("allow = [", "is not TOML"),
     ("a = " + "[" * 3000, "is not TOML"), ("#" * 300_000, "more than 262144 bytes")],
    ids=["key", "list", "text", "toml", "deep", "size"],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_by_path(machine, text, named):
    machine.own(text + "\n").run("why", "Bash", "ls").refused("permissions.toml", named)
    machine.own("trust = []\n").run("list").refused("trust: there is no such key")


def test_a_rule_that_cannot_be_read_is_found_and_leaves_nothing_allowed(machine):
    machine.user('allow = ["Bash(ls)"]\ndeny = [\n  "Bash(rm && ls)",\n  "Write(x)"]\n')
    found = machine.lint()
    assert [(one["weight"], one["place"].rpartition(":")[2]) for one in found] == [("error", "3"), ("error", "4")]  # fmt: skip
    assert machine.run("lint").code == 1
    assert "nothing is allowed while" in machine.why("Bash", "ls")["why"]
    assert "write FileEdit" in found[1]["hint"]


def test_doctor_says_that_a_rule_is_dead(machine, born):
    born.configure('[permissions]\nallow = ["Bash(git push)"]\ndeny = ["Bash(git:*)"]\n')
    env = {"XDG_CONFIG_HOME": str(machine.config)}
    rows = {row["name"]: row for row in born.run("--json", "doctor", env=env).json}
    assert rows["rules"]["ok"] is False
    assert "allow Bash(git push)" in rows["rules"]["text"]
    born.configure("")
    rows = {row["name"]: row for row in born.run("--json", "doctor", env=env).json}
    assert rows["rules"]["ok"] is True


def test_wrong_questions_are_refused(machine):
    machine.run("why", "Nothing", "x").refused("there is no tool Nothing", "FileEdit")
    machine.run("why", "FileEdit", "").refused("is not the path of a file")
    machine.run("why", "FileEdit", "x" * 5000).refused("is not the path of a file")
    replace(machine, project=machine.project / "none").run("list").refused("is not a folder")


# ---- the page ----------------------------------------------------------------------------------------


def examples():
    page = (ROOT / "docs/PERMISSIONS.md").read_text()
    [rules] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    rows = re.findall(r"^\| `(\w+)` `(.+?)` \| (allow|ask|deny) \|", page, re.MULTILINE)
    assert len(rows) >= 20
    return rules, rows


def test_what_the_page_says_of_its_examples_is_so(machine):
    from node.agent.permitting import load_permissions
    from node.home import Home
    from runtime.permitting import Gate

    rules, rows = examples()
    machine.user(rules)
    assert machine.lint() == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(machine.config))
        home = Home(path=machine.home.path, state=machine.home.state)
        gate = Gate(load_permissions(home, machine.project, level=None).policy)
    for tool, argument, effect in rows:
        text = argument.replace("\\|", "|")
        assert gate.rule_on(tool, text, folder=machine.project).decision.effect == effect, argument
