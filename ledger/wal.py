"""SQLite's write-ahead log read as bytes: is it whole, cut short as by a crash, or damaged?

SQLite reads a log up to the first frame whose checksum fails and takes that for the end: after a
crash it is. After a flipped bit it is not, and every later commit, acknowledged and synced, would
silently be gone. What tells the two apart:

- A frame that is one bit away from its checksum, followed by the rest of its transaction, was
  written whole and damaged later. Each checksum goes on from the one before and is linear in the
  words, so the bit is found by arithmetic. (Without that rest it may be a new frame half written
  over an old one: the first pages of two logs often differ in one bit.)
- Two commits that follow each other behind a bad frame: with synchronous=FULL the first was synced
  before the second was begun, and everything before both of them as well.

The header and the first frame share a sector, which is written over when a log that is all in the
database is begun anew. A power loss then leaves half of each, one bit away from the old one at
times. So damage there counts only if the frames behind hold what the database does not.

Else the tail is what a power loss leaves of a transaction that nobody was told of. Not covered: the
newest transaction damaged in more than one bit, and a log that was cut or removed; what was
released of it is missed by the guard.
Format: sqlite.org/fileformat2.html, section 4.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_MAGIC: Final = 0x377F0682
"""Its lowest bit says that the words under the checksums are big-endian."""
_MASK: Final = 0xFFFFFFFF
_PAGE_BYTES_MIN, _PAGE_BYTES_MAX = 512, 65_536
_DATABASE_HEADER_BYTES: Final = 100
_COMMITS_MIN: Final = 2
_COMMIT_WORD: Final = 1
"""The second word of a frame: the database's size if the frame ends a transaction, or 0."""

Sum = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wal:
    """What a log holds. `damaged` is the number of the bad frame, 0 for the header, or None."""

    pages: frozenset[int] = frozenset()
    frames: int = 0
    damaged: int | None = None


def read_wal(database: Path) -> Wal:
    """Read the log beside a database. A log that is not there, or empty, is whole."""
    try:
        with database.with_name(f"{database.name}-wal").open("rb") as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return Wal()
            if _header_holds(header):
                size = _HEADER.unpack(header)[2]
                found = _scan(header, iter(lambda: file.read(_FRAME.size + size), b""))
            else:
                found = Wal(damaged=0 if _header_was_whole(header) else None)
            if found.damaged in (0, 1) and _is_all_in(database, file):
                return Wal()
            return found
    except FileNotFoundError:
        return Wal()


def _is_all_in(database: Path, log: BinaryIO) -> bool:
    """Does the database hold, as they are, the pages of every transaction behind frame 1?"""
    log.seek(0)
    magic = _HEADER.unpack(log.read(_HEADER.size))[0]
    with database.open("rb") as file:
        header = file.read(_DATABASE_HEADER_BYTES).ljust(_DATABASE_HEADER_BYTES, b"\0")
        size = int.from_bytes(header[16:18], "big")
        kept = size - header[20]  # what follows is the page's checksum, which the log has not
        if not _PAGE_BYTES_MIN <= size <= _PAGE_BYTES_MAX:
            return False
        last = _FRAME.unpack(log.read(_FRAME.size + size)[: _FRAME.size].ljust(_FRAME.size))[4:]
        pages: dict[int, bytes] = {}
        unfinished: dict[int, bytes] = {}
        while len(frame := log.read(_FRAME.size + size)) == _FRAME.size + size:
            page, commit, _, _, *stored = _FRAME.unpack_from(frame)
            if chained_sum(_covered(frame, big=bool(magic & 1)), last) != tuple(stored):
                break
            last = (stored[0], stored[1])
            unfinished[page] = frame[_FRAME.size :]
            if commit:
                pages |= unfinished
                unfinished.clear()
        for page, image in pages.items():
            file.seek((page - 1) * size)
            if file.read(kept) != image[:kept]:
                return False
    return bool(pages)


def _covered(frame: bytes, *, big: bool) -> tuple[int, ...]:
    """The words under a frame's checksum: page number, commit mark and page."""
    return words_of(frame[:8] + frame[_FRAME.size :], big=big)


def _header_holds(header: bytes) -> bool:
    magic, _, size, _, _, _, *stored = _HEADER.unpack(header)
    if magic & ~1 != _MAGIC or size & (size - 1) or not _PAGE_BYTES_MIN <= size <= _PAGE_BYTES_MAX:
        return False
    return chained_sum(words_of(header[:24], big=bool(magic & 1)), (0, 0)) == tuple(stored)


def _header_was_whole(header: bytes) -> bool:
    number = int.from_bytes(header, "big")
    width = 8 * _HEADER.size
    return any(
        _header_holds((number ^ 1 << bit).to_bytes(_HEADER.size, "big")) for bit in range(width)
    )


def words_of(data: bytes, *, big: bool) -> tuple[int, ...]:
    """32-bit words of `data`, in the byte order that the log's magic number names."""
    return struct.unpack(f"{'>' if big else '<'}{len(data) // 4}I", data)


