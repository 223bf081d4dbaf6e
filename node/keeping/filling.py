"""A new ledger from a bundle that was verified: each event checked again as it is copied."""

import os
from pathlib import Path
from typing import Final

from attest.verify.report import Report
from ledger.core.audit import Audit
from ledger.core.bundle import Reader
from ledger.core.errors import InvalidBundle
from ledger.core.event import Record
from ledger.core.lineage import LINEAGE_TYPES
from ledger.core.redaction import storable
from ledger.core.tiles import Tree
from ledger.core.types import LINEAGE_STREAM
from ledger.sqlite import SqliteStore
from ledger.store import Batch

_BATCH: Final = 1000
"""Events a commit: one fsync for each."""


def fill(path: Path, target: Path, checked: Report, stop: int | None = None) -> int:
    """Make the ledger `target` of what may be stored of the bundle at `path`; return its size.

    `checked` is what its verification found. With `stop` of its first so many events only.

    Raises InvalidBundle if the file is not the one that was verified.
    """
    store = SqliteStore.create(target)
    try:
        with path.open("rb") as file:
            reader = Reader(file)
            size = _copy(reader, store, checked.redacted, stop)
        if reader.digest != checked.file_digest:
            raise InvalidBundle(f"{path} changed while it was read", hint="begin again")
        store.scrub()
    finally:
        store.close()
    os.chmod(target, 0o600)  # noqa: PTH101 - the mode matters, not the path
    return size


def _copy(reader: Reader, store: SqliteStore, redacted: frozenset[int], stop: int | None) -> int:
    tree = Tree(store.tile)
    audit = Audit(tree)
    batch = Batch()
    records = (item for item in reader if isinstance(item, Record))
    for record in storable(records, redacted):
        if stop is not None and tree.size >= stop:
            continue  # to the end all the same: the digest is over the whole file
        event = audit.add(record)
        if event.type in LINEAGE_TYPES and event.stream != LINEAGE_STREAM:
            raise InvalidBundle(
                f"event {event.position} begins an epoch outside the stream of epoch records: "
                "a home of it would lose its epoch",
                hint="read it with timmy verify and timmy show --from FILE",
            )
        batch.events.append((record, event.envelope))
        if len(batch.events) == _BATCH:
            batch.tiles = tree.take_tiles()
            store.append(batch)
            batch = Batch()
    batch.tiles = tree.take_tiles()
    store.append(batch)
    return tree.size
