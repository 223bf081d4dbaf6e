"""Jobs that follow a file, a folder or a git branch: real files, a real git, a clock of the test."""

import subprocess
from dataclasses import replace

import pytest

from runtime.core.errors import JobRefused
from runtime.core.jobspec import Kind
from runtime.core.schedule import Watch
from runtime.sightings import sight
from runtime.watching import Watcher

from .world import HOUR, SPEC, TRUE, World


def git(folder, *argv):
    plain = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(folder)]
    subprocess.run([*plain, *argv], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


async def look(world):
    await Watcher(world.book).look()
    await world.settle()


def file(path):
    return Watch(what="file", path=str(path))


async def test_a_file_that_changes_comes_and_goes_looks_otherwise_each_time(tmp_path):
    path = tmp_path / "letter"
    looks = [await sight(file(path))]
    path.write_text("one")
    looks.append(await sight(file(path)))
    assert await sight(file(path)) == looks[-1]
    path.write_text("longer")
    looks.append(await sight(file(path)))
    other = tmp_path / "other"
    other.write_text("longer")
    other.replace(path)
    looks.append(await sight(file(path)))
    assert len(set(looks)) == len(looks)
    assert {len(one) for one in looks} == {32}
    path.unlink()
    assert await sight(file(path)) == looks[0]


async def test_a_folder_looks_as_its_entries_do(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "nowhere")
    before = await sight(file(tmp_path))
    assert await sight(file(tmp_path)) == before
    (tmp_path / "a").write_text("y" * 9)
    after = await sight(file(tmp_path))
    (tmp_path / "b").touch()
    assert len({before, after, await sight(file(tmp_path))}) == 3
    assert await sight(file("/dev/null/under")) == await sight(file("/nowhere/at/all"))


async def test_a_branch_looks_as_its_commit_and_what_is_none_looks_absent(
    repository, tmp_path, monkeypatch
):
    main = Watch(what="commit", path=str(repository), branch="main")
    here = replace(main, branch="")
    before = await sight(main)
    assert await sight(here) == before
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # says nothing of this repository
    assert await sight(main) == before
    monkeypatch.delenv("GIT_DIR")
    git(repository, "switch", "-q", "-c", "next")
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    assert await sight(main) == before
    assert await sight(here) != before
    absent = await sight(replace(main, branch="nowhere"))
    assert absent == await sight(replace(main, path=str(tmp_path / "nowhere")))
    assert absent != before


async def test_a_repository_that_would_run_a_command_runs_none(repository, tmp_path):
    """It says that objects may be elsewhere, and that a command of its own brings them."""
    made, missing = tmp_path / "made", "1" * 40
    for name, value in (
        ("core.repositoryformatversion", "1"),
        ("extensions.partialClone", "o"),
        ("remote.o.promisor", "true"),
        ("remote.o.url", "/"),
        ("remote.o.uploadpack", f"touch {made}; false"),
        ("core.fsmonitor", f"touch {made}"),
        ("core.sshCommand", f"touch {made}"),
        ("protocol.file.allow", "always"),
    ):
        git(repository, "config", name, value)
    (repository / ".git" / "refs" / "heads" / "main").write_text(f"{missing}\n")
    absent = await sight(Watch(what="commit", path=str(tmp_path / "nowhere")))
    for branch in ("main", ""):
        looks = await sight(Watch(what="commit", path=str(repository), branch=branch))
        assert looks != absent, "the name stands for an object, whether that is there or not"
    assert not made.exists()


async def test_without_git_a_job_that_needs_it_is_refused(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    async with World().running() as world:
        plan = Watch(what="commit", path=str(repository))
        with pytest.raises(JobRefused, match="no git"):
            await world.book.add(replace(SPEC, schedule=plan), TRUE, by="test")
        await world.add(schedule=file(repository))


async def test_a_change_is_one_run_and_a_first_look_none(tmp_path):
    async with World().running() as world:
        await world.add(schedule=file(tmp_path))
        await look(world)
        await look(world)
        assert [event.payload["changed"] for event in world.of("job.noticed")] == [False]
        assert world.work.begun == []
        (tmp_path / "letter").write_text("read me")
        await look(world)
        assert len(world.work.begun) == 1
        [_, noticed] = world.of("job.noticed")
        [claim] = world.of("job.started")
        assert [cause.position for cause in claim.envelope.causes] == [noticed.position]
        for number in range(5):
            (tmp_path / "letter").write_text("x" * number)
            await look(world)
        assert len(world.work.begun) == 1, "within a minute of the run before"
        assert len(world.of("job.noticed")) == 3, "a run is owed: nothing more is recorded"
        await world.at(61 / HOUR)
        assert len(world.work.begun) == 2
        assert world.again().journal.state.digest() == world.journal.state.digest()


async def test_a_change_while_no_node_ran_is_noticed_at_the_next_look(tmp_path):
    async with World().running() as world:
        await world.add(schedule=file(tmp_path / "letter"))
        await look(world)
    (tmp_path / "letter").write_text("read me")
    async with world.again().running() as second:
        await look(second)
        assert len(second.work.begun) == 1


async def test_what_changes_during_a_pause_or_before_a_new_plan_is_not_missed(tmp_path):
    async with World().running() as world:
        await world.add(schedule=file(tmp_path / "letter"))
        await look(world)
        await world.book.pause("tidy", by="test")
        (tmp_path / "letter").write_text("read me")
        await look(world)
        await world.book.resume("tidy", by="test")
        await look(world)
        assert world.work.begun == []
        job = world.book.find("tidy")
        await world.book.change(
            job, replace(job.spec, schedule=file(tmp_path / "b")), TRUE, by="test"
        )
        await look(world)
        assert world.work.begun == []
        (tmp_path / "b").touch()
        await look(world)
        assert len(world.work.begun) == 1
        assert world.book.find("tidy").spec.kind is Kind.SCRIPT
