"""What a job runs passes the permission rules: when it is added, and each time it runs."""

import asyncio
import os
import pty
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core import types
from node.config import load
from runtime.core.errors import JobRefused
from runtime.core.jobspec import Kind, Words
from runtime.core.permission_rules import Effect
from runtime.core.permissions import Policy
from runtime.job_door import JobDoor
from runtime.permitting import Gate
from runtime.scheduler import Scheduler
from runtime.scripts import Scripts
from tests.node.world import SETTINGS, Home
from tests.sandbox.engines import ENGINES

from .world import SPEC, World, door

GIT = ("git", "status")
YES = {"by": "operator", "asked": ""}
RULE = {"by": "rule", "asked": ""}


# ---- the decision ------------------------------------------------------------------------------


@pytest.mark.parametrize("yes", [True, False])
@pytest.mark.parametrize("confined", [True, False])
def test_a_deny_wins(yes, confined):
    for shut in (door(deny="Bash(git)"), door(deny="Bash"), door(deny="*")):
        with pytest.raises(JobRefused, match="not allowed"):
            shut.admit(GIT, confined=confined, yes=yes)
        for allowed in (YES, RULE, None):
            with pytest.raises(JobRefused, match="not run: denied by"):
                shut.check(GIT, confined=confined, allowed=allowed)


def test_a_rule_allows_what_runs_in_the_sandbox_and_no_more():
    open_to_git = door("Bash(git:*)")
    assert open_to_git.admit(GIT, confined=True, yes=False) == RULE
    open_to_git.check(GIT, confined=True, allowed=RULE)
    with pytest.raises(JobRefused, match="allows it in the sandbox, and it is to run outside"):
        open_to_git.admit(GIT, confined=False, yes=False)
    assert open_to_git.admit(GIT, confined=False, yes=True) == YES
    open_to_git.check(GIT, confined=False, allowed=YES)
    with pytest.raises(JobRefused, match="nobody said yes"):
        open_to_git.check(GIT, confined=False, allowed=RULE)


def test_what_no_rule_names_needs_a_yes_and_has_it_on_record():
    silent = door("Bash(ls)")
    with pytest.raises(JobRefused, match="no rule names it") as caught:
        silent.admit(GIT, confined=True, yes=False)
    assert "--yes" in caught.value.hint
    assert silent.admit(GIT, confined=True, yes=True) == YES
    silent.check(GIT, confined=True, allowed=YES)
    with pytest.raises(JobRefused, match="nobody said yes"):
        silent.check(GIT, confined=True, allowed=RULE)  # the rule that allowed it is gone


def test_a_yes_answers_the_question_that_was_put_and_no_newer_one():
    asking = door(ask="Bash(git)")
    given = asking.admit(GIT, confined=True, yes=True)
    assert given == {"by": "operator", "asked": "Bash(git)"}
    asking.check(GIT, confined=True, allowed=given)
    door("Bash(ls)").check(GIT, confined=True, allowed=given)  # the rule is gone: less is asked
    for allowed in (YES, RULE, None, {"by": "operator", "asked": "Bash(ls)"}, {}):
        with pytest.raises(JobRefused, match=r"asked about by Bash\(git\), and nobody said yes"):
            asking.check(GIT, confined=True, allowed=allowed)


def test_a_job_of_before_goes_on_unless_a_rule_is_about_it():
    door("Bash(ls)").check(GIT, confined=True, allowed=None)
    door("Bash(ls)").check(GIT, confined=False, allowed=None)
    for later in (door(deny="Bash(git)"), door(ask="Bash(git)")):
        with pytest.raises(JobRefused):
            later.check(GIT, confined=True, allowed=None)


def test_nothing_runs_while_a_rule_cannot_be_read():
    broken = JobDoor(rules=lambda: Gate(Policy(faults=("x: y",))), folder=Path("/nowhere"))
    with pytest.raises(JobRefused, match="a rule cannot be read"):
        broken.check(GIT, confined=True, allowed=YES)


def test_a_shell_in_a_job_is_read_by_the_rules():
    shut = door(deny="Bash(rm)")
    for argv in (("sh", "-c", "true; rm -r x"), ("env", "X=1", "/bin/rm"), ("timeout", "9", "rm")):
        with pytest.raises(JobRefused, match="denied"):
            shut.check(argv, confined=True, allowed=YES)
    quiet = ("echo", "; rm x", "$(rm x)", "rm")
    shut.check(quiet, confined=True, allowed=YES)  # no shell reads these words, nor do the rules


WORDS = st.sampled_from(
    [
        "git",
        "status",
        ";",
        "&&",
        "|",
        "$(rm)",
        "`rm`",
        "\n",
        "",
        " ",
        "'",
        '"',
        "*",
        "#",
        "\\",
        "rm",
    ]
)


@given(st.lists(WORDS | st.text(max_size=6), min_size=1, max_size=4))
def test_only_the_very_words_of_a_rule_are_allowed(argv):
    """Whatever a shell would make of them: none reads them."""
    asked = door("Bash(git status)").asked(tuple(argv), confined=True)
    assert (asked.effect is Effect.ALLOW) is (argv == ["git", "status"])


# ---- the book and the scheduler ----------------------------------------------------------------


def events(world, kind):
    return [event for event in world.journal.log.events(0, world.log.size) if event.type == kind]


