"""Make a home from an exported ledger: to read, search and prove, or to go on living elsewhere.

The bundle is verified while it streams in; a home that holds a ledger is never touched. To go on
with the same agent, bring <home>/keys and SOUL.md along, and the guard from the state directory
(or start a new epoch: timmy recover). Without the keys the home is a reader's copy.

What the log redacts is not stored, also if the file still holds it: contents of an older export put
beside the events of a newer one, say.
"""

import argparse
import os
from pathlib import Path

from ledger.core.audit import Audit
from ledger.core.bundle import Reader
from ledger.core.errors import InvalidBundle, StoreError, TimmyError
from ledger.core.event import Record
from ledger.core.redaction import storable
from ledger.core.tiles import Tree
from ledger.sqlite import SqliteStore
from ledger.store import Batch
from node import console
from node.home import Home
from node.report import Report

_BATCH = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, help="what `timmy export` wrote")


def run(arguments: argparse.Namespace) -> int:
    """Import."""
    home = Home.find(arguments.home)
    if home.ledger.exists():
        raise StoreError(
            f"{home.ledger} is already there", hint="choose another home: timmy --home FOLDER"
        )
    checked = _check_first(arguments.file)
    home.make()
    partial = home.path / "ledger.importing.db"
    _remove(partial)
    try:
        count = _fill(arguments.file, partial, checked)
        partial.replace(home.ledger)
    finally:
        _remove(partial)
    dropped = len(checked.carried)
    result = {"home": str(home.path), "events": count, "dropped": dropped}
    if arguments.json:
        console.out_json(result)
    else:
        console.out(f"{home.path}: {count} events, every one verified")
        if dropped:
            console.say(f"{dropped} contents in the file are redacted by its log: not stored")
    return 0


def _remove(path: Path) -> None:
    for leftover in (path, *(Path(f"{path}{end}") for end in ("-wal", "-shm"))):
        leftover.unlink(missing_ok=True)
    path.with_suffix(".lock").unlink(missing_ok=True)


def _check_first(path: Path) -> Report:
    """Verify the whole file before a single byte of a home is made."""
    from node.verifier import verify_bundle

    try:
        with path.open("rb") as file:
            report = verify_bundle(file, None, importing=True)
    except OSError as error:
        raise TimmyError(
            f"{path} cannot be read: {error.strerror}", hint="name a file that timmy export wrote"
        ) from error
    if report.good and report.purpose != "export":
        raise InvalidBundle(
            f"{path} is a {report.purpose}, not an export",
            hint="only a whole ledger can be imported: timmy export",
        )
    if not report.good:
        why = report.lines[-1][1]
        raise InvalidBundle(
            f"{path} is not a whole, valid export: {report.verdict}: {why}",
            hint=f"see more: timmy verify {path}",
        )
    return report


def _fill(path: Path, target: Path, checked: Report) -> int:
    """Copy what may be stored of the file that was verified."""
    store = SqliteStore.create(target)
    try:
        with path.open("rb") as file:
            reader = Reader(file)
            size = _copy(reader, store, checked.redacted)
        if reader.digest != checked.file_digest:
            raise InvalidBundle(f"{path} changed while it was read", hint="import it again")
        store.scrub()
    finally:
        store.close()
    os.chmod(target, 0o600)  # noqa: PTH101 - the mode matters, not the path
    return size


def _copy(reader: Reader, store: SqliteStore, redacted: frozenset[int]) -> int:
    tree = Tree(store.tile)
    audit = Audit(tree)
    batch = Batch()
    records = (item for item in reader if isinstance(item, Record))
    for record in storable(records, redacted):
        batch.events.append((record, audit.add(record).envelope))
        if len(batch.events) == _BATCH:
            batch.tiles = tree.take_tiles()
            store.append(batch)
            batch = Batch()
    batch.tiles = tree.take_tiles()
    store.append(batch)
    return tree.size
