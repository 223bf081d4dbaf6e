"""Bit rot: one flipped bit in each sampled byte of everything a home is made of.

A home is born and lives in this process through the product's own classes: events with and without
content, contents of several pages, full tiles, idempotency keys, redactions that leave free pages;
then a copy is taken of it with the write-ahead log still full, as a crash leaves it. The database is
taken apart page by page (SQLite's file format, section 1) and every kind of page is sampled.

A flip is found if `timmy verify` gives a negative verdict or refuses the home; an exception that is
not ours is a failure. Not covered: node.toml is its owner's to edit and has no checksum; logs, token
and run.json are not of the ledger.
"""

import os
import random
import shutil
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genesis.keys import keystore
from genesis.keys.passphrase import Passphrase
from ledger import sql
from ledger.core.errors import TimmyError
from ledger.core.event import Draft
from ledger.log import Log
from ledger.release import Release
from ledger.sqlite import SqliteStore
from ledger.wal import read_wal
from node.home import Home
from node.identity.birth import Wish, be_born
from node.keeping.selfcheck import check_home
from node.open import lineage_of, now_ms

PAGE_BYTES = 8192
PASSPHRASE = "a passphrase nobody else would choose"
BTREE = {2: "index interior", 5: "table interior", 10: "index leaf", 13: "table leaf"}
EVENTS = 1400
"""Five full tiles of the lowest level, and tables whose roots are interior pages."""


@dataclass(frozen=True, slots=True)
class Spot:
    """One byte of one file, and the bit to flip."""

    kind: str
    path: Path
    offset: int
    bit: int


