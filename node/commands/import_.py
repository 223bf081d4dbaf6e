"""Make a home from an exported ledger: to read, search and prove, or to go on living elsewhere.

Of a salvage (timmy doctor --salvage) the events are taken that are proven from 0 on without a gap.
The bundle is verified while it streams in; a home that holds a ledger is never touched. To go on
with the same agent, bring <home>/keys and SOUL.md along, and the guard from the state directory
(or start a new epoch: timmy recover). Without the keys the home is a reader's copy.

What the log redacts is not stored, also if the file still holds it: contents of an older export put
beside the events of a newer one, say.

timmy import --mirror FILE makes of another agent's export a mirror of its ledger in this home, or
extends the one that is there: for a member that no network reaches. The node is stopped meanwhile;
when it runs, it goes on from there. What the mirror has must be the beginning of what the file has,
and nothing is taken back. Two histories end it, as they do when the other one comes by network.
"""

import argparse
from pathlib import Path

from attest.verify.report import BROKEN, Report
from ledger.core.errors import InvalidBundle, Refused, StoreError, TimmyError
from ledger.core.salvage import PURPOSE
from node import console
from node.home import Home
from node.keeping.filling import fill


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "file", type=Path, help="what `timmy export` or `timmy doctor --salvage` wrote"
    )
    parser.add_argument(
        "--mirror", action="store_true", help="of another agent: make or extend its mirror here"
    )
    parser.add_argument(
        "--soul", type=Path, metavar="FILE", help="--mirror: that agent's SOUL.md, to verify by"
    )


def run(arguments: argparse.Namespace) -> int:
    """Import."""
    home = Home.find(arguments.home)
    if arguments.mirror:
        return _mirror(home, arguments)
    if home.ledger.exists():
        raise StoreError(
            f"{home.ledger} is already there", hint="choose another home: timmy --home FOLDER"
        )
    checked, stop = _check_first(arguments.file)
    home.make()
    partial = home.path / "ledger.importing.db"
    _remove(partial)
    try:
        count = fill(arguments.file, partial, checked, stop)
        partial.replace(home.ledger)
    finally:
        _remove(partial)
    dropped = len(checked.carried)
    result = {"home": str(home.path), "events": count, "dropped": dropped}
    if arguments.json:
        console.out_json(result)
    else:
        console.out(f"{home.path}: {count} events, every one verified")
        if stop is not None:
            console.out(f"what else was saved: timmy show --from {arguments.file} POSITION")
        if dropped:
            console.say(f"{dropped} contents in the file are redacted by its log: not stored")
    return 0


def _mirror(home: Home, arguments: argparse.Namespace) -> int:
    """Feed a mirror in a home that somebody lives in."""
    from node.keeping import by_hand
    from node.open import node_runs, open_log

    home.require_own()
    with open_log(home) as log:
        own = log.ledger_id
    if node_runs(home):
        raise Refused("the node runs, and writes its mirrors itself", hint="stop it, then again")
    checked, stop = _check_first(arguments.file)
    if stop is not None:
        raise InvalidBundle("a salvage becomes no mirror", hint="timmy export on that machine")
    if checked.ledger_id == own:
        raise Refused("the file is of this agent's own ledger",
                      hint="timmy recover --from-mirror URL, or: timmy restore")  # fmt: skip
    result = by_hand.feed(home, arguments.file, checked, _read(arguments.soul))
    if arguments.json:
        console.out_json(result)
    else:
        more = result["events"] - result["before"]
        console.out(f"{result['mirror']}: {result['events']} events, {more} of them new")
    if not by_hand.wanted(home, result["ledger"]):
        console.say("node.toml names no mirror of it (mesh.mirror): it is read by hand only")
    return 0


def _read(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise TimmyError(
            f"{path} cannot be read: {error.strerror}", hint="name that agent's SOUL.md"
        ) from error


def _remove(path: Path) -> None:
    for leftover in (path, *(Path(f"{path}{end}") for end in ("-wal", "-shm"))):
        leftover.unlink(missing_ok=True)
    path.with_suffix(".lock").unlink(missing_ok=True)


def _check_first(path: Path) -> tuple[Report, int | None]:
    """Verify the whole file before a single byte of a home is made.

    Returns what was found and, of a salvage, how many events from 0 on are proven without a gap.
    """
    from attest.verify.bundle import verify_bundle

    try:
        with path.open("rb") as file:
            report = verify_bundle(file, None, importing=True)
    except OSError as error:
        raise TimmyError(
            f"{path} cannot be read: {error.strerror}", hint="name a file that timmy export wrote"
        ) from error
    if report.purpose == PURPOSE and report.verdict != BROKEN:
        if not report.prefix:
            raise InvalidBundle(
                f"{path} proves no event from 0 on: there is nothing to import",
                hint=f"see what it holds: timmy verify {path}; timmy show --from {path} POSITION",
            )
        return report, report.prefix
    if report.good and report.purpose != "export":
        raise InvalidBundle(
            f"{path} is a {report.purpose}, not an export",
            hint="only a whole ledger can be imported: timmy export"
            if report.purpose != "backup"
            else "a backup becomes a home with: timmy restore",
        )
    if not report.good:
        why = report.lines[-1][1]
        raise InvalidBundle(
            f"{path} is not a whole, valid export: {report.verdict}: {why}",
            hint=f"see more: timmy verify {path}",
        )
    return report, None
