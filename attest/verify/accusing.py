"""The file that shows everybody that two exports of one agent part: made of the exports alone.

`timmy verify A --held B` says DIVERGED to who holds both files; they may be gigabytes, with words
that are nobody else's business. What is written here has neither: who the log is (its genesis and
lineage, out of A), two signed heads, and one leaf under each. `timmy verify` calls it DIVERGED
(docs/spec/witness.md, "The proof of equivocation").

It is read again before it is handed on: a file that accuses somebody must stand by itself.
"""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

from attest.verify.history import History
from attest.verify.report import DIVERGED, Report
from ledger.core.bundle import Consistency, Header, Inclusion, Reader, SignedHead, Subject, Writer
from ledger.core.errors import TimmyError
from ledger.core.event import Record
from ledger.core.lineage import Lineage
from ledger.core.tiles import Tree

Verify = Callable[[BinaryIO], Report]
"""Bytes in, a report out: `attest.verify.bundle.verify_bundle` with the SOUL.md that was given."""


def accusation(report: Report, file: BinaryIO, verify: Verify) -> bytes | None:
    """Return the proof that a report of two exports names; None if it names none.

    `file` is the first of them, at its beginning. Raises TimmyError if it does not show the keys of
    the other one's head, as before a handoff.
    """
    parted, history, lineage = report.parted, report.history, report.lineage
    if parted is None or history is None or history.tree is None or lineage is None:
        return None
    introduction = _introduction(history, history.tree, lineage, file)
    found = replace(parted, introduction=introduction).encode()
    if verify(io.BytesIO(found)).verdict != DIVERGED:
        raise TimmyError(
            "this file does not show the keys of the other one's head",
            hint="name the other file first: timmy verify B --held A --proof FILE",
        )
    return found


def _introduction(history: History, tree: Tree, lineage: Lineage, file: BinaryIO) -> bytes:
    """Event 0 and every record of lineage, under the last head, as a proof of event 0."""
    head = history.heads[-1]
    wanted = [0, *(tenure.position for tenure in lineage.tenures[1:])]
    made = io.BytesIO()
    header = Header(purpose="proof", ledger_id=history.ledger_id, epoch=history.epoch)
    writer = Writer(made, header)
    writer.add(Subject(position=0))
    for position, record in _records(file, wanted):
        writer.add(record)
        path = tuple(tree.inclusion(position, head.size))
        writer.add(Inclusion(position=position, size=head.size, path=path))
    for kept in wanted[1:]:
        path = tuple(tree.consistency(kept, head.size))
        writer.add(Consistency(size1=kept, size2=head.size, path=path))
    writer.add(SignedHead(note=head.encode()))
    writer.end()
    return made.getvalue()


def _records(file: BinaryIO, wanted: list[int]) -> list[tuple[int, Record]]:
    """Events of an export by position, as they are in it; it was verified before."""
    found: list[tuple[int, Record]] = []
    at = 0
    for item in Reader(file):
        if isinstance(item, Record):
            if at in wanted:
                found.append((at, item))
            at += 1
    return found
