"""`make bench`, or python -m bench: measure, print, keep; `--write` renews docs/BENCHMARKS.md."""

import argparse
import datetime as dt
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from bench import machine, report, texts
from bench.contest import ROOT, Contest, Result
from bench.figures import Figure, Figures
from bench.million import EVENTS
from bench.rows import ROWS
from bench.syncs import Counter

_GROUPS: Final = ("aggregate", "million", "growth", "node", "successors")
_ROUNDS: Final = 5
_TEXTS: Final = 100_000
_QUICK_EVENTS: Final = 2000


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    families = {row.family for row in ROWS if row.family}
    names = [*(row.name for row in ROWS), *sorted(families), *_GROUPS]
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"rounds a row ({_ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="once and small: does it run")
    parser.add_argument("--only", action="append", choices=names, metavar="ROW", help="this row")
    parser.add_argument("--ours", action="store_true", help="without the peers")
    parser.add_argument("--events", type=int, default=EVENTS, help="the million, or fewer")
    parser.add_argument("--write", action="store_true", help="renew docs/BENCHMARKS.md")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="where files may lie")
    found = parser.parse_args(argv)
    if found.rounds < 1:
        parser.error(f"--rounds is {found.rounds}, at least 1")
    if found.write and (found.quick or found.only or found.ours or found.events != EVENTS):
        parser.error("--write is for whole runs: without --quick, --only, --ours, --events")
    if found.quick:
        found.rounds, found.events = 1, min(found.events, _QUICK_EVENTS)
    return found


def run(options: argparse.Namespace, console: Console) -> tuple[list[Result], list[Figure]]:
    """Measure what was asked for, printing each row as it comes."""
    folder = options.build / "bench" / f"run-{os.getpid()}"
    folder.mkdir(parents=True)
    source = folder / "texts"
    texts.write(source, 2000 if options.quick else _TEXTS)
    status = console.status("")
    results: list[Result] = []
    figures: list[Figure] = []

    def wanted(name: str) -> bool:
        return options.only is None or name in options.only

    def say(text: str) -> None:
        status.update(text)

    contest = Contest(
        folder=folder,
        texts=source,
        rounds=options.rounds,
        quick=options.quick,
        only_ours=options.ours,
        counter=None if options.quick else Counter(folder),
        say=say,
    )
    alone = Figures(
        folder=folder,
        cache=options.build / "bench" / "million",
        texts=source,
        rounds=options.rounds,
        quick=options.quick,
        events=options.events,
        say=say,
    )
    groups = {
        "aggregate": alone.aggregate,
        "million": alone.starts,
        "growth": alone.growth,
        "node": alone.node,
        "successors": alone.successors,
    }
    try:
        with status:
            for row in filter(lambda row: wanted(row.name) or wanted(row.family), ROWS):
                results.append(contest.run(row))
                report.show(report.judged(results[-1]), results[-1].disk, console)
            for name in filter(wanted, groups):
                found = groups[name]()
                figures += found
                report.show([report.stated(f) for f in found], found[0].disk, console)
    finally:
        shutil.rmtree(folder)
    return results, figures


def main(argv: list[str]) -> int:
    """Measure, print, keep."""
    options = arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or hundreds of MiB are left behind
    console = Console()
    load = f"{os.getloadavg()[0]:.1f}"
    begin = time.monotonic()
    results, figures = run(options, console)
    about: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "command": " ".join(["python -m bench", *argv]),
        "rounds": options.rounds,
        "machine": machine.machine(options.build),
        "cores": os.cpu_count(),
        "versions": machine.versions(),
        "load": f"{load} and {os.getloadavg()[0]:.1f}",
        "minutes": round((time.monotonic() - begin) / 60, 1),
    }
    report.save(options.build / "bench.json", about, results, figures)
    lines = [line for result in results for line in report.judged(result)]
    lines += [report.stated(figure) for figure in figures]
    disk = [rate for result in results for rate in result.disk]
    disk += [rate for figure in figures for rate in figure.disk]
    if options.write:
        report.write(ROOT / "docs" / "BENCHMARKS.md", report.section(about, lines, disk))
    short = sum(line.verdict == report.SHORT for line in lines)
    passed = sum(line.verdict == report.PASS for line in lines)
    console.print(f"goals reached: {passed}, falling short: {short}; {about['minutes']} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
