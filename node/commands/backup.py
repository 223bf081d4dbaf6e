"""Write the whole home to one file, whether or not the node runs. Nothing has to be stopped.

    timmy backup                          into this folder, named after agent, ledger and size
    timmy backup -o /media/stick          into another one
    timmy backup -o monday.backup         under this name; --force replaces what is there

In it: the ledger up to its last released head, SOUL.md, node.toml, the agent's keystore (locked by
its passphrase), the trees it thinks with, its unfinished anchors. The file is read back and
verified before it gets its name, and is yours alone (0600). It is not encrypted: it holds
everything that was said. What is redacted later is erased from this home, not from old backups.

Not in it: the guard, the operator key, the passphrase. The guard tells an old backup from the
newest ledger, so it must not come back with one; copy the state directory elsewhere if it may be
lost. Bring a backup back with: timmy restore FILE
"""

import argparse
from pathlib import Path

from ledger.core.errors import Refused, TimmyError
from node import console
from node.client import refresh
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "-o", "--output", type=Path, default=Path(), metavar="FILE|FOLDER", help="where (here)"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")


def run(arguments: argparse.Namespace) -> int:
    """Back up."""
    from node.keeping.backup import LEFT_OUT, write

    home = Home.find(arguments.home)
    refresh(home)
    target = _target(home, arguments.output)
    if target.exists() and not arguments.force:
        raise TimmyError(f"{target} is already there", hint="--force replaces it")
    made = write(home, target, say=console.say)
    head = made.head
    if arguments.json:
        console.out_json(
            {
                "file": str(made.path),
                "bytes": made.length,
                "events": head.size,
                "ledger": head.checkpoint.ledger_id,
                "epoch": head.checkpoint.epoch,
                "root": head.root,
                "unreleased": made.unreleased,
                "files": made.files,
                "left_out": [{"what": what, "why": why} for what, why in LEFT_OUT],
            }
        )
    else:
        console.out(
            f"{made.path}: {head.size} events, {len(made.files)} files, {made.length} bytes"
        )
        for what, why in LEFT_OUT:
            console.out(f"not in it: {what} ({why})")
        console.out(f"bring it back: timmy --home FOLDER restore {made.path}")
    if made.unreleased:
        console.say(
            f"warning: the newest {made.unreleased} events are not in it, no head covers them yet: "
            "start the node (timmy run) and back up again"
        )
    return 0


def _target(home: Home, output: Path) -> Path:
    """Choose the file: as named, or in the named folder by agent, ledger and size."""
    from node.open import lineage_of, open_log, released

    output = output.expanduser().absolute()
    if output.is_dir():
        with open_log(home) as log:
            name = lineage_of(log).genesis.name
            size, ledger = released(home, log).size, log.ledger_id.hex()[:8]
        slug = "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())
        output /= f"{slug}-{ledger}-{size}.backup"
    if output.resolve().is_relative_to(home.path.resolve()):
        raise Refused(
            f"{output} lies in the home {home.path}, and would be lost with it",
            hint="choose another place: -o FILE",
        )
    return output
