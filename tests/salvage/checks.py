"""What must be true of whatever was salvaged, and sweeps of damage over pages and frames.

The tests sweep a seeded sample, `make torture` everything.
"""

import io
from contextlib import closing

from ledger.core.bundle import Reader, SignedHead
from ledger.core.checkpoint import open_checkpoint
from ledger.core.event import Record
from ledger.core.merkle import leaf_hash
from ledger.core.salvage import SUBTREES, proven_by
from ledger.salvage import Salvage
from tests.ledger.makers import SIGNER

from . import ledgers

TILE = 256
FRAME = 24 + ledgers.PAGE
LONG = 306
"""Of the events in the log the one that is longer than a page: on pages that begin with a zero."""


def positions(ranges):
    return [at for start, stop in ranges for at in range(start, stop)]


def salvaged(path, original):
    """Salvage a file; return the outcome and the records of the bundle."""
    with closing(Salvage.read(path)) as found:
        outcome = found.prove(original.heads)
        file = io.BytesIO()
        found.write(file, original.ledger_id, 0)
    file.seek(0)
    return outcome, list(Reader(file))


def expected_proven(lost, original):
    """By hand: a head counts if each lost leaf under it is in a full tile, all of which are here."""
    full = len(original.records) // TILE * TILE
    proven = set()
    for head in original.heads:
        if all(at < full for at in lost if at < head.size):
            proven |= set(range(head.size)) - lost
    return proven


def check(path, original, gone):
    """`gone`: the only events that may be lost."""
    outcome, items = salvaged(path, original)
    saved = {item.position: item for item in items if isinstance(item, Record)}
    assert list(saved) == sorted(saved)
    assert set(range(len(original.records))) - gone <= set(saved)
    for at, record in saved.items():
        assert record == original.records[at]
    known = outcome.events
    assert known <= len(original.records)
    lost = set(range(len(original.records))) - set(saved)
    assert positions(outcome.lost) == sorted(at for at in lost if at < known)
    listed = positions(outcome.proven) + positions(outcome.unproven)
    assert sorted(listed) == sorted(saved)
    assert set(positions(outcome.proven)) == stranger_proves(items, saved)
    return outcome, lost


def stranger_proves(items, saved):
    """What somebody with nothing but the bundle and the key finds proven."""
    proven = set()
    leaves = {at: leaf_hash(record.envelope) for at, record in saved.items()}
    for item in items:
        if isinstance(item, SignedHead):
            head = open_checkpoint(item.note, SIGNER.public)
            parts = [i.value for i in items if getattr(i, "name", "") == SUBTREES]
            hashes = [row for part in parts if part["size"] == head.size for row in part["hashes"]]
            proven |= set(proven_by(head.size, head.root, hashes, leaves.get))
    return proven


def pages(original, folder, *, damage, numbers):
    """Damage these pages, each in a copy of its own; `damage` is one of `ledgers`."""
    whole = original.path.read_bytes()
    path = folder / "ledger.db"
    for page in numbers:
        data = bytearray(whole)
        damage(data, page)
        path.write_bytes(data)
        outcome, lost = check(path, original, original.on_page.get(page, set()))
        if page in original.on_page:
            assert set(positions(outcome.proven)) == expected_proven(lost, original)
        assert outcome.events == len(original.records)


def cuts(original, folder, *, numbers):
    """Cut the file within these pages."""
    whole = original.path.read_bytes()
    path = folder / "ledger.db"
    for page in numbers:
        data = bytearray(whole)
        ledgers.cut(data, page)
        path.write_bytes(data)
        gone = [original.on_page.get(number, set()) for number in range(page, original.pages + 1)]
        check(path, original, set().union(*gone))


def frame_count(logged):
    """Of the write-ahead log."""
    return (logged.path.with_name(logged.path.name + "-wal").stat().st_size - 32) // FRAME


def frames(logged, path, wal, *, numbers):
    """Flip a bit in these frames of the log, in the page number and in an event of a leaf."""
    data = wal.read_bytes()
    for frame in numbers:
        for at in (5, 24 + 8000):  # in its page number, and in an event of the newest leaf
            bad = bytearray(data)
            bad[32 + frame * FRAME + at] ^= 0x10
            wal.write_bytes(bad)
            start = 32 + frame * FRAME + 24
            newest = {len(logged.records) - 1} if frame == frame_count(logged) - 1 else set()
            check(path, logged, {LONG} if data[start] == 0 else newest)
    wal.write_bytes(data)