def chained_sum(words: tuple[int, ...], start: Sum) -> Sum:
    """The log's running checksum over more words (sqlite.org/fileformat2.html, section 4.2)."""
    one, two = start
    for even, odd in zip(words[::2], words[1::2], strict=True):
        one = (one + even + two) & _MASK
        two = (two + odd + one) & _MASK
    return one, two


@dataclass(slots=True)
class _Scan:
    """Where reading is: the chain as SQLite follows it, then what lies behind its end.

    `last` is the checksum the next frame goes on from, or `other` if the bad frame leaves it open.
    `one_bit`: the bad frame is one bit away from its checksum; `leads`: no other bad frame was met
    behind it; `whole`: so it goes up to the end of its transaction.
    """

    big: bool
    salts: Sum
    last: Sum
    pages: set[int] = field(default_factory=set)
    unfinished: set[int] = field(default_factory=set)
    frames: int = 0
    other: Sum | None = None
    bad: int | None = None
    one_bit: bool = False
    leads: bool = True
    whole: bool = False
    commits_behind: int = 0


def _scan(header: bytes, frames: Iterator[bytes]) -> Wal:
    fields = _HEADER.unpack(header)
    scan = _Scan(big=bool(fields[0] & 1), salts=(fields[4], fields[5]), last=(fields[6], fields[7]))
    whole = _FRAME.size + fields[2]
    for number, frame in enumerate(frames, 1):
        if len(frame) < whole:
            break
        if scan.bad is None:
            _follow(scan, frame, number)
        elif not _look_behind(scan, frame):
            break
    lost = scan.whole or scan.commits_behind >= _COMMITS_MIN
    damaged = scan.bad if lost else None
    return Wal(pages=frozenset(scan.pages), frames=scan.frames, damaged=damaged)


def _parts(scan: _Scan, frame: bytes) -> tuple[int, int, Sum, Sum, tuple[int, ...]]:
    page, commit, salt1, salt2, one, two = _FRAME.unpack_from(frame)
    return page, commit, (salt1, salt2), (one, two), _covered(frame, big=scan.big)


def _follow(scan: _Scan, frame: bytes, number: int) -> None:
    """Take the next frame of the chain, or note where and how it ends."""
    page, commit, salts, stored, words = _parts(scan, frame)
    found = chained_sum(words, scan.last)
    if salts == scan.salts and stored == found:
        scan.last = stored
        scan.unfinished.add(page)
        if commit:
            scan.pages |= scan.unfinished
            scan.unfinished.clear()
            scan.frames = number
        return
    scan.bad, scan.last = number, stored
    if salts != scan.salts:
        scan.one_bit = stored == found and _one_bit(salts, scan.salts)
    elif _one_bit(stored, found):  # of the checksum, or the highest one of a word
        scan.one_bit, scan.other = True, found
    else:
        at = _flipped_word(words, found, stored)
        scan.one_bit = at is not None
        commit = commit or at == _COMMIT_WORD
    scan.whole = scan.one_bit and bool(commit)


def _look_behind(scan: _Scan, frame: bytes) -> bool:
    """Take a frame behind the bad one. False where this log's frames end.

    Notes whether the bad one leads to the end of its transaction, and counts commits that follow
    each other without a break.
    """
    _, commit, salts, stored, words = _parts(scan, frame)
    if salts != scan.salts:
        return False
    if not scan.whole and scan.commits_behind < _COMMITS_MIN:
        starts = [scan.last] if scan.other is None else [scan.last, scan.other]
        if all(chained_sum(words, start) != stored for start in starts):
            scan.leads, scan.commits_behind = False, 0
        elif commit:
            scan.commits_behind += 1
            scan.whole = scan.one_bit and scan.leads
    scan.last, scan.other = stored, None
    return True


def _one_bit(found: Sum, expected: Sum) -> bool:
    return sum((a ^ b).bit_count() for a, b in zip(found, expected, strict=True)) == 1


def _flipped_word(words: tuple[int, ...], found: Sum, stored: Sum) -> int | None:
    """Return the word of which one flipped bit gives the stored checksum, if there is one.

    A change d of an even word adds d to both sums, of an odd one to the second; each later pair
    takes (x, y) to (x + y, x + 2y). So the wanted difference is d times a known vector.
    """
    wanted = ((stored[0] - found[0]) & _MASK, (stored[1] - found[1]) & _MASK)
    even, odd = (1, 1), (0, 1)
    for at in range(len(words) - 2, -1, -2):
        for place, (x, y) in ((at, even), (at + 1, odd)):
            for bit in range(32):
                change = -(1 << bit) if words[place] >> bit & 1 else 1 << bit
                if (x * change & _MASK, y * change & _MASK) == wanted:
                    return place
        even, odd = _later(even), _later(odd)
    return None


def _later(effect: Sum) -> Sum:
    x, y = effect
    return (x + y) & _MASK, (x + 2 * y) & _MASK
