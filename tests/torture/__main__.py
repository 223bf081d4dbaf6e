"""`make torture`: break the disk, the process, the bytes and the clock, and look for what is lost.

    python -m tests.torture --trials 1000 --kills 200 --seed 1 --report build/torture.json

Exit 0 if nothing was lost and every flipped bit was found, 1 otherwise. docs/TORTURE.md says what
each part does and what it does not cover.
"""

import argparse
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import apsw

from tests.torture import clocks, flips, kills, pages, power
from tests.torture.faulty_vfs import Fault

PARTS = ("power", "calls", "flips", "clocks", "pages", "kills")
BATCH_TRIALS = 25


def say(text: str) -> None:
    print(f"torture: {text}", flush=True)


def _merged(parts: list[dict]) -> dict:
    total: Counter = Counter()
    calls: Counter = Counter()
    lost: list[str] = []
    for part in parts:
        lost += part.pop("lost")
        calls.update(part.pop("calls", {}))
        total.update(part)
    return {**total, **({"calls": dict(calls)} if calls else {}), "lost": lost}


def _pool(options: argparse.Namespace) -> ProcessPoolExecutor:
    """Each process has its own SQLite, with our disk beneath it."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(options.workers, mp_context=context)


def run_power(root: Path, options: argparse.Namespace) -> dict:
    first, done, parts = options.seed * 1_000_000, 0, []
    with _pool(options) as pool:
        batches = [
            pool.submit(power.batch, str(root), first + at, min(BATCH_TRIALS, options.trials - at))
            for at in range(0, options.trials, BATCH_TRIALS)
        ]
        for future in batches:
            parts.append(future.result())
            done += parts[-1]["trials"]
            if done % (4 * BATCH_TRIALS) == 0:
                say(f"{done} of {options.trials} power losses")
    return _merged(parts)


def run_calls(root: Path, options: argparse.Namespace) -> dict:
    workers = options.workers
    found = {}
    with _pool(options) as pool:
        for fault in (Fault.IO_ERROR, Fault.FULL):
            futures = [
                pool.submit(power.every_call, str(root), fault.name, start, workers)
                for start in range(1, workers + 1)
            ]
            found[fault.value] = _merged([future.result() for future in futures])
            say(f"{found[fault.value]['trials']} trials of {fault.value}")
    return {**found, "lost": [text for part in found.values() for text in part.pop("lost")]}


def run_flips(root: Path, options: argparse.Namespace) -> dict:
    return flips.run(root, seed=options.seed, each=options.flips, say=say)


def run_clocks(root: Path, options: argparse.Namespace) -> dict:
    return clocks.run(root, seed=options.seed, rounds=options.rounds, say=say)


def run_pages(root: Path, options: argparse.Namespace) -> dict:
    return pages.run(root, say=say)


def run_kills(root: Path, options: argparse.Namespace) -> dict:
    return kills.run(root, kills=options.kills, seed=options.seed, say=say)


RUNNERS: dict[str, Callable[[Path, argparse.Namespace], dict]] = {
    "power": run_power,
    "calls": run_calls,
    "flips": run_flips,
    "clocks": run_clocks,
    "pages": run_pages,
    "kills": run_kills,
}


def _bad(part: dict) -> list[str]:
    return [*part.get("lost", ()), *part.get("missed", ()), *part.get("problems", ())]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--trials", type=int, default=1000, help="power losses")
    parser.add_argument("--kills", type=int, default=200, help="kill -9 of a real node")
    parser.add_argument("--flips", type=int, default=20, help="flipped bits of each kind of byte")
    parser.add_argument("--rounds", type=int, default=10, help="of clock jumps and damaged views")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, default=Path("build/torture.json"))
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be repeated")
    options = parser.parse_args()
    report = {
        "command": " ".join(["python -m tests.torture", *sys.argv[1:]]),
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
    }
    bad: list[str] = []
    for name in options.only or PARTS:
        say(f"{name} begins")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="timmy-torture-") as folder:
            part = RUNNERS[name](Path(folder), options)
        part["seconds"] = round(time.monotonic() - started)
        report[name] = part
        bad += [f"{name}: {text}" for text in _bad(part)]
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    _table(report)
    for text in bad:
        say(f"LOST {text}")
    say(f"{len(bad)} losses; the report is in {options.report}")
    return 1 if bad else 0


def _table(report: dict) -> None:
    for name in PARTS:
        part = report.get(name)
        if part is None:
            continue
        figures = {k: v for k, v in part.items() if isinstance(v, int)}
        for key, inner in part.items():
            if isinstance(inner, dict) and "trials" in inner:
                figures[key] = inner["trials"]
        shown = ", ".join(f"{value} {key}" for key, value in figures.items())
        print(f"{name:8} {'ok' if not _bad(part) else 'LOST':5} {shown}")


if __name__ == "__main__":
    sys.exit(main())