async def test_a_yes_stays_with_the_words_it_was_given_for():
    world = World()
    world.book.door = door("Bash(ls)")
    words = Words(argv=GIT)
    with pytest.raises(JobRefused, match="nobody is there to ask"):
        await world.book.add(SPEC, words, by="operator")
    await world.book.add(SPEC, words, by="operator", yes=True)
    job = world.book.find("tidy")
    assert world.log.read(job.words).payload["allowed"] == YES
    slower = replace(SPEC, limit_s=5)
    await world.book.change(job, slower, words, by="operator")
    job = world.book.find("tidy")
    assert (job.spec.limit_s, world.log.read(job.words).payload["allowed"]) == (5, YES)
    for spec, other in ((SPEC, Words(argv=("git", "gc"))), (replace(SPEC, confined=False), words)):
        with pytest.raises(JobRefused, match="nobody is there to ask"):
            await world.book.change(job, spec, other, by="operator")
    await world.book.change(job, replace(SPEC, confined=False), words, by="operator", yes=True)
    assert not world.book.find("tidy").spec.confined


async def test_a_run_that_adds_a_job_says_no_yes():
    world = World()
    world.book.door = door("Bash(ls)")
    await world.book.add(SPEC, Words(argv=("ls",)), by="operator")
    claim = await world.book.run_now("tidy")
    deeper = replace(SPEC, name="deeper")
    with pytest.raises(JobRefused, match="nobody is there to ask"):
        await world.book.add(
            deeper, Words(argv=GIT), by="operator", parent=claim.payload["run"], yes=True
        )


@pytest.mark.skipif(not ENGINES, reason="no engine of the sandbox works here")
async def test_changed_rules_stop_a_run_and_say_so_without_the_job_s_words(tmp_path):
    world = World()
    world.book.door = door("Bash(true)")
    await world.book.add(SPEC, Words(argv=("true", "a word of mine")), by="operator", yes=True)
    rules = {"now": door("Bash(ls)")}

    def as_they_are() -> Gate:
        return rules["now"].rules()

    changing = JobDoor(rules=as_they_are, folder=tmp_path)
    scripts = Scripts(
        home=tmp_path, engine=ENGINES[0], clock=world.clock, door=changing,
        allowed=lambda job: world.log.read(job.words).payload.get("allowed"),
    )  # fmt: skip
    scheduler = Scheduler(world.journal, world.book, runners={Kind.SCRIPT: scripts}, instants={})
    ends = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(scheduler.run())
        for now in (door("Bash(ls)"), door(deny="Bash(true)"), door(ask="Bash(true)")):
            rules["now"] = now
            await world.book.run_now("tidy")
            ends = await finished(world, len(ends) + 1)
        task.cancel()
    assert [end.payload["outcome"] for end in ends] == ["done", "failed", "failed"]
    assert [end.payload.get("reason") for end in ends] == [
        None, "not run: denied by Bash(true)",
        "not run: asked about by Bash(true), and nobody said yes",
    ]  # fmt: skip
    assert "mine" not in str([end.payload for end in ends])


async def finished(world, count):
    while len(found := events(world, types.JOB_FINISHED.name)) < count:
        await asyncio.sleep(0.01)
    return found


# ---- on a node ---------------------------------------------------------------------------------


def test_jobs_add_asks_who_sits_there_and_refuses_where_nobody_does(tmp_path):
    born = Home(tmp_path / "machine").configure(SETTINGS)
    born.run("init").good()
    born.config.write_text(
        SETTINGS + '\n[permissions]\nallow = ["Bash(ls)"]\ndeny = ["Bash(rm)"]\n'
    )
    add = ("jobs", "add", "j", "--when", "every 1d")
    with born.running() as node:
        born.run(*add, "--run", "date", "-u").refused("nobody is there to ask", "--yes")
        born.run(*add, "--yes", "--run", "rm", "x").refused("not allowed", "Bash(rm)")
        told = born.run(*add, "--run", "ls").good().out
        assert told.splitlines()[-1] == "allowed by a rule, each time: ls"
        born.run("jobs", "remove", "j").good()
        assert "no rule names it" in typed(born, "n\n", *add, "--run", "date", "-u")
        assert not node.log("job.added")[1:]
        assert "allowed by you, each time: date -u" in typed(
            born, "y\n", *add, "--run", "date", "-u"
        )
        shown = born.run("--json", "jobs", "show", "j").good().json
        assert shown["allowed"] == YES
        born.config.write_text(SETTINGS + '\n[permissions]\nask = ["Bash(date)"]\n')
        assert born.run("jobs", "run", "j").code == 1
        reason = node.log("job.finished")[-1]["payload"]["reason"]
        assert reason == "not run: asked about by Bash(date), and nobody said yes"
        born.run("jobs", "change", "j", "--yes").good()
        born.run("jobs", "run", "j").good()
        assert load(born.config).permissions.ask == ["Bash(date)"]


def typed(home, answer: str, *argv: str) -> str:
    """Run a command on a terminal and type this when it asks; return all that it wrote."""
    ours, theirs = pty.openpty()
    process = home.popen(*argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    said = b""
    with suppress(OSError):  # EIO: the other side is closed
        while data := os.read(ours, 4096):
            said += data
            if b"[y/N]" in data:
                os.write(ours, answer.encode())
    os.close(ours)
    process.wait()
    return said.decode().replace("\r\n", "\n")
