"""Consensus-critical: the file that proves that a log signed two histories.

A bundle of purpose "equivocation": who the log is (a proof of its event 0, with every handoff and
recovery), two heads of one epoch, and why they exclude each other. Of one size, their roots differ;
of two sizes, one index has two different leaves, each with its path to the root above it. A
consistency proof that was refused, or fails, is no such reason: whoever asks may have been lied to
about the proof, not about the heads.

This is the form of the file only; what it shows is for `attest.verify.equivocation` to say.
docs/spec/witness.md, "The proof of equivocation".
"""

import io
from dataclasses import dataclass
from typing import Final

from ledger.core.bundle import (
    Attachment,
    Consistency,
    Header,
    Inclusion,
    Item,
    Reader,
    SignedHead,
    Subject,
    Writer,
)
from ledger.core.errors import InvalidBundle
from ledger.core.event import Record

PURPOSE: Final = "equivocation"
_INTRODUCTION: Final = "introduction"
_LEAVES: Final = "leaves"
_ITEMS_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """`leaf`, a leaf hash, is at `index` under the head of `size`."""

    index: int
    size: int
    leaf: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivocation:
    """Two notes of one log and epoch that exclude each other; `branches` if of two sizes."""

    ledger_id: bytes
    epoch: int
    introduction: bytes
    notes: tuple[bytes, bytes]
    branches: tuple[Branch, Branch] | None = None

    def encode(self) -> bytes:
        """The file."""
        file = io.BytesIO()
        header = Header(purpose=PURPOSE, ledger_id=self.ledger_id, epoch=self.epoch)
        writer = Writer(file, header)
        writer.add(Attachment(name=_INTRODUCTION, value={"file": self.introduction}))
        for note in self.notes:
            writer.add(SignedHead(note=note))
        if self.branches is not None:
            for one in self.branches:
                writer.add(Inclusion(position=one.index, size=one.size, path=one.path))
            leaves = [one.leaf for one in self.branches]
            writer.add(Attachment(name=_LEAVES, value=leaves))
        writer.end()
        return file.getvalue()


def read_equivocation(reader: Reader) -> Equivocation:
    """Read the records behind the header. Raises InvalidBundle for any other set of them."""
    notes: list[bytes] = []
    inclusions: list[Inclusion] = []
    attached: dict[str, object] = {}
    for number, item in enumerate(reader):
        if number >= _ITEMS_MAX:
            raise InvalidBundle(f"more than {_ITEMS_MAX} records")
        _sort(item, notes, inclusions, attached)
    introduction = attached.pop(_INTRODUCTION, None)
    if not isinstance(introduction, dict) or set(introduction) != {"file"}:
        raise InvalidBundle("no introduction is here, or it is no map of one file")
    if type(introduction["file"]) is not bytes:
        raise InvalidBundle("the introduction is no byte string")
    if len(notes) != 2:
        raise InvalidBundle(f"{len(notes)} heads, expected 2")
    return Equivocation(
        ledger_id=reader.header.ledger_id,
        epoch=reader.header.epoch,
        introduction=introduction["file"],
        notes=(notes[0], notes[1]),
        branches=_branches(inclusions, attached),
    )


def _sort(
    item: Item, notes: list[bytes], inclusions: list[Inclusion], attached: dict[str, object]
) -> None:
    match item:
        case SignedHead(note=note):
            notes.append(note)
        case Inclusion():
            inclusions.append(item)
        case Attachment(name=name, value=value) if name not in attached:
            attached[name] = value
        case Attachment() | Record() | Consistency() | Subject() | Header():
            raise InvalidBundle("a record that no proof of equivocation holds")


def _branches(
    inclusions: list[Inclusion], attached: dict[str, object]
) -> tuple[Branch, Branch] | None:
    if not inclusions and not attached:
        return None
    leaves = attached.pop(_LEAVES, None)
    if attached or not isinstance(leaves, list) or len(leaves) != 2 or len(inclusions) != 2:
        raise InvalidBundle("two heads of two sizes need two paths and two leaves, nothing else")
    if any(type(leaf) is not bytes for leaf in leaves):
        raise InvalidBundle("a leaf is no byte string")
    first, second = (
        Branch(index=one.position, size=one.size, leaf=leaf, path=one.path)
        for one, leaf in zip(inclusions, leaves, strict=True)
    )
    return first, second
