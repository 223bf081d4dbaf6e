"""The measurement of docs/MODELS.md, with a tiny model: node and model together in a group of 2 GiB."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import cgroups

ROOT = Path(__file__).parents[2]


def test_a_node_answers_through_its_model_within_two_gigabytes(model, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bench.brain", "--quick", "--build", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    group = cgroups.create(2**30, 100)
    if group is None:
        assert (done.returncode, "run it as root" in done.stdout) == (2, True)
        if os.environ.get("CI"):
            pytest.fail("no control group can be made here, so nothing was measured")
        pytest.skip("no control group can be made here: it says so, and measures nothing")
    group.remove()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    beside = found["beside_a_node"]
    assert {turn["link"] for turn in beside["turns"]} == {"local"}
    assert (beside["ended_for_memory"], beside["model_lives"]) == (0, 1)
    assert 0 < beside["group_peak_mib"] < 2048
    assert min(beside["idle_mib"].values()) > 0
    assert found["alone"]["fits"]
