"""Check what an agent shows you: `timmy-verify FILE --soul SOUL.md`.

    timmy-verify said.proof --soul SOUL.md                  what does this file show?
    timmy-verify said.proof --soul SOUL.md --require final  and is it 100 blocks deep in Bitcoin?
    timmy-verify said.proof --pin 880000:000000…            and are these blocks on my chain?
    timmy-verify said.proof --witness name+id+key           and did this witness see it, too?
    timmy-verify new.bundle --held old.head                 and does it contain what I was shown?
    timmy-verify a.bundle --held b.bundle --proof two.proof do two exports part? show it to all

No home, no network (but for --online, which asks your own Bitcoin node), no trust in whoever sent
the file. Exit 0 for a good verdict, 1 for another one, 2 if the question cannot be asked.
"""

import argparse
import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from attest.verify import command
from attest.verify.plain import jsonable, one_line
from attest.verify.text import lines_of
from ledger.core.errors import TimmyError


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="timmy-verify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="a proof, an export, a backup or a salvage")
    command.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--version", action="version", version=_version())
    arguments = parser.parse_args(argv)
    try:
        report = command.verify_path(arguments.file, arguments)
    except TimmyError as error:
        print(f"timmy-verify: error: {one_line(str(error))}", file=sys.stderr)
        if error.hint:
            print(f"timmy-verify: hint: {one_line(error.hint)}", file=sys.stderr)
        return 2
    if arguments.json:
        json.dump(jsonable(report.to_value()), sys.stdout, ensure_ascii=False, indent=2)
        print()
    else:
        for line in lines_of(report):
            print(line)
        if report.hint and not report.good:
            print(f"timmy-verify: hint: {one_line(report.hint)}", file=sys.stderr)
    return 0 if report.good else 1


def _version() -> str:
    for name in ("timmy-verify", "timmy-node"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"


if __name__ == "__main__":
    sys.exit(main())
