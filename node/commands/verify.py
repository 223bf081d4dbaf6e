"""Check a proof or an export with nothing but the file and a SOUL.md, or this home's own ledger.

    timmy verify event.proof --soul SOUL.md    what does this file show? needs no home, no network
    timmy verify event.proof --require final   and is it 100 blocks deep in Bitcoin?
    timmy verify event.proof --online          and do these blocks stand, is the seal unspent?
    timmy verify event.proof --witness KEY     and did a witness that I trust see this history?
    timmy verify new.bundle --held old.head    and does it contain the history that I was shown?
    timmy verify A --held B --proof FILE       two exports that part: write what shows it to all
    timmy verify                               read every byte of this home's ledger and check it

OLD is a checkpoint (`timmy head`), a proof, an export or a backup of the same ledger. Without a
file this home is compared with it. --online asks the Bitcoin node of node.toml, or the one at URL.
Exit 0 if the verdict is good, 1 if it is not. A stranger needs only `timmy-verify`, which is this
command without the node: see README.
"""

import argparse
from pathlib import Path

from attest.verify import command
from attest.verify.bundle import verify_bundle
from attest.verify.held import put_beside
from attest.verify.plain import one_line
from attest.verify.report import Report
from attest.verify.text import lines_of
from ledger.core.errors import TimmyError
from node import console
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", nargs="?", type=Path, help="a .proof or .bundle file")
    command.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Verify; exit 0 for a good verdict, 1 for a bad one."""
    report = _check_home(arguments) if arguments.file is None else _check_file(arguments)
    if arguments.json:
        console.out_json(report.to_value())
    else:
        show(report)
    return 0 if report.good else 1


def show(report: Report) -> None:
    """Print a report for a person."""
    for line in lines_of(report):
        console.out(line)
    if report.hint and not report.good:
        console.say(f"hint: {one_line(report.hint)}")


def _check_home(arguments: argparse.Namespace) -> Report:
    from node.keeping.selfcheck import check_home

    for name in ("online", "pin", "proof", "require", "witness"):
        if getattr(arguments, name):
            raise TimmyError(
                f"--{name} is about a file, and none is named",
                hint="prove an event first: timmy prove EVENT --anchored -o FILE",
            )
    report = check_home(Home.find(arguments.home))
    if arguments.held is not None:
        with command.opened(arguments.held) as held:
            put_beside(report, held, lambda file: verify_bundle(file, None))
    return report


def _check_file(arguments: argparse.Namespace) -> Report:
    if arguments.online == "":
        from node.config import load

        section = load(Home.find(arguments.home).config).attest
        arguments.online = section.rpc_url
        given = section.rpc_cookie_file or section.rpc_credentials_file
        arguments.cookie = arguments.cookie or (Path(given).expanduser() if given else None)
    return command.verify_path(arguments.file, arguments)
