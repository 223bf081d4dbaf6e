"""Look for what is wrong with this home and machine, and say what to do about it.

timmy doctor                          reads everything, changes nothing (but rebuilds search if it
                                      is damaged); exit 1 if something is wrong
timmy doctor --salvage -o FILE        saves every event that is still whole out of a damaged ledger
                                      into a bundle; exit 1 if not every event was saved and proven

A salvage is read by `timmy verify FILE`, `timmy show --from FILE 12` and, as far as it is proven
from the first event on, `timmy import FILE`. It holds everything that was said, in plain words.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from attest.verify.plain import one_line
from node import console
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--salvage", action="store_true", help="save what is whole into a bundle")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", default=Path("salvage.bundle"),
        help="of the salvage (salvage.bundle)",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")


def run(arguments: argparse.Namespace) -> int:
    """Examine, or salvage."""
    home = Home.find(arguments.home)
    return _salvage(home, arguments) if arguments.salvage else _examine(home, arguments)


def _examine(home: Home, arguments: argparse.Namespace) -> int:
    from node.keeping.doctor import Finding, examine

    findings: list[Finding] = []
    for finding in examine(home):
        findings.append(finding)
        if not arguments.json:
            mark = {True: "ok  ", False: "BAD ", None: "note"}[finding.ok]
            console.out(f"{mark} {finding.name:12} {one_line(finding.text)}")
            if finding.ok is not True and finding.hint:
                console.out(f"     {'':12} -> {one_line(finding.hint)}")
    if arguments.json:
        console.out_json([asdict(finding) for finding in findings])
    return 1 if any(finding.ok is False for finding in findings) else 0


def _salvage(home: Home, arguments: argparse.Namespace) -> int:
    from attest.verify.salvaged import ranges
    from node.keeping.rescue import rescue

    if not home.ledger.exists():
        console.say(f"warning: {home.ledger} is missing: looking for its write-ahead log")
    done = rescue(home, arguments.output, force=arguments.force, progress=_progress)
    outcome = done.outcome
    if arguments.json:
        console.out_json(
            {
                "file": str(done.file),
                "bytes": done.size,
                "ledger": done.ledger_id,
                "name": done.name,
                "events": outcome.events,
                "heads": outcome.heads,
                "proven": _inclusive(outcome.proven),
                "unproven": _inclusive(outcome.unproven),
                "lost": _inclusive(outcome.lost),
            }
        )
    else:
        console.out(f"{done.file}: {done.size} bytes, of {outcome.events} events known of")
        console.out(f"{'proven':10} {ranges(outcome.proven)}")
        console.out(f"{'unproven':10} {ranges(outcome.unproven)}: whole, by undamaged pages")
        console.out(f"{'lost':10} {ranges(outcome.lost)}")
        console.out(f"see what it shows: timmy verify {done.file}")
    return 0 if outcome.whole else 1


def _inclusive(found: list[tuple[int, int]]) -> list[list[int]]:
    """First and last position of each range."""
    return [[start, stop - 1] for start, stop in found]


def _progress(done: int, total: int) -> None:
    console.say(f"salvage: {done} of {total} pages read")
