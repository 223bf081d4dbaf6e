"""Salvage: every event that can still be verified, out of a ledger that SQLite may refuse.

Reads the bytes of `ledger.db` and of its write-ahead log, leaf by leaf, asks no tree of SQLite's
for anything, and writes nothing beside them. An event is kept if its own commitments hold and

- its leaf hash leads to a signed head, with the help of what tiles kept: *proven*; or
- every page (or frame of the log) it was read from matches its checksum: *whole but unproven*.
  Nothing commits to the envelope itself but the tree, so an event of a damaged page that no head
  proves is not kept.

A position is known to have been taken if a head, a tile or an index of an undamaged page says so;
one of which nothing is kept is *lost*. Content that a surviving redaction erased stays erased,
though an older copy of its page may hold it. Not covered: words whose event is whole and whose own
pages are damaged (the event is lost with them), and events of which no trace is left anywhere.
"""

import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from ledger.core import limits, types
from ledger.core.btree import PAGE_BYTES, Row, is_index_leaf, is_table_leaf, rows
from ledger.core.bundle import Attachment, Header, SignedHead, Writer
from ledger.core.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from ledger.core.errors import InvalidData, StoreError
from ledger.core.event import Event, Record
from ledger.core.lineage import LINEAGE_TYPES, Lineage
from ledger.core.merkle import HASH_BYTES, leaf_hash
from ledger.core.note import parse_note
from ledger.core.salvage import HEADS_MAX, PURPOSE, SUBTREES, Evidence, Proof, gaps, spans
from ledger.core.tiles import TILE_LEVELS, TILE_WIDTH
from ledger.sql import checksum_holds
from ledger.wal import chained_sum, words_of

SUBTREES_MAX: Final = 20_000
"""Hashes in one attachment: a megabyte, of the four that a record may have."""
_WAL_HEADER: Final = struct.Struct(">8I")
_WAL_FRAME: Final = struct.Struct(">6I")
_WAL_BIG_ENDIAN: Final = 0x377F0683
_Sum = tuple[int, int]
_EVENT_COLUMNS, _TILE_COLUMNS, _INDEX_COLUMNS = 8, 4, 3
_PROGRESS_PAGES: Final = 4096
_NOTE: Final = re.compile(
    rb"timmy/[0-9a-f]{64}/\d{1,10}(?:\n|\\n)\d{1,15}(?:\n|\\n)[A-Za-z0-9+/=]{44}(?:\n|\\n){2}"
    rb"(?:(?:\xe2\x80\x94|\\u2014) [!-~]{1,200} [A-Za-z0-9+/=]{1,200}(?:\n|\\n))+"
)
"""A signed checkpoint as it stands in a guard or, escaped as JSON, in an event of a relay."""

Progress = Callable[[int, int], None]
"""Called with pages read and pages in all, now and then."""


class _Place(NamedTuple):
    """Where a copy of a page lies."""

    log: bool
    offset: int
    number: int


class Sighting(NamedTuple):
    """A copy of an event whose commitments hold: where it is, and if its pages are undamaged."""

    leaf: bytes
    place: _Place
    row: int
    sound: bool


@dataclass(slots=True)
class _Page:
    data: bytes
    whole: bool


