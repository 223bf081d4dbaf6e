"""Make a home from a backup: into an empty place only, and only if every byte of it is right.

    timmy --home ~/.timmy-restored restore monday.backup

No passphrase is asked for: the keys stay locked until the node starts. Afterwards the guard in this
machine's state directory is compared with what was restored. If it knows of events that the backup
has not, or is missing (another machine), the node will not sign: that would be a second history
under the same name. Then choose: bring the newer ledger and state directory back, or, if they are
lost for good, give them up publicly with the recovery kit: timmy recover
"""

import argparse
from pathlib import Path

from attest.verify.plain import one_line
from node import console
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, help="what `timmy backup` wrote")


def run(arguments: argparse.Namespace) -> int:
    """Restore."""
    from node.keeping.restore import AGREES, guarded, restore

    home = Home.find(arguments.home)
    contents = restore(home, arguments.file, say=console.say)
    guard = guarded(home)
    if arguments.json:
        console.out_json(
            {
                "home": str(home.path),
                "name": contents.genesis.name,
                "ledger": contents.report.ledger_id,
                "events": contents.report.size,
                "files": sorted(contents.files),
                "guard": {"state": guard.state, "text": guard.text, "choices": guard.choices},
            }
        )
        return 0
    name = one_line(contents.genesis.name)
    console.out(f"{home.path}: {name}, {contents.report.size} events, {len(contents.files)} files")
    console.out(f"guard {guard.state}: {guard.text}")
    if guard.state == AGREES:
        console.out("start it:    timmy run")
    else:
        console.out("the node reads, searches and proves, and will not start until you choose:")
        for number, choice in enumerate(guard.choices, 1):
            console.out(f"  {number}. {choice}")
    return 0
