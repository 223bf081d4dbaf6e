"""A day in which nothing but this machine answers, and half of it without a model either."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.node.world import Home

from .blackout_day import NOON, QUARTERS

ROOT = Path(__file__).parents[2]
LOOPBACK = f'"{sys.executable}" tests/loopback.py; exec "$@"'
DAY_S = 600


def alone() -> list[str]:
    """What takes the network away from a command, where this machine lets us."""
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        return []
    return ["unshare", "--net", "--", "bash", "-c", LOOPBACK, "day"]


@pytest.fixture(scope="module")
def day(model, tmp_path_factory):
    root = tmp_path_factory.mktemp("blackout") / "machine"
    root.mkdir()
    command = [*alone(), sys.executable, "-m", "tests.local.blackout_day", str(root), str(model)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=DAY_S, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return Home(root), json.loads(done.stdout.splitlines()[-1])


def test_no_way_led_out(day):
    if not alone() and not os.environ.get("CI"):
        pytest.skip("this machine does not let the tests take the network away")
    assert not day[1]["way_out"]


def test_every_message_was_answered_by_whoever_was_left(day):
    told = day[1]
    hours = QUARTERS // 4
    links = [one["link"] for one in told["said"]]
    assert links == ["local"] * (NOON // 4 - 1) + ["responder"] * (hours - NOON // 4 + 1)
    assert all(one["words"] for one in told["said"])
    assert told["received"] == told["sent"] == len(told["turns"]) == hours + QUARTERS // 12
    assert set(told["turns"]) == {"answered"}
    assert {one.partition(":")[0] for one in told["tried"]} == {"named", "numbered", "local"}
    assert "No such file" in told["local"]


def test_jobs_went_on_and_those_that_need_a_model_took_their_other_form(day):
    told = day[1]
    assert told["beats"] == QUARTERS
    assert told["reports"] == 1
    assert told["skipped"] == []
    outcomes = Counter(outcome for outcome, _ in told["jobs"])
    assert outcomes == {"done": QUARTERS // 4 + NOON // 12, "degraded": QUARTERS // 12 - NOON // 12}
    assert {exit_code for _, exit_code in told["jobs"]} <= {0, None}
    assert told["own"] == ["done"], "historian, dreamer and healer went on"


def test_the_ledger_was_released_and_searched_and_replays_the_same(day):
    home, told = day
    assert told["found"] >= 1
    assert told["checkpoints"] >= 1
    assert told["head"] >= told["received"] + told["sent"] + told["beats"]
    first = home.run("--json", "replay").good().json
    second = home.run("--json", "replay").good().json
    assert first["digest"] == second["digest"]
    assert home.run("verify").good()
