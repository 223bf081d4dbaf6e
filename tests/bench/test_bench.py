"""Every row of `make bench` runs, small and on our side alone. No figure is looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.contest import Contest, Result
from bench.figures import Figure, of_forks
from bench.report import BEGIN, END, PASS, SHORT, judged, section, stated, write
from bench.rows import RELAYS, ROWS, Row, Side
from bench.syncs import Counter

ROOT = Path(__file__).parent.parent.parent
HERE = [row for row in ROWS if row.family != RELAYS]
"""The others are in test_bench_relays.py."""


def bench(*argv):
    """Run the benchmarks, with nothing that measures the code that they measure."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return subprocess.run(
        [sys.executable, "-m", "bench", *argv],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=env,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Everything but the whole node, whose start alone takes longer than all the others."""
    build = tmp_path_factory.mktemp("bench")
    rows = [argument for row in HERE for argument in ("--only", row.name)]
    done = bench("--quick", "--ours", "--build", str(build), *rows)
    assert done.returncode == 0, done.stderr
    return build, json.loads((build / "bench.json").read_text())


@pytest.mark.parametrize("row", HERE, ids=lambda row: row.name)
def test_a_row_runs(measured, row):
    [found] = [kept for kept in measured[1]["rows"] if kept["name"] == row.name]
    ours = {name for name in row.sides if name.startswith("ours")}
    assert set(found["values"]) == ours
    assert all(len(values) == 1 and values[0] > 0 for values in found["values"].values())
    assert len(found["disk_fdatasync_per_s"]) == 1


def test_the_slow_end_of_turns_is_of_the_same_run_and_says_of_how_many():
    rows = {row.name: row for row in ROWS if row.family == "turning"}
    assert len(rows) == 6
    contest = Contest(
        folder=Path("x"), texts=Path("y"), rounds=1, quick=False, only_ours=False, counter=None,
        say=print,
    )  # fmt: skip
    for messages, told in (
        (10, "of 200 turns"),
        (1000, "of 200 turns"),
        (100000, "max of 5 turns"),
    ):
        row, slow = rows[f"turn-{messages}"], rows[f"turn-{messages}-p99"]
        assert (slow.figure, slow.unit) == ("p99", "ms")
        assert [slow.sides[name].setting for name in ("ours", "langgraph", "agents")] == [
            "of 200 turns", told, told,
        ]  # fmt: skip
        argv = {
            number: [
                contest._argv(one, name, Path("x"), one.sides[name].count) for name in one.sides
            ]
            for number, one in enumerate((row, slow))
        }
        assert argv[0] == argv[1], "what was measured for the one row serves the other"


def test_nothing_is_left_behind(measured):
    build, _ = measured
    assert sorted(path.name for path in build.iterdir()) == ["bench", "bench.json"]
    assert list((build / "bench").iterdir()) == []


def test_the_rows_of_a_large_ledger_and_a_node_run(tmp_path):
    names = ("million", "growth", "node", "aggregate", "successors")
    groups = [argument for name in names for argument in ("--only", name)]
    done = bench("--quick", "--ours", "--build", str(tmp_path), *groups)
    assert done.returncode == 0, done.stderr
    found = {
        f["name"]: f["values"] for f in json.loads((tmp_path / "bench.json").read_text())["figures"]
    }
    assert {"aggregate-tree", "aggregate-verify", "aggregate-bytes"} <= set(found)
    assert {"start-1m", "memory-1m", "open-1m", "bytes-1m", "growth", "start", "turn"} <= set(found)
    assert {"fork-1000", "copy-2000", "judge-1000", "attacks"} <= set(found)
    assert all(values and min(values) > 0 for values in found.values())


@pytest.mark.parametrize(("took", "verdict"), [(700.0, PASS), (701.0, SHORT)])
def test_a_fork_at_a_hundred_thousand_events_has_a_goal(took, verdict):
    fork = of_forks(100_000)["fork"]
    fork.values.extend([took, 1.0, 9000.0])  # the median counts
    line = stated(fork)
    assert (line.goal_text, line.verdict) == ("at most 700 ms", verdict)
    assert of_forks(1000)["fork"].most is None


def test_a_partial_run_never_becomes_the_page():
    page = (ROOT / "docs/BENCHMARKS.md").read_text()
    for partial in (["--quick"], ["--ours"], ["--only", "bytes"], ["--events", "5000"]):
        done = bench("--write", *partial)
        assert done.returncode == 2
        assert "whole runs" in done.stderr
    assert (ROOT / "docs/BENCHMARKS.md").read_text() == page


def result(*, low_is_good=False, **values):
    sides = {
        name: Side(count=1, setting="", goal=None if name == "ours" else 2.0) for name in values
    }
    row = Row(name="r", title="R", unit="u", sides=sides, low_is_good=low_is_good)
    return Result(row, values={name: list(found) for name, found in values.items()})


def test_a_ratio_is_taken_within_its_round():
    """Both slowed down tenfold together: a ratio of medians would be far off."""
    line = judged(result(ours=(30, 3, 3.3), peer=(10, 1, 1)))[1]
    assert line.ratios == pytest.approx([3, 3, 3.3])
    assert line.verdict == PASS
    assert judged(result(ours=(19, 1.9, 1.9), peer=(10, 1, 1)))[1].verdict == SHORT


def test_less_is_better_where_it_is():
    assert judged(result(low_is_good=True, ours=[100], peer=[300]))[1].ratios == [3]
    assert judged(result(low_is_good=True, ours=[300], peer=[100]))[1].verdict == SHORT
    assert stated(Figure(name="f", title="F", unit="s", most=2.0, values=[1, 2, 9])).verdict == PASS
    assert stated(Figure(name="f", title="F", unit="s", most=2.0, values=[3])).verdict == SHORT


def test_a_row_without_peers_has_a_bound_of_its_own():
    row = Row(name="r", title="R", unit="s", sides={"ours": Side(count=1, setting="", most=1.0)})
    [line] = judged(Result(row, values={"ours": [0.5, 0.9, 4]}))
    assert (line.verdict, line.goal_text) == (PASS, "at most 1 s")
    [line] = judged(Result(row, values={"ours": [0.5, 1.1, 4]}))
    assert line.verdict == SHORT
    assert "- R, 1.1 s, goal at most 1 s." in section(
        dict.fromkeys(("date", "command", "rounds", "machine", "versions", "load", "cores"), "?"),
        [line],
        [100.0],
    )


def test_the_page_names_what_falls_short_and_keeps_what_people_wrote(tmp_path):
    about = dict.fromkeys(
        ("date", "command", "rounds", "machine", "versions", "load", "cores"), "?"
    )
    text = section(about, judged(result(ours=[1], peer=[1], better=[0.1])), [100.0])
    assert "Goals reached: 1 of 2." in text
    assert "- R, against peer: 1.00x, goal 2x." in text
    assert "better" in text
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write(page, text)
    assert page.read_text() == f"before\n{text}\nafter\n"


def test_the_page_has_its_markers():
    text = (ROOT / "docs/BENCHMARKS.md").read_text()
    assert text.count(BEGIN) == text.count(END) == 1


def test_durability_calls_are_counted_in_children_too(tmp_path):
    counter = Counter(tmp_path)
    code = (
        "import os, sys; fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)\n"
        "for _ in range(5): os.fdatasync(fd)\n"
        "os.fork() or (os.fsync(fd), os._exit(0)); os.wait()"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "file")]
    means = [how for how in (counter.how, "preload") if how]
    if not counter._compiled():
        means = [how for how in means if how != "preload"]
    for counter.how in means:
        assert counter.count(argv, {}) == 6
