"""The tools that touch files and programs: what they do, their bounds, and what tries to get out."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import sandbox
from runtime.core.errors import CallRefused
from runtime.core.permissions import FileCall, Policy, ShellCall
from runtime.core.shell import read as read_line
from runtime.core.tool import Effect, ToolContext, ToolResult
from runtime.permitting import Gate
from runtime.sandbox import Engine
from runtime.toolbox import Toolbox
from runtime.tools import (
    editing,
    git,
    listing,
    paths,
    reading,
    searching,
    shell,
    skills,
    writing,
)
from runtime.tools.confined import Confined
from tests.runtime.world import until
from tests.sandbox.engines import ENGINES


class Bench:
    """Tools in a folder; every call is decided for the folder and allowed."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        confined = Confined(engine=engine)
        self.box = Toolbox()
        self.box.register(reading.SPEC, reading.ReadFile())
        self.box.register(writing.SPEC, writing.WriteFile())
        self.box.register(editing.SPEC, editing.EditFile())
        self.box.register(listing.SPEC, listing.ListFiles())
        self.box.register(
            searching.SPEC,
            searching.SearchFiles(confined, lambda path, _: not path.endswith(".env")),
        )
        self.box.register(shell.SPEC, shell.RunShell(confined))
        for spec, tool in git.tools(confined, "Timmy"):
            self.box.register(spec, tool)
        self.gate = Gate(Policy(project=str(folder)))

    async def use(self, name: str, **args) -> ToolResult:
        entry = self.box.entry(name)
        specifier = entry.spec.permission.specifier(args)
        ruling = self.gate.rule_on(entry.spec.permission.tool, specifier, folder=self.folder)
        context = ToolContext(
            folder=str(self.folder), call=ruling.call, conversation="main", author="ada", message=1
        )
        return await self.box.call(entry, args, context)


@pytest.fixture(params=ENGINES)
def engine(request) -> Engine:
    return request.param


@pytest.fixture
def bench(tmp_path, engine) -> Bench:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "secret").write_text("the operator's key\n")
    return Bench(folder, engine)


# ---- files -------------------------------------------------------------------------------------


async def test_a_file_is_written_read_and_changed(bench):
    assert (await bench.use("write_file", path="a/b.txt", text="one\ntwo\n")).text == (
        "made a/b.txt: 8 bytes"
    )
    assert (await bench.use("edit_file", path="a/b.txt", old="two", new="owl")).text == (
        "changed a/b.txt in 1 place"
    )
    assert (await bench.use("read_file", path="a/b.txt")).text == "     1\tone\n     2\towl\n"
    assert (await bench.use("write_file", path="a/b.txt", text="")).text.startswith("wrote")
    assert (await bench.use("read_file", path="a/b.txt")).text == "[a/b.txt: it is empty]"
    assert [path.name for path in (bench.folder / "a").iterdir()] == ["b.txt"]


async def test_lines_are_read_from_any_on_and_say_where_to_go_on(bench):
    (bench.folder / "n").write_text("".join(f"{n}\n" for n in range(1, 101)))
    said = await bench.use("read_file", path="n", first=40, lines=2)
    assert said.text == "    40\t40\n    41\t41\n[there is more: go on with line 42]\n"
    last = await bench.use("read_file", path="n", first=100, lines=5)
    assert last.text == "   100\t100\n"
    past = await bench.use("read_file", path="n", first=500)
    assert past.text == "[n: it has fewer than 500 lines]"


