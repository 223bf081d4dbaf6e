"""Check a proof or an export with nothing but the file and a SOUL.md, or this home's own ledger.

    timmy verify event.proof --soul SOUL.md    what does this file show? needs no home, no network
    timmy verify                               read every byte of this home's ledger and check it

Exit 0 if the verdict is good, 1 if it is not.
"""

import argparse
from pathlib import Path

from ledger.core.errors import TimmyError
from node import console
from node.home import Home
from node.report import LEVELS, Report
from node.verifier import verify_bundle

_SAYS_CHARS = 400
"""A paragraph; `timmy verify --json` is for programs, and the file holds all of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", nargs="?", type=Path, help="a .proof or .bundle file")
    parser.add_argument("--soul", type=Path, metavar="FILE", help="the SOUL.md you know")
    parser.add_argument("--require", choices=sorted(LEVELS), help="how deep in Bitcoin, at least")


def run(arguments: argparse.Namespace) -> int:
    """Verify; exit 0 for a good verdict, 1 for a bad one."""
    if arguments.file is None:
        from node.selfcheck import check_home

        report = check_home(Home.find(arguments.home))
    else:
        report = _verify_file(arguments)
    if arguments.json:
        console.out_json(report.to_value())
    else:
        show(report)
    return 0 if report.good else 1


def _verify_file(arguments: argparse.Namespace) -> Report:
    soul = _read(arguments.soul) if arguments.soul else None
    try:
        with arguments.file.open("rb") as file:
            return verify_bundle(file, soul, require=arguments.require)
    except OSError as error:
        raise _unreadable(arguments.file, error) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> TimmyError:
    return TimmyError(
        f"{path} cannot be read: {error.strerror}", hint="check the name, and who may read it"
    )


def show(report: Report) -> None:
    """Print a report for a person."""
    for name, text in report.lines:
        console.out(f"{name + ':':14} {console.one_line(text)}")
    if report.event is not None and report.event.content:
        for key, value in report.event.content.items():
            text = " ".join(str(console.jsonable(value)).split())
            shown = text if len(text) <= _SAYS_CHARS else text[: _SAYS_CHARS - 1] + "…"
            console.out(f"{'says:':14} {console.one_line(f'{key}: {shown}')}")
    if report.not_shown and report.good:
        console.out(f"{'not shown:':14} {'; '.join(report.not_shown)}")
    console.out(f"{'verdict:':14} {report.verdict}")
