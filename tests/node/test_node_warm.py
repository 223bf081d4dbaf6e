"""The harness itself: a warm start is the start of a process, and says what a cold one says."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from .warm import Warm
from .world import COMMAND_SECONDS

COMMANDS = (
    ("--version",),
    ("nonsense",),
    ("verify",),
    ("--json", "log", "--from", "0"),
    ("show", "999999"),
    ("status",),
)
"""A few that end well, and a few that do not."""


@pytest.fixture(scope="module")
def starter():
    starter = Warm()
    yield starter
    starter.close()


@pytest.fixture(scope="module")
def home(born_seed, tmp_path_factory):
    return born_seed.copy(tmp_path_factory.mktemp("warm") / "home")


@pytest.fixture
def start(starter, home):
    """Start a command warm, and what it must not leave running."""
    made = []

    def start(*argv, out=None):
        with Path(os.devnull).open("r+b") as nothing:
            given = nothing.fileno()
            made.append(starter.start(argv, home.env, given, out or given, out or given))
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.wait()


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_a_warm_start_says_what_a_cold_one_says(starter, home, monkeypatch, argv):
    monkeypatch.setenv("TIMMY_TESTS_COLD", "1")
    cold = home.run(*argv)
    warm = starter.run(argv, home.env, b"", COMMAND_SECONDS)
    found = (warm.returncode, warm.stdout.decode(), warm.stderr.decode())
    assert found == (cold.code, cold.out, cold.err)


@pytest.mark.parametrize("argv", [("say", "-"), ("verify",)], ids=" ".join)
def test_more_input_than_a_pipe_holds_is_read_or_not(starter, lived, monkeypatch, argv):
    """`say` reads it all, and refuses a message of that length; `verify` reads nothing."""
    monkeypatch.setenv("TIMMY_TESTS_COLD", "1")
    cold = lived.run(*argv, stdin=b"a" * 3_000_000)
    warm = starter.run(argv, lived.env, b"a" * 3_000_000, COMMAND_SECONDS)
    assert (warm.returncode, warm.stderr.decode()) == (cold.code, cold.err)


def test_its_environment_is_what_it_was_given_and_nothing_else(starter, home, monkeypatch):
    monkeypatch.setenv("TIMMY_HOME", "/nowhere")
    given = {name: value for name, value in home.env.items() if name != "TIMMY_PASSPHRASE"}
    done = starter.run(("run",), given, b"", COMMAND_SECONDS)
    assert done.returncode == 2
    assert b"TIMMY_PASSPHRASE" in done.stderr
    assert b"nowhere" not in done.stderr


def test_each_of_many_at_once_ends_with_its_own_status(start):
    read, write = os.pipe()
    running = [start(*argv, out=write) for argv in (("--version",), ("nonsense",)) * 4]
    os.close(write)
    assert len({os.getpid(), *(process.pid for process in running)}) == 9
    assert [process.wait(COMMAND_SECONDS) for process in running] == [0, 2] * 4
    assert [process.poll() for process in running] == [0, 2] * 4
    with os.fdopen(read, "rb") as said:
        assert said.read().count(b"timmy: error: ") == 4


def test_signals_reach_the_one_they_are_sent_to(start):
    first, second = start("run"), start("run")
    first.kill()
    assert first.wait(COMMAND_SECONDS) == -signal.SIGKILL
    assert second.poll() is None or second.returncode == 2  # one home holds one node
    first.send_signal(signal.SIGTERM)  # to one that has ended: to nobody


def test_no_descriptor_of_those_that_start_it_is_left_in_it(starter, lived, monkeypatch):
    monkeypatch.setattr("tests.node.world.warm", lambda _: starter)
    node = lived.start()
    assert descriptors(node.process.pid) & descriptors(starter.pid) <= {os.devnull}
    node.stop()


def descriptors(pid: int) -> set[str]:
    """What a process has open besides its standard streams, as /proc names it."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found |= {str(link.readlink())} if int(link.name) > 2 else set()
    return found