async def test_long_lines_are_cut(bench):
    (bench.folder / "min.js").write_text("x" * 10_000 + "\n")
    said = await bench.use("read_file", path="min.js")
    assert "[... 8000 characters]" in said.text
    assert said.left_out == 8000


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("read_file", {"path": "none"}, "none: no such file or directory"),
        ("read_file", {"path": "."}, ".: is a directory"),
        ("read_file", {"path": "bin"}, "bin is no text: it has zero bytes"),
        ("read_file", {"path": "pipe"}, "this is no plain file"),
        ("read_file", {"path": "t", "first": 0}, "wrong arguments: Expected `int` >= 1"),
        ("read_file", {"path": "t", "far": 1}, "wrong arguments: Object contains unknown field"),
        ("write_file", {"path": "d", "text": "x"}, "d: is a directory"),
        ("write_file", {"path": "pipe", "text": "x"}, "this is no plain file"),
        ("write_file", {"path": "t"}, "wrong arguments: Object missing required field `text`"),
        ("write_file", {"path": "t/x", "text": "x"}, "t/x: not a directory"),
        ("edit_file", {"path": "t", "old": "no", "new": "x"}, "t does not hold this text"),
        ("edit_file", {"path": "t", "old": "o", "new": "x"}, "holds this text 2 times"),
        ("edit_file", {"path": "t", "old": "one  two", "new": "x"}, "differs in spaces"),
        ("edit_file", {"path": "t", "old": "one", "new": "one"}, "old and new are the same"),
        ("list_files", {"path": "t"}, "t: not a directory"),
        ("search_files", {"pattern": "("}, "ripgrep: regex parse error"),
    ],
)
async def test_what_cannot_be_done_is_said_clearly(bench, name, args, why):
    (bench.folder / "t").write_text("one two\n")
    (bench.folder / "bin").write_bytes(b"a\0b")
    (bench.folder / "d").mkdir()
    os.mkfifo(bench.folder / "pipe")
    result = await bench.use(name, **args)
    assert result.is_error
    assert why in result.text


async def test_every_occurrence_is_changed_if_that_is_said(bench):
    (bench.folder / "t").write_text("a a a")
    assert (await bench.use("edit_file", path="t", old="a", new="bb", all=True)).text == (
        "changed t in 3 places"
    )
    assert (bench.folder / "t").read_text() == "bb bb bb"


async def test_a_change_that_would_make_a_file_too_large_is_not_made(bench):
    (bench.folder / "t").write_text("a" * 1_000_000)
    size = 300 * 1_000_000
    said = await bench.use("edit_file", path="t", old="a", new="b" * 300, all=True)
    assert said.is_error
    assert said.text == f"t would have {size} bytes, at most {editing.EDIT_BYTES_MAX}"
    assert (bench.folder / "t").stat().st_size == 1_000_000
    (bench.folder / "t").write_text("a" * editing.EDIT_BYTES_MAX)
    assert not (await bench.use("edit_file", path="t", old="a", new="b", all=True)).is_error
    assert (await bench.use("edit_file", path="t", old="b" * 9, new="b" * 10, all=True)).is_error


async def test_a_changed_file_keeps_its_mode(bench):
    (bench.folder / "run.sh").write_text("echo one")
    (bench.folder / "run.sh").chmod(0o755)
    await bench.use("edit_file", path="run.sh", old="one", new="two")
    assert (bench.folder / "run.sh").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("swapped", ["folder", "file"])
async def test_a_link_put_there_after_the_decision_leads_nowhere(bench, tmp_path, swapped):
    """What a shell of the same agent could do while a call of a file tool is under way."""
    (bench.folder / "d").mkdir()
    (bench.folder / "d" / "secret").write_text("mine\n")
    ruled = bench.gate.rule_on("FileRead", "d/secret", folder=bench.folder).call
    assert isinstance(ruled, FileCall)
    (bench.folder / "d" / "secret").unlink()
    if swapped == "folder":
        (bench.folder / "d").rmdir()
        (bench.folder / "d").symlink_to(tmp_path)
    else:
        (bench.folder / "d" / "secret").symlink_to(tmp_path / "secret")
    context = ToolContext(
        folder=str(bench.folder), call=ruled, conversation="m", author="a", message=1
    )
    for name, args in (
        ("read_file", {"path": "d/secret"}),
        ("write_file", {"path": "d/secret", "text": "theirs"}),
        ("edit_file", {"path": "d/secret", "old": "the", "new": "my"}),
    ):
        result = await bench.box.call(bench.box.entry(name), args, context)
        assert result.is_error
        assert "operator" not in result.text
    assert (tmp_path / "secret").read_text() == "the operator's key\n"


