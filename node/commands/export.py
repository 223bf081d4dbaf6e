"""Write the whole ledger, up to its last released head, to one self-verifying file.

    timmy export -o life.bundle
    timmy export --trajectories -o life.jsonl    conversations to train a model on, as ShareGPT

The node may run meanwhile; the file is read back and verified before it gets its name.

The file holds everything that was said. Keys are not in it: they are in <home>/keys. Trajectories
are one JSON object a line: whole, answered turns with their tool calls, and the events they are.
What was erased, or answered by the crisis screen, is in none.
"""

import argparse
import json
from pathlib import Path
from typing import BinaryIO

from attest.verify.bundle import verify_bundle
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import StoreDamaged, TimmyError
from ledger.log import Log
from ledger.proof import export
from node import console
from node.client import refresh
from node.home import Home
from node.keeping.outgoing import write_whole
from node.open import cosigned, lineage_of

_DAMAGED = "the ledger is damaged: timmy doctor says how, and saves what is whole"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--trajectories", action="store_true", help="conversations as ShareGPT, a line each"
    )
    parser.add_argument("--conversation", metavar="C", help="trajectories of this one only")
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")


def run(arguments: argparse.Namespace) -> int:
    """Export."""
    output: Path = arguments.output
    if output.exists() and not arguments.force:
        raise TimmyError(f"{output} is already there", hint="--force replaces it")
    home = Home.find(arguments.home)
    refresh(home)
    if arguments.trajectories:
        return _trajectories(home, arguments)
    if arguments.conversation is not None:
        raise TimmyError("an export holds every conversation", hint="--trajectories has one")

    def fill(log: Log, head: SignedCheckpoint, file: BinaryIO) -> int:
        return export(log, head, file, also=cosigned(home, log, lineage_of(log), head))

    made = write_whole(home, output, fill, _check, say=console.say)
    result = {"file": str(output), "bytes": made.length, "events": made.what}
    if arguments.json:
        console.out_json(result)
    else:
        console.out(f"{output}: {made.what} events, {made.length} bytes")
        console.out(f"check it: timmy verify {output}")
    return 0


def _trajectories(home: Home, arguments: argparse.Namespace) -> int:
    from runtime.core.trajectory import Turns, samples, to_value

    def fill(log: Log, head: SignedCheckpoint, file: BinaryIO) -> dict[str, int]:
        turns, count = Turns(), {"samples": 0, "turns": 0}
        taken = (turn for event in log.events(0, head.size) if (turn := turns.take(event)))
        wanted = arguments.conversation
        for sample in samples(t for t in taken if wanted in (None, t.conversation)):
            line = json.dumps(to_value(sample, ledger=log.ledger_id.hex()), ensure_ascii=False)
            file.write(f"{line}\n".encode())
            count["samples"] += 1
            count["turns"] += len(sample)
        return count | {"left_out": turns.left_out}

    def check(path: Path) -> None:
        with path.open("rb") as file:
            for line in file:
                json.loads(line)

    made = write_whole(home, arguments.output, fill, check, say=console.say)
    result = {"file": str(arguments.output), "bytes": made.length} | made.what
    if arguments.json:
        console.out_json(result)
    else:
        console.out(
            f"{arguments.output}: {made.what['samples']} samples of {made.what['turns']} turns; "
            f"{made.what['left_out']} turns are not whole or not answered, and left out"
        )
    return 0


def _check(path: Path) -> None:
    """Read it back: an export that nobody can verify is none."""
    with path.open("rb") as file:
        report = verify_bundle(file, None)
    if not report.good:
        raise StoreDamaged(f"the export does not verify: {report.lines[-1][1]}", hint=_DAMAGED)