def bear(root: Path) -> tuple[Home, Home]:
    """Return a home that was closed in order, and its twin as a crash leaves it."""
    home = Home(path=root / "calm" / "home", state=root / "calm" / "state")
    secret = Passphrase(text=PASSPHRASE, source="the test")
    be_born(home, Wish(name="Timmy", soul=None, network="regtest", passphrase=secret, show_kit=str))
    draw = random.Random(5)
    with Log(SqliteStore.open(home.ledger), clock=now_ms, entropy=os.urandom) as log:
        keys = keystore.unlock_agent(home.path, PASSPHRASE, expected=lineage_of(log).keys)
        release = Release.open(log, home.state, keys.log)
        for _ in range(EVENTS // 100):
            log.append_now(*(_draft(draw) for _ in range(100)))
        big = [e.position for e in log.events() if e.has_content and len(e.record.content) > 30_000]
        log.append_now(log.redaction(big[::2], reason="asked", actor="operator"))
        release.head()
        for _ in range(20):  # each a transaction of its own in the log, the last not yet released
            log.append_now(_draft(draw))
        shutil.copytree(root / "calm", root / "crash")
        release.head()
    return home, Home(path=root / "crash" / "home", state=root / "crash" / "state")


def _draft(draw: random.Random) -> Draft:
    if draw.random() < 0.4:
        return Draft(type="test.fact", stream=draw.randbytes(16), payload={"n": draw.randrange(9)})
    length = 40_000 if draw.random() < 0.05 else draw.choice((8, 200, 1000))
    return Draft(
        type="message.received",
        stream=draw.choice((b"a" * 16, b"b" * 16)),
        payload={"author": "operator"},
        content={"text": draw.randbytes(length // 2).hex()},
        idempotency_key=draw.randbytes(16),
    )


def page_kinds(ledger: Path) -> dict[str, list[int]]:
    """Return the page numbers of a database by kind, straight from its bytes."""
    data = ledger.read_bytes()
    trunks, leaves = _freelist(data)
    owner = _owners(ledger)
    kinds: dict[str, list[int]] = defaultdict(list)
    for number in range(1, len(data) // PAGE_BYTES + 1):
        if number in trunks:
            kinds["freelist trunk"].append(number)
        elif number in leaves:
            kinds["freelist leaf"].append(number)
        else:
            start = (number - 1) * PAGE_BYTES + (100 if number == 1 else 0)
            name, overflow = owner.get(number, ("?", False))
            kind = "overflow" if overflow else BTREE[data[start]]
            kinds[f"{kind} of {name}"].append(number)
    return dict(kinds)


def _freelist(data: bytes) -> tuple[set[int], set[int]]:
    trunks: set[int] = set()
    leaves: set[int] = set()
    [trunk] = struct.unpack_from(">I", data, 32)
    while trunk:
        trunks.add(trunk)
        start = (trunk - 1) * PAGE_BYTES
        trunk, count = struct.unpack_from(">2I", data, start)
        leaves |= set(struct.unpack_from(f">{count}I", data, start + 8))
    return trunks, leaves


def _owners(ledger: Path) -> dict[int, tuple[str, bool]]:
    connection = sql.connect(ledger, read_only=True)
    try:
        rows = connection.execute("select pageno, name, pagetype from dbstat")
        return {page: (name, kind == "overflow") for page, name, kind in rows}
    finally:
        connection.close()


def spots(calm: Home, crash: Home, draw: random.Random, each: int) -> Iterator[Spot]:
    """Yield `each` seeded spots of every kind; of small files, of every byte at most `each`."""
    for kind, numbers in sorted(page_kinds(calm.ledger).items()):
        for _ in range(each):
            at = (draw.choice(numbers) - 1) * PAGE_BYTES + draw.randrange(PAGE_BYTES)
            yield Spot(f"page: {kind}", calm.ledger, at, draw.randrange(8))
    for offset in draw.sample(range(100), min(each, 100)):
        yield Spot("page: header of the database", calm.ledger, offset, draw.randrange(8))
    log = crash.ledger.with_name("ledger.db-wal")
    for kind, ranges in _log_ranges(crash.ledger).items():
        for _ in range(each):
            yield Spot(f"log: {kind}", log, draw.choice(draw.choice(ranges)), draw.randrange(8))
    for kind, path in _small_files(calm).items():
        size = path.stat().st_size
        for offset in draw.sample(range(size), min(each, size)):
            yield Spot(kind, path, offset, draw.randrange(8))


def _log_ranges(ledger: Path) -> dict[str, list[range]]:
    whole, frame = read_wal(ledger).frames, 24 + PAGE_BYTES
    starts = [32 + frame * number for number in range(whole)]
    return {
        "header": [range(32)],
        "frame header": [range(start, start + 24) for start in starts],
        "page in a frame": [range(start + 24, start + frame) for start in starts],
        "newest transaction": [range(starts[-1], starts[-1] + frame)],
    }


def _small_files(home: Home) -> dict[str, Path]:
    [guard] = home.state.glob("*/head")
    return {
        "guard": guard,
        "SOUL.md": home.soul,
        "agent keystore": keystore.agent_path(home.path),
        "operator keystore": keystore.operator_path(home.operator),
    }


def flipped(spot: Spot, look: Callable[[], bool]) -> bool:
    """Flip the spot's bit, ask `look`, and put the file (and its log) back as it was."""
    log = spot.path.with_name(f"{spot.path.name}-wal")
    saved = {path: path.read_bytes() for path in (spot.path, log) if path.exists()}
    mode = spot.path.stat().st_mode
    data = bytearray(saved[spot.path])
    data[spot.offset] ^= 1 << spot.bit
    spot.path.write_bytes(data)
    try:
        return look()
    finally:
        for scratch in spot.path.parent.glob("ledger.db-*"):
            if scratch not in saved:
                scratch.unlink()
        for path, old in saved.items():
            path.write_bytes(old)
        spot.path.chmod(mode)


def found(home: Home) -> bool:
    """Does `timmy verify` see that something is wrong?"""
    try:
        return not check_home(home).good
    except TimmyError:
        return True


def run(root: Path, *, seed: int, each: int, say: Callable[[str], None] = print) -> dict:
    """Flip `each` bits of every kind. Returns counts by kind, and each flip that was missed."""
    calm, crash = bear(root)
    assert check_home(calm).good
    assert check_home(crash).good
    flips, misses = Counter(), []
    for spot in spots(calm, crash, random.Random(seed), each):
        home = crash if spot.kind.startswith("log") else calm
        flips[spot.kind] += 1
        try:
            seen = flipped(spot, lambda home=home: found(home))
            told = ""
        except Exception as error:  # not one of ours: verify broke instead of telling
            seen, told = False, f" {error!r}"
        if not seen:
            misses.append(f"{spot}{told}")
            say(f"missed: {misses[-1]}")
    assert check_home(calm).good
    assert check_home(crash).good
    return {"flips": sum(flips.values()), "kinds": dict(flips), "missed": misses}