async def test_files_are_listed_by_pattern_and_links_not_followed(bench, tmp_path):
    for name in ("a.py", "src/b.py", "src/deep/c.py", "src/d.txt", ".git/config"):
        path = bench.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (bench.folder / "out").symlink_to(tmp_path)
    assert (await bench.use("list_files", pattern="*.py")).text.split() == [
        "a.py", "src/b.py", "src/deep/c.py",
    ]  # fmt: skip
    everything = (await bench.use("list_files")).text.split()
    assert ".git/" in everything
    assert ".git/config" not in everything
    assert not any(name.startswith("out/") and len(name) > 4 for name in everything)
    assert (await bench.use("list_files", path="src", deep=False)).text.split() == [
        "deep/", "b.py", "d.txt",
    ]  # fmt: skip
    assert (await bench.use("list_files", pattern="src/*.py")).text.split()[0] == "src/b.py"
    assert (await bench.use("list_files", pattern="*.rs")).text == "[.: nothing fits *.rs]"


async def test_a_large_folder_is_cut(bench):
    for number in range(600):
        (bench.folder / f"f{number:04}").touch()
    said = await bench.use("list_files")
    assert said.text.endswith("[there is more: at most 500 names are listed]")


async def test_files_are_searched_and_those_not_to_be_read_left_out(bench):
    (bench.folder / "a.py").write_text("import os\nowl = 1\nOWL = 2\n")
    (bench.folder / ".env").write_text("owl_key=secret\n")
    (bench.folder / "x.env").write_text("owl_key=secret\n")
    said = await bench.use("search_files", pattern="^owl")
    assert said.text.splitlines()[0] == "a.py:2: owl = 1"
    assert "secret" not in said.text
    assert "[1 files that may not be read without asking were left out]" in said.text
    both = await bench.use("search_files", pattern="owl", glob="*.py", any_case=True, around=1)
    assert both.text.splitlines() == ["a.py:1: import os", "a.py:2: owl = 1", "a.py:3: OWL = 2"]
    none = await bench.use("search_files", pattern="plover", path="a.py")
    assert none.text == "[nothing fits plover]"


async def test_a_search_follows_no_link_out_of_the_folder(bench, tmp_path):
    (bench.folder / "out").symlink_to(tmp_path)
    (bench.folder / "key").symlink_to(tmp_path / "secret")
    said = await bench.use("search_files", pattern="operator")
    assert said.text == "[nothing fits operator]"


# ---- programs ----------------------------------------------------------------------------------


async def test_a_line_runs_in_the_folder_and_tells_its_status(bench):
    said = await bench.use("shell", line="echo owl > a.txt; cat a.txt; exit 3")
    assert (said.text, said.is_error) == ("[exit status 3]\nowl\n", True)
    assert (bench.folder / "a.txt").read_text() == "owl\n"
    assert (await bench.use("shell", line="cat; echo end")).text == "[exit status 0]\nend\n"


async def test_what_was_decided_is_what_runs(bench):
    line = read_line("echo decided")
    context = ToolContext(
        folder=str(bench.folder), call=ShellCall(line=line, paths={}), conversation="m",
        author="a", message=1,
    )  # fmt: skip
    said = await bench.box.call(bench.box.entry("shell"), {"line": "echo asked"}, context)
    assert said.text == "[exit status 0]\ndecided\n"


@pytest.mark.parametrize(
    "line",
    [
        "sleep 1000",
        "sleep 1000 & sleep 1000 & wait",
        "setsid sleep 1000; setsid bash -c 'sleep 1000' & disown; sleep 1000",
        "trap '' TERM INT HUP; while true; do :; done",
    ],
)
async def test_what_never_returns_or_forks_is_ended_with_all_it_started(bench, line):
    mark = f"{bench.folder.parent.name}-mark"
    said = await bench.use("shell", line=f"touch {mark}; {line}", seconds=1)
    assert said.is_error
    assert said.text.startswith("[its time is up, it was killed]")
    assert _alive_in(bench.folder) == []


async def test_a_fork_bomb_ends_and_the_machine_does_not(bench):
    said = await bench.use("shell", line="f() { f | f & }; f; sleep 60", seconds=2)
    assert said.is_error
    assert _alive_in(bench.folder) == []


async def test_a_cancelled_call_leaves_no_process(bench):
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(bench.use("shell", line="touch here; sleep 1000"))
        await until((bench.folder / "here").exists)
        assert _alive_in(bench.folder)
        calling.cancel()
    assert _alive_in(bench.folder) == []


async def test_a_flood_of_output_is_cut_and_counted(bench):
    said = await bench.use("shell", line="head -c 3000000 /dev/zero | tr '\\0' x")
    assert len(said.text) < 60_000
    assert said.left_out > 2_900_000
    assert "bytes were left out" in said.text


