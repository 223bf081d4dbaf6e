"""Reads a whole home for a running node, as a process: `python -m node.keeping.checker HOME STATE`.

A process of its own, at the lowest priority: reading a million events takes a minute of one core
and some memory, and neither is to be the node's. What it finds is what `timmy verify` finds. It
prints JSON lines: {"done", "of"} on the way, and {"verdict", "question", "size", "text"} at last.
It has no keys and no passphrase, writes nothing, and ends when nobody listens any more.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from attest.verify.report import BROKEN, Report
from ledger.core.errors import TimmyError
from node.home import Home
from node.keeping.selfcheck import check_home

_NICE: Final = 19
_TEXT_CHARS_MAX: Final = 1000
"""A line of status, and far below what the reader of our lines takes."""


def main(argv: list[str]) -> int:
    """Check the home; return 0 whatever was found, if it could be looked for."""
    os.nice(_NICE)
    home = Home(path=Path(argv[0]), state=Path(argv[1]))
    try:
        found = _found(check_home(home, lambda done, of: _say(done=done, of=of)))
    except TimmyError as error:  # no ledger, or one of another version
        found = {"verdict": BROKEN, "question": "integrity", "size": 0, "text": str(error)}
    _say(**found)
    return 0


def _found(report: Report) -> dict[str, Any]:
    told = {"verdict": report.verdict, "question": report.question, "size": report.size or 0}
    return told | {"text": "" if report.good else report.lines[-1][1][:_TEXT_CHARS_MAX]}


def _say(**values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
