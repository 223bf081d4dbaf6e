"""A small ledger with everything in it, where its events lie, and ways to damage it."""

import random
import re
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ledger.core.checkpoint import Checkpoint, SignedCheckpoint, sign_checkpoint
from ledger.core.event import Draft, Record
from ledger.log import Log
from ledger.sql import connect
from ledger.sqlite import SqliteStore
from tests.ledger.makers import SIGNER, genesis, ticking

PAGE = 8192
EVENTS = 300
"""A full tile and a part of another."""
HEADS = (60, 270, 295)


@dataclass(frozen=True)
class Original:
    """What was there before the damage."""

    path: Path
    records: list[Record]
    heads: list[SignedCheckpoint]
    ledger_id: bytes
    on_page: dict[int, set[int]]
    """Page number -> positions of events of which it holds a byte."""

    @property
    def pages(self) -> int:
        return self.path.stat().st_size // PAGE


def drafts(count: int, numbers: random.Random) -> list[Draft]:
    made = []
    for number in range(1, count):
        words = 5000 if number % 61 == 7 else numbers.randrange(1, 90)
        made.append(
            Draft(
                type="message.received",
                stream=bytes([number % 5]) * 16,
                payload={"number": number},
                content={"text": "word " * words} if number % 4 else None,
                idempotency_key=numbers.randbytes(16) if number % 3 == 0 else None,
            )
        )
    return made


def head_of(log: Log, size: int) -> SignedCheckpoint:
    return sign_checkpoint(
        Checkpoint(ledger_id=log.ledger_id, epoch=0, size=size, root=log.tree.root(size)), SIGNER
    )


def make(path: Path, *, erase: tuple[int, ...] = (5, 69)) -> Original:
    """A ledger with long and short events, some of them erased, closed in order."""
    numbers = random.Random(7)
    with Log(SqliteStore.create(path), clock=ticking(), entropy=numbers.randbytes) as log:
        log.append_now(genesis())
        wanted = drafts(EVENTS - 1, numbers)
        for start in range(0, len(wanted), 100):
            log.append_now(*wanted[start : start + 100])
        if erase:
            log.append_now(log.redaction(list(erase), reason="test", actor="operator"))
        signed = [head_of(log, size) for size in HEADS]
        ledger_id, records = log.ledger_id, list(log.records())
    return Original(path, records, signed, ledger_id, places(path))


def make_with_log(path: Path) -> Original:
    """The same, and twenty commits more that were never moved out of the write-ahead log."""
    first = make(path)
    with Log(SqliteStore.open(path), clock=ticking(), entropy=random.Random(8).randbytes) as log:
        for draft in drafts(21, random.Random(9)):
            log.append_now(replace(draft, causes=(), idempotency_key=None))
        records, heads = list(log.records()), [*first.heads, head_of(log, log.size)]
        data = {end: path.with_name(path.name + end).read_bytes() for end in ("", "-wal")}
    for end, before in data.items():
        path.with_name(path.name + end).write_bytes(before)
    return Original(path, records, heads, first.ledger_id, {})


def places(path: Path) -> dict[int, set[int]]:
    """Ask SQLite itself which events lie on which page."""
    found: dict[int, set[int]] = {}
    leaves: dict[str, list[int]] = {}
    with closing(connect(path, read_only=True)) as database:
        rows = database.execute(
            "select path, pageno, pagetype, ncell from dbstat where name = 'event' order by path"
        ).fetchall()
    following = 0
    for where, page, kind, cells in rows:
        if kind == "leaf":
            leaves[where] = list(range(following, following + cells))
            found[page] = set(leaves[where])
            following += cells
    for where, page, kind, _ in rows:
        if kind == "overflow":
            leaf, cell = re.fullmatch(r"(.*/)([0-9a-f]+)\+[0-9a-f]+", where).groups()
            found[page] = {leaves[leaf][int(cell, 16)]}
    return found


def zeros(data: bytearray, page: int) -> None:
    data[(page - 1) * PAGE : page * PAGE] = bytes(PAGE)


def bit(data: bytearray, page: int) -> None:
    at = random.Random(page).randrange((page - 1) * PAGE, page * PAGE)
    data[at] ^= 1 << at % 8


def noise(data: bytearray, page: int) -> None:
    data[(page - 1) * PAGE : page * PAGE] = random.Random(page).randbytes(PAGE)


def cut(data: bytearray, page: int) -> None:
    del data[(page - 1) * PAGE + random.Random(page).randrange(PAGE) :]
