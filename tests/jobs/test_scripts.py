"""Script jobs as real processes: held, bounded in time and output, gone when they are over."""

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.core.errors import JobRefused
from runtime.sandbox import Engine
from runtime.scripts import Scripts
from tests.sandbox.engines import ENGINES

from .world import door

SECONDS = 10_000 + os.getpid()
BUSY = f"import subprocess, time; subprocess.Popen(['sleep', '{SECONDS}']); print('begun', flush=True); time.sleep(600)"


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture
def scripts(tmp_path, engine):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "secret").write_text("do not read")
    return Scripts(
        home=tmp_path, engine=engine, clock=lambda: time.time_ns() // 1_000_000, door=door(),
        allowed=lambda _: None,
    )  # fmt: skip


async def ran(scripts, *argv, confined=True, limit_s=60.0):
    return await scripts.carry_out(argv, limit_s=limit_s, confined=confined)


def tell(scripts, text):
    path = scripts.home / "scripts" / "job.sh"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return "/scripts/job.sh"


async def test_a_confined_script_runs_what_the_system_has_and_ends_as_it_says(scripts):
    path = tell(scripts, 'pwd; echo "$HOME $TZ"; echo work > f && cat f; echo oops >&2; exit 3\n')
    done = await ran(scripts, path, "an argument; rm -rf /")
    assert done.outcome == "failed"
    assert done.facts["exit"] == 3
    where, at_home, *rest = done.output.splitlines()
    assert where == "/work" or where.startswith("/dev/shm/timmy-room-")
    assert (at_home, rest) == (f"{where} UTC", ["work", "oops"])
    assert (await ran(scripts, "true")).outcome == "done"


async def test_arguments_are_never_read_by_a_shell(scripts):
    done = await ran(scripts, "echo", "$HOME; `id` $(id) && true")
    assert done.output == "$HOME; `id` $(id) && true\n"


async def test_a_confined_script_finds_no_home_no_network_no_environment(scripts, monkeypatch):
    monkeypatch.setenv("TIMMY_PASSPHRASE", "known to the node alone")
    home = scripts.home
    path = tell(
        scripts,
        f"cat {home}/secret; ls /root /home /etc /proc; env; echo x > /scripts/new; echo x > /usr/new\n"
        "python3 -c \"import socket; socket.create_connection(('127.0.0.1', 1), 1)\"; ls /sys; true\n",
    )
    done = await ran(scripts, path)
    assert done.outcome == "done"
    for secret in ("do not read", "known to the node alone", "passwd", "cpuinfo"):
        assert secret not in done.output
    assert sum(done.output.count(word) for word in WITHHELD[scripts.engine]) >= 7
    assert any(word in done.output for word in ("unreachable", "refused", "not found", "denied"))
    assert not (home / "scripts" / "new").exists()


async def test_a_script_of_a_fleet_finds_its_run_and_its_fence(scripts):
    """And, confined, nothing else of what the node has."""
    given = {"TIMMY_RUN": "ab12", "TIMMY_FENCE": "cd34"}
    words = ("sh", "-c", 'echo "$TIMMY_RUN $TIMMY_FENCE ${TIMMY_HOME:-none}"')
    done = await scripts.carry_out(words, limit_s=60, confined=True, given=given)
    assert done.output == "ab12 cd34 none\n"
    bare = await scripts.carry_out(words, limit_s=60, confined=False, given=given)
    assert bare.output == f"ab12 cd34 {scripts.home}\n"


WITHHELD = {
    Engine.BUBBLEWRAP: ("No such file", "Read-only file system"),
    Engine.LANDLOCK: ("Permission denied",),
}


def sleepers():
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += [place] if place.read_bytes() == f"sleep\0{SECONDS}\0".encode() else []
    return found


@pytest.mark.parametrize("confined", [True, False])
async def test_a_script_that_takes_too_long_is_ended_with_all_it_started(scripts, confined):
    done = await ran(scripts, "python3", "-c", BUSY, confined=confined, limit_s=2.0)
    assert done.outcome == "timed out"
    assert done.output in {"begun\n", ""}
    assert sleepers() == []


@pytest.mark.parametrize("confined", [True, False])
async def test_a_node_that_stops_leaves_no_script_behind(scripts, confined):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(ran(scripts, "python3", "-c", BUSY, confined=confined))
        while not sleepers():
            await asyncio.sleep(0.02)
        task.cancel()
    assert sleepers() == []


async def test_the_end_of_a_flood_of_output_is_kept(scripts):
    done = await ran(scripts, "sh", "-c", "yes words | head -c 300000; echo the end")
    assert done.output.endswith("the end\n")
    assert len(done.output) <= 16 * 1024


async def test_a_program_that_is_not_there_is_a_failure_that_names_it(scripts):
    done = await ran(scripts, "no-such-program")
    assert done.outcome == "failed"
    assert "no-such-program" in done.output
    with pytest.raises(OSError, match="no-such-program"):
        await ran(scripts, "no-such-program", confined=False)


async def test_an_unconfined_script_has_the_home_and_not_the_secrets(scripts, monkeypatch):
    monkeypatch.setenv("TIMMY_PASSPHRASE", "known to the node alone")
    done = await ran(scripts, "sh", "-c", "cat secret; env", confined=False)
    assert "do not read" in done.output
    assert f"TIMMY_HOME={scripts.home}" in done.output
    assert "known to the node alone" not in done.output


async def test_nothing_runs_unconfined_that_was_to_be_confined(tmp_path):
    bare = Scripts(
        home=tmp_path, engine=Engine.NONE, clock=lambda: 0, door=door(), allowed=lambda _: None
    )
    with pytest.raises(JobRefused, match="cannot be confined"):
        await ran(bare, "true")
