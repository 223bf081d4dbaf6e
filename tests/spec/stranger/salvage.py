"""Verification of a salvage (bundle.md, "Salvage")."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.spec.stranger.bundle import (
    HEADS_MAX,
    identity,
    opened,
    ordered,
    parsed_notes,
    records_of,
    redacted,
    signed_by,
)
from tests.spec.stranger.codec import Refusal, demand, is_bytes, is_uint
from tests.spec.stranger.note import Head
from tests.spec.stranger.reading import Reading, Result
from tests.spec.stranger.tree import SIZE_MAX, fold, leaf

LEVEL_MAX = 49


@dataclass(slots=True, kw_only=True)
class Salvage:
    reading: Reading
    events: int | None = None
    subtrees: dict[int, list[list]] = field(default_factory=dict)

    def take(self, record: list) -> None:
        """Step V1, for one record."""
        kind = record[0]
        if kind == "event":
            newest = max(self.reading.events, default=-1)
            demand(record[1] > newest, "event", "position")
            self.reading.events[record[1]] = opened(record)
        elif kind == "checkpoint":
            self.reading.notes.append(record[1])
            demand(len(self.reading.notes) <= HEADS_MAX, "bundle", "too many heads")
        elif kind == "attachment":
            self._attachment(record[1], record[2])
        else:
            demand(kind == "end", "bundle", f"{kind} in a salvage")

    def _attachment(self, name: str, value: object) -> None:
        if name == "salvage":
            demand(self.events is None, "salvage", "salvage twice")
            demand(type(value) is dict, "salvage", "no map")
            self.events = _size(value.get("events"))
        if name == "subtrees":
            demand(type(value) is dict, "salvage", "subtrees")
            size, hashes = _size(value.get("size")), value.get("hashes")
            demand(type(hashes) is list and all(map(_is_subtree, hashes)), "salvage", "subtrees")
            self.subtrees.setdefault(size, []).extend(hashes)


def _size(value: object) -> int:
    demand(is_uint(value) and value <= SIZE_MAX, "salvage", "size or events of an attachment")
    return value


def _is_subtree(item: object) -> bool:
    if type(item) is not list or len(item) != 3:
        return False
    return is_uint(item[0]) and is_uint(item[1]) and is_bytes(item[2], 32)


def _proven(head: Head, salvage: Salvage) -> set[int]:
    """Step V4: the positions whose leaves lead to the root of `head`."""
    events, used, proven = salvage.reading.events, set(), set()
    given: dict[tuple[int, int], bytes] = {}
    demand(head.size <= (salvage.events or 0), "salvage", "head beyond the log")
    for level, index, digest in salvage.subtrees.get(head.size, []):
        demand(level <= LEVEL_MAX and index << level < head.size, "salvage", "subtree outside")
        demand((level, index) not in given, "salvage", "subtree twice")
        given[level, index] = digest

    def over(start: int, count: int) -> bytes | None:
        level = count.bit_length() - 1
        if count == 1 << level and (level, start >> level) in given:
            used.add((level, start >> level))
            return given[level, start >> level]
        if count > 1:
            return None
        demand(start in events, "salvage", f"no leaf {start}")
        proven.add(start)
        return leaf(events[start].envelope)

    demand(fold(head.size, over) == head.root, "root", "another root")
    demand(len(used) == len(given), "salvage", "subtree that was not used")
    return proven


def _heads(reading: Reading) -> list[Head]:
    """Step V3: under the keys of the records that are left."""
    for position, event in records_of(reading):
        with contextlib.suppress(Refusal):
            reading.lineage.take(event, position)
    heads = []
    for note in parsed_notes(reading):
        demand(note.epoch == reading.epoch, "checkpoint", "head of another epoch")
        begun = [one for one in reading.lineage.tenures if one.start <= note.size]
        heads.append(signed_by(note, begun[-1].keys["log"]))
    return ordered(heads)


def verify_salvage(records: Iterator[list], reading: Reading) -> Result:
    salvage = Salvage(reading=reading)
    for record in records:
        salvage.take(record)
    events, total = reading.events, salvage.events or 0
    demand(all(position < total for position in events), "event", "position beyond the log")
    targets = set(redacted(events))
    proven: set[int] = set()
    if 0 in events:
        identity(reading)
        heads = _heads(reading)
        if heads:
            reading.show(heads)
        for head in heads:
            proven |= _proven(head, salvage)
    erased = {position for position, event in events.items() if event.erased}
    if 0 in events and len(proven) == total and erased <= targets:
        leaves = {position: leaf(event.envelope) for position, event in events.items()}
        reading.show_leaves(leaves, whole=True)
        return Result("RECOVERED" if reading.epoch else "UNBROKEN-PENDING")
    return Result("INCOMPLETE", None, "missing")