def _alive_in(folder: Path) -> list[str]:
    """Processes of this machine whose working folder is the bench."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (process / "cwd").readlink().is_relative_to(folder):
                    found.append((process / "cmdline").read_text())
            except OSError:
                continue
    return found


ESCAPES = {
    "the file beside": "cat ../secret",
    "an absolute path": "cat {outside}/secret",
    "a link": "ln -s {outside}/secret l; cat l",
    "the parent": "ls ..",
    "all of the disk": "cat /etc/passwd /etc/shadow /root/.bashrc",
    "another process": "ls /proc/1/root /proc/self/environ; cat /proc/*/environ",
    "its own environment": "env | grep -i -E 'passphrase|timmy|token|key'",
    "a port of this machine": "exec 3<>/dev/tcp/127.0.0.1/{port}; echo GET / >&3; cat <&3",
    "a socket in the folder": "python3 -c 'import socket; s=socket.socket(socket.AF_UNIX);"
    ' s.connect("{outside}/node.sock"); print(s.recv(99))\'',
    "a system folder": "touch /usr/bin/x && echo operator",
    "a namespace": "unshare -r -m sh -c 'mount -t proc proc /proc; echo operator'",
    "a mount": "mount --bind / /tmp; cat /tmp/root/.bashrc",
    "more rights": "sudo -n cat {outside}/secret; su -c 'cat {outside}/secret'",
    "a kernel file": "cat /sys/kernel/notes; dd if=/dev/mem count=1",
}


@pytest.mark.parametrize("what", ESCAPES)
async def test_nothing_outside_is_within_reach(bench, tmp_path, what):
    async def answer(_reader, writer) -> None:
        writer.write(b"the operator's key\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    path = await asyncio.start_unix_server(answer, tmp_path / "node.sock")
    async with server, path:
        port = server.sockets[0].getsockname()[1]
        line = ESCAPES[what].format(outside=tmp_path, port=port)
        said = await bench.use("shell", line=line, seconds=20)
    assert "operator" not in said.text.replace("operator$", "")
    assert "root:" not in said.text
    assert (tmp_path / "secret").read_text() == "the operator's key\n"


async def test_the_rules_of_a_project_cannot_be_changed_by_a_program_in_it(bench):
    (bench.folder / ".timmy").mkdir()
    rules = bench.folder / ".timmy" / "permissions.toml"
    rules.write_text('deny = ["Bash(rm)"]\n')
    for line in (
        "echo allow > .timmy/permissions.toml",
        "rm -rf .timmy",
        "mv .timmy x; mkdir .timmy",
        "touch .timmy/more",
    ):
        await bench.use("shell", line=line)
    assert rules.read_text() == 'deny = ["Bash(rm)"]\n'
    assert list(rules.parent.iterdir()) == [rules]


async def test_without_an_engine_nothing_runs(bench):
    bare = Toolbox()
    bare.register(shell.SPEC, shell.RunShell(Confined(engine=Engine.NONE)))
    bench.box = bare
    said = await bench.use("shell", line="touch ran")
    assert said.text == "programs cannot be confined on this machine: no engine works here"
    assert not (bench.folder / "ran").exists()


def test_the_engine_of_this_machine_is_bubblewrap():
    assert asyncio.run(sandbox.detect()) is Engine.BUBBLEWRAP


# ---- git ---------------------------------------------------------------------------------------


@pytest.fixture
def repo(bench) -> Bench:
    def run(*argv: str) -> None:
        subprocess.run(["git", "-C", str(bench.folder), *argv], check=True, capture_output=True)

    run("init", "-q", "-b", "main")
    (bench.folder / "a b.txt").write_text("one\n")
    run("add", ".")
    run("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-q", "-m", "First")
    return bench


async def test_git_shows_and_commits(repo):
    (repo.folder / "a b.txt").write_text("two\n")
    assert ' M "a b.txt"' in (await repo.use("git_status")).text
    assert "-one\n+two\n" in (await repo.use("git_diff", paths=["a b.txt"])).text
    said = await repo.use("git_commit", message='It\'s "two"; $(rm -rf .)', paths=["a b.txt"])
    assert not said.is_error, said.text
    log = (await repo.use("git_log", count=1)).text
    assert 'Timmy: It\'s "two"; $(rm -rf .)' in log
    assert (await repo.use("git_diff")).text == "[exit status 0]\n"


async def test_hooks_and_programs_of_a_repository_do_not_run(repo):
    for name in ("pre-commit", "post-commit", "commit-msg"):
        hook = repo.folder / ".git" / "hooks" / name
        hook.write_text("#!/bin/sh\ntouch ran\n")
        hook.chmod(0o755)
    with (repo.folder / ".git" / "config").open("a") as file:
        file.write("[core]\n\tfsmonitor = touch ran\n\tpager = touch ran\n"
                   "[diff]\n\texternal = touch ran\n")  # fmt: skip
    (repo.folder / "a b.txt").write_text("two\n")
    await repo.use("git_status")
    await repo.use("git_diff")
    await repo.use("git_commit", message="x", paths=["a b.txt"])
    assert not (repo.folder / "ran").exists()


async def test_looking_with_git_changes_nothing(repo):
    before = (repo.folder / ".git" / "index").read_bytes()
    (repo.folder / "a b.txt").touch()
    await repo.use("git_status")
    assert (repo.folder / ".git" / "index").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "args", "line"),
    [
        ("git_status", {}, "git status --short --branch"),
        ("git_diff", {"paths": ["a b", "$(x)"], "staged": True},
         "git diff --no-ext-diff --no-textconv --staged -- 'a b' '$(x)'"),
        ("git_commit", {"message": "a 'b'", "paths": ["-f"]},
         "git add -- -f && git commit --no-verify -m 'a '\"'\"'b'\"'\"'' -- -f"),
    ],
)  # fmt: skip
def test_the_rules_see_the_line_that_runs(bench, name, args, line):
    assert bench.box.describe(name).permission.specifier(args) == line


def test_wrong_arguments_of_git_are_refused_before_the_rules(bench):
    with pytest.raises(CallRefused, match="wrong arguments"):
        bench.box.describe("git_log").permission.specifier({"count": "many"})


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=3))
def test_no_argument_of_git_becomes_another_command(message, files):
    spec = git.SPECS[3]
    try:
        line = read_line(spec.permission.specifier({"message": message or "x", "paths": files}))
    except CallRefused:
        return
    if line.doubts:
        return
    assert [command.words[:2] for command in line.commands] == [("git", "add"), ("git", "commit")]


# ---- schemas -----------------------------------------------------------------------------------


def test_schemas_are_whole_and_take_what_the_tools_take(bench):
    for spec in bench.box.specs():
        assert spec.schema["type"] == "object"
        assert "$ref" not in str(spec.schema)
        assert spec.schema.get("additionalProperties") is False
    assert {s.name for s in bench.box.specs() if s.effect is Effect.WRITES} == {
        "write_file", "edit_file", "shell", "git_commit",
    }  # fmt: skip


# ---- skills ------------------------------------------------------------------------------------


def test_adopted_skills_are_listed_and_drafts_are_not(tmp_path):
    def put(name: str, text: str) -> None:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "SKILL.md").write_text(text)

    put("owls", "---\nname: owls\ndescription: How to count owls.\n---\nCount twice.\n")
    put("half", "---\nname: half\nstatus: draft\n---\nNot yet.\n")
    put("crlf", "---\nname: crlf\nstatus: draft \r\n---\nNot yet.\n")
    put("drafts", "---\nname: drafts\n---\nx")
    put("drafts/inner", "---\nname: inner\n---\nx")
    put("Big Name", "x")
    put("huge", "x" * 70_000)
    (tmp_path / "link").symlink_to(tmp_path / "half")
    found = skills.Skills(str(tmp_path))
    assert list(found.all()) == [("owls", "How to count owls.")]
    assert found.text("owls").endswith("Count twice.\n")
    for name in ("half", "crlf", "drafts", "../x", "drafts/inner", "huge", "", "link"):
        with pytest.raises((paths.ToolFailed, OSError)):
            found.text(name)
    assert list(skills.Skills(str(tmp_path / "none")).all()) == []


def test_fields_of_a_skill_are_read_without_the_blanks_around_them():
    wide = " " * skills.SKILL_BYTES_MAX
    text = f"---\nname:\t owls \nempty:\nabout: x{wide}x{wide}\n  nested: no\n---\nbody: no\n"
    assert skills._fields(text) == {"name": "owls", "empty": "", "about": f"x{wide}x"}