class _Files:
    """A database and its log as pages. Newest copies first; each page may have several."""

    def __init__(self, database: Path) -> None:
        self._holds = checksum_holds()
        self._big = False
        self._frames: dict[int, tuple[_Sum, bytes, _Sum]] = {}
        """By offset: the checksum of the frame before, what it covers of the header, its own."""
        self._paths = {False: database, True: database.with_name(f"{database.name}-wal")}
        self._open = {log: path.open("rb") for log, path in self._paths.items() if path.is_file()}
        if not self._open:
            raise StoreError(
                f"neither {database} nor its write-ahead log is there: nothing can be salvaged",
                hint="bring the newest backup or export back: timmy import FILE",
            )
        committed, tail = self._logged()
        self.places = [*reversed(committed), *self._pages(), *reversed(tail)]
        self._copies: dict[int, list[_Place]] = {}
        for place in self.places:
            self._copies.setdefault(place.number, []).append(place)

    def close(self) -> None:
        for file in self._open.values():
            file.close()

    def _pages(self) -> Iterator[_Place]:
        size = self._paths[False].stat().st_size if False in self._open else 0
        for offset in range(0, size, PAGE_BYTES):
            yield _Place(log=False, offset=offset, number=offset // PAGE_BYTES + 1)

    def _logged(self) -> tuple[list[_Place], list[_Place]]:
        """Frames up to the last commit, and those behind it: not committed, or not known to be.

        A chain that is broken ends nothing here: each frame is judged by itself, in `read`.
        """
        file = self._open.get(True)
        frames: list[_Place] = []
        committed = 0
        if file is None:
            return [], []
        header = file.read(_WAL_HEADER.size).ljust(_WAL_HEADER.size, b"\0")
        magic, *_, one, two = _WAL_HEADER.unpack(header)
        self._big = magic == _WAL_BIG_ENDIAN
        before, salts = (one, two), b""
        while len(head := file.read(_WAL_FRAME.size)) == _WAL_FRAME.size:
            number, commit, *_, one, two = _WAL_FRAME.unpack(head)
            salts = salts or head[8:16]
            frames.append(_Place(log=True, offset=file.tell(), number=number))
            self._frames[file.tell()] = (before, head[:8], (one, two))
            before = (one, two)
            committed = len(frames) if commit and head[8:16] == salts else committed
            file.seek(PAGE_BYTES, os.SEEK_CUR)
        return frames[:committed], frames[committed:]

    def read(self, place: _Place) -> _Page:
        """Return a copy of a page; what is cut off reads as zeros, and is not whole."""
        file = self._open[place.log]
        file.seek(place.offset)
        data = file.read(PAGE_BYTES)
        whole = len(data) == PAGE_BYTES
        if whole:
            whole = self._frame_holds(place.offset, data) if place.log else self._holds(data)
        return _Page(data.ljust(PAGE_BYTES, b"\0"), whole)

    def _frame_holds(self, offset: int, data: bytes) -> bool:
        """A page in the log has no checksum of its own yet; its frame has one."""
        before, head, stored = self._frames[offset]
        return chained_sum(words_of(head + data, big=self._big), before) == stored

    def rows(self, place: _Place) -> Iterator[tuple[int, Row, bool]]:
        """Yield (number in the page, row, whether every page it was read from is whole)."""
        page = self.read(place)
        sound = page.whole

        def overflow(number: int) -> bytes | None:
            nonlocal sound
            newest: _Page | None = None
            for copy in map(self.read, self._copies.get(number, [])):
                if copy.whole:
                    return copy.data
                newest = newest or copy
            sound = False
            return None if newest is None else newest.data

        if is_table_leaf(page.data, place.number) or is_index_leaf(page.data, place.number):
            for at, row in enumerate(rows(page.data, place.number, overflow)):
                if row is not None:
                    yield at, row, sound
                sound = page.whole


def _record(row: Row) -> Record | None:
    rowid, columns = row
    if rowid is None or len(columns) != _EVENT_COLUMNS or not 0 <= rowid < limits.TREE_SIZE_MAX:
        return None
    kinds = [type(column) for column in columns]
    if kinds[:6] != [type(None), int, int, bytes, bytes, bytes]:
        return None
    if kinds[6:] not in ([bytes, bytes], [type(None), type(None)]):
        return None
    return Record(rowid, *columns[3:])  # type: ignore[arg-type]  # the types were just looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was saved: ranges of positions, half-open and ascending, that cover [0, events)."""

    events: int
    proven: list[tuple[int, int]]
    unproven: list[tuple[int, int]]
    lost: list[tuple[int, int]]
    heads: list[int]

    @property
    def whole(self) -> bool:
        """Whether every event that is known of was saved, and proven."""
        return not self.unproven and not self.lost


@dataclass(slots=True)
class Salvage:
    """Events found in a damaged ledger. Make one with `read`, `prove` it, then `write`."""

    files: _Files
    sightings: dict[int, list[Sighting]] = field(default_factory=dict)
    tiles: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)
    roots: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)
    redactions: set[bytes] = field(default_factory=set)
    """Leaf hashes of those events that erased others."""
    lineage: dict[bytes, Event] = field(default_factory=dict)
    """Handoffs and epoch records by leaf hash: copies of one position may differ."""
    _page: tuple[_Place, dict[int, Record | None]] | None = None
    """The page that was read last: events are written in the order that they lie in."""
    listed: int = 0
    """How many events the undamaged pages of indexes and tiles know of."""
    kept: dict[int, Sighting] = field(default_factory=dict)
    proofs: list[tuple[SignedCheckpoint, Proof]] = field(default_factory=list)
    outcome: Outcome = field(
        default_factory=lambda: Outcome(events=0, proven=[], unproven=[], lost=[], heads=[])
    )

    @classmethod
    def read(cls, database: Path, progress: Progress = lambda _done, _all: None) -> "Salvage":
        """Read every page of a database and its log. Raises StoreError if there is neither."""
        found = cls(_Files(database))
        total = len(found.files.places)
        for number, place in enumerate(found.files.places):
            if number % _PROGRESS_PAGES == 0:
                progress(number, total)
            for at, row, sound in found.files.rows(place):
                found._take(place, at, row, sound=sound)
        progress(total, total)
        return found

    def close(self) -> None:
        """Release the files."""
        self.files.close()

    def _take(self, place: _Place, at: int, row: Row, *, sound: bool) -> None:
        rowid, columns = row
        if rowid is None:
            self._take_listed(columns, sound=sound)
        elif len(columns) == _TILE_COLUMNS:
            self._take_tile(columns, sound=sound)
        elif (record := _record(row)) is not None:
            self._take_event(record, place, at, sound=sound)

    def _take_event(self, record: Record, place: _Place, at: int, *, sound: bool) -> None:
        try:
            event = Event.open(record)
            _ = event.content
        except InvalidData:
            return
        mine = Sighting(leaf_hash(record.envelope), place, at, sound)
        if event.type == types.REDACTED.name:
            self.redactions.add(mine.leaf)
        if event.type in LINEAGE_TYPES:
            self.lineage[mine.leaf] = event
        seen = self.sightings.setdefault(record.position, [])
        if all(one.leaf != mine.leaf or (sound and not one.sound) for one in seen):
            seen[:] = [one for one in seen if one.leaf != mine.leaf] + [mine]

    def _take_listed(self, columns: list[int | bytes | None], *, sound: bool) -> None:
        """An entry of `event_by_stream`: stream, sequence, position."""
        if sound and [type(column) for column in columns] == [int] * _INDEX_COLUMNS:
            position = columns[2]
            if isinstance(position, int):
                self.listed = max(self.listed, position + 1)

    def _take_tile(self, columns: list[int | bytes | None], *, sound: bool) -> None:
        level, index, root, hashes = columns
        if not isinstance(level, int) or not isinstance(index, int):
            return
        if not 0 <= level <= limits.PROOF_HASHES_MAX or not 0 <= index < limits.TREE_SIZE_MAX:
            return
        if isinstance(root, bytes) and len(root) == HASH_BYTES:
            self.roots.setdefault((level, index), []).append(root)
        if isinstance(hashes, bytes) and len(hashes) == HASH_BYTES * TILE_WIDTH:
            self.tiles.setdefault((level, index), []).append(hashes)
            if sound:
                covered = (index + 1) << TILE_LEVELS * (level + 1)
                self.listed = max(self.listed, covered)

    # ---- what it shows --------------------------------------------------------------------------

    def lineage_of(self, first: Event) -> Lineage:
        """The lineage that begins with `first`, by the records that are left and follow.

        Raises InvalidGenesis.
        """
        records = sorted(self.lineage.values(), key=lambda event: event.position)
        return Lineage.of(first).with_all(records)

    def first(self) -> Iterator[Event]:
        """Yield the events that may be event 0: the caller knows a genesis when it sees one."""
        for sighting in self.sightings.get(0, []):
            yield Event.open(self._record(0, sighting))

    def prove(self, heads: Iterable[SignedCheckpoint]) -> Outcome:
        """Judge every event by these heads, of one log and epoch and each verified."""
        self._place_strays()
        evidence = Evidence(
            leaves={at: [one.leaf for one in seen] for at, seen in self.sightings.items()},
            tiles=self.tiles,
            roots=self.roots,
        )
        proven: dict[int, bytes] = {}
        ordered = sorted(heads, key=lambda head: head.size, reverse=True)[:HEADS_MAX]
        for head in ordered:
            known = {one.size for one, _ in self.proofs}
            if head.size in known or all(at in proven for at in self.sightings if at < head.size):
                continue
            proof = evidence.prove(head.size, head.root)
            if proof is not None and not proof.proven.keys() <= proven.keys():
                self.proofs.append((head, proof))
                proven.update(proof.proven)
        self._keep(proven)
        events = max([self.listed, *(head.size for head in ordered), *(at + 1 for at in self.kept)])
        self.outcome = _outcome(events, self.kept, proven, [head.size for head, _ in self.proofs])
        return self.outcome

    def _place_strays(self) -> None:
        """Put events of damaged pages where a tile has their leaf: their row id may be wrong."""
        strays = [
            (at, one)
            for at, seen in self.sightings.items()
            for one in seen
            if not one.sound and not self._tiled_at(at, one.leaf)
        ]
        if not strays:
            return
        wanted = {one.leaf: one for _, one in strays}
        for (level, index), copies in self.tiles.items():
            for hashes in copies if level == 0 else ():
                for column in range(TILE_WIDTH):
                    leaf = hashes[column * HASH_BYTES : (column + 1) * HASH_BYTES]
                    if leaf in wanted:
                        seen = self.sightings.setdefault(index * TILE_WIDTH + column, [])
                        if all(one.leaf != leaf for one in seen):
                            seen.append(wanted[leaf])

    def _tiled_at(self, position: int, leaf: bytes) -> bool:
        at = position % TILE_WIDTH * HASH_BYTES
        copies = self.tiles.get((0, position // TILE_WIDTH), [])
        return any(hashes[at : at + HASH_BYTES] == leaf for hashes in copies)

    def _keep(self, proven: dict[int, bytes]) -> None:
        for at, seen in sorted(self.sightings.items()):
            mine = [one for one in seen if one.leaf == proven.get(at)]
            if at not in proven:
                mine = [one for one in seen if one.sound]
            if mine:
                self.kept[at] = mine[0]

    def _record(self, position: int, sighting: Sighting) -> Record:
        if self._page is None or self._page[0] != sighting.place:
            found = {at: _record(row) for at, row, _ in self.files.rows(sighting.place)}
            self._page = (sighting.place, found)
        record = self._page[1].get(sighting.row)
        if record is not None and leaf_hash(record.envelope) == sighting.leaf:
            return record._replace(position=position)
        raise StoreError("the ledger changed while it was read", hint="stop whatever writes to it")

    # ---- writing --------------------------------------------------------------------------------

    def write(self, file: BinaryIO, ledger_id: bytes, epoch: int) -> None:
        """Write a bundle of purpose `salvage` (docs/spec/bundle.md)."""
        writer = Writer(file, Header(purpose=PURPOSE, ledger_id=ledger_id, epoch=epoch))
        writer.add(Attachment(name=PURPOSE, value={"events": self.outcome.events}))
        erased = self._erased()
        for position, sighting in self.kept.items():
            record = self._record(position, sighting)
            if position in erased:
                record = record._replace(content=None, content_salt=None)
            writer.add(record)
        for head, proof in self.proofs:
            writer.add(SignedHead(note=head.encode()))
            hashes = [list(subtree) for subtree in proof.subtrees]
            for start in range(0, max(1, len(hashes)), SUBTREES_MAX):
                part = {"size": proof.size, "hashes": hashes[start : start + SUBTREES_MAX]}
                writer.add(Attachment(name=SUBTREES, value=part))
        writer.end()

    def _erased(self) -> set[int]:
        found: set[int] = set()
        for position, sighting in self.kept.items():
            if sighting.leaf in self.redactions:
                targets = Event.open(self._record(position, sighting)).payload.get("targets")
                if isinstance(targets, list):
                    found.update(at for at in targets if type(at) is int)
        return found


def _outcome(events: int, kept: Iterable[int], proven: Iterable[int], heads: list[int]) -> Outcome:
    sure = set(proven)
    saved = spans(kept)
    return Outcome(
        events=events,
        proven=spans(at for at in kept if at in sure),
        unproven=spans(at for at in kept if at not in sure),
        lost=gaps(saved, events),
        heads=heads,
    )


def find_heads(data: Iterable[bytes], lineage: Lineage) -> list[SignedCheckpoint]:
    """Return the signed heads of a log's newest epoch that lie anywhere in some bytes.

    Each by the key that is known to have been in charge at its size. Looked for in guards, and in
    databases of relays, which hold them in the middle of JSON. Heads of older epochs are left out:
    the new epoch may have kept less than they cover.
    """
    found: dict[tuple[int, int, bytes], SignedCheckpoint] = {}
    for chunk in data:
        for match in _NOTE.finditer(chunk):
            note = match[0].replace(b"\\n", b"\n").replace(b"\\u2014", b"\xe2\x80\x94")
            try:
                named = Checkpoint.parse(parse_note(note).text)
                tenure = lineage.tenure_before(named.size)
                head = open_checkpoint(note, tenure.keys["log"])
            except InvalidData:
                continue
            if head.checkpoint.ledger_id == lineage.ledger_id:
                found[head.checkpoint.epoch, head.size, head.root] = head
    newest = max((epoch for epoch, _, _ in found), default=0)
    return [head for (epoch, _, _), head in found.items() if epoch == newest]
