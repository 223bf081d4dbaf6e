"""Requests to delete and to vanish (mesh/core/deletion), carried out on the relay's tables.

What a deletion names is noted in rows of the tag table that no filter can ask for, because their
names have two letters: whether an event is asked away is then one look into an index, however many
deletions there are. The rows go when their deletion goes.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import apsw

from mesh.core.nip01 import Event
from mesh.core.relay import kinds
from mesh.core.relay.deletion import (
    ALL_RELAYS,
    DELETION_KIND,
    GIFT_WRAP_KIND,
    VANISH_KIND,
    deletes,
    named_addresses,
    named_ids,
    reaches_wraps,
    vanish_relays,
)
from mesh.core.relay.privacy import receivers

_BY_ID: Final = "5e"
_BY_RECEIVER: Final = "5p"
_BY_ADDRESS: Final = "5a"


def notes(event: Event) -> Iterator[tuple[str, str]]:
    """Yield name and value of the rows by which a deletion is found again; none for the others."""
    if event.kind != DELETION_KIND:
        return
    for event_id in named_ids(event):
        yield _BY_ID, f"{event.pubkey}:{event_id}"
        if reaches_wraps(event):
            yield _BY_RECEIVER, f"{event.pubkey}:{event_id}"
    for address in named_addresses(event):
        yield _BY_ADDRESS, _written(address)


def _written(address: kinds.Address) -> str:
    kind, pubkey, d = address
    return f"{kind}:{pubkey}:{d}"


def is_asked_away(db: apsw.Connection, event: Event, kept_kinds: frozenset[int]) -> bool:
    """Tell whether a stored request reaches an event that is not stored."""
    reading = receivers(event) if event.kind == GIFT_WRAP_KIND else frozenset()
    if any(_has_vanished(db, key, event.created_at) for key in {event.pubkey, *reading}):
        return True
    if event.kind in {DELETION_KIND, VANISH_KIND} | kept_kinds:
        return False
    if _is_noted(db, _BY_ID, f"{event.pubkey}:{event.id}"):
        return True
    if any(_is_noted(db, _BY_RECEIVER, f"{key}:{event.id}") for key in reading):
        return True
    address = kinds.address(event)
    return address is not None and _is_noted(
        db, _BY_ADDRESS, _written(address), since=event.created_at
    )


def _has_vanished(db: apsw.Connection, pubkey: str, created_at: int) -> bool:
    query = "SELECT 1 FROM event WHERE pubkey = ? AND kind = ? AND created_at >= ? LIMIT 1"
    return bool(db.execute(query, (bytes.fromhex(pubkey), VANISH_KIND, created_at)).get)


def _is_noted(db: apsw.Connection, name: str, value: str, *, since: int = 0) -> bool:
    query = (
        "SELECT 1 FROM tag CROSS JOIN event USING (seq)"
        " WHERE name = ? AND value = ? AND created_at >= ? LIMIT 1"
    )
    return bool(db.execute(query, (name, value, since)).get)


def carry_out(db: apsw.Connection, event: Event, kept_kinds: frozenset[int]) -> int:
    """Remove what a request reaches, but not itself, and return how many events that were."""
    if event.kind == DELETION_KIND:
        return remove(db, _named(db, event, kept_kinds))
    if event.kind == VANISH_KIND:
        return remove(db, _of(db, event))
    return 0


def _named(db: apsw.Connection, deletion: Event, kept_kinds: frozenset[int]) -> list[int]:
    found = []
    for event_id in named_ids(deletion):
        query = "SELECT seq, json FROM event WHERE id = ?"
        for seq, json in db.execute(query, (bytes.fromhex(event_id),)):
            if deletes(deletion, Event.from_json(json), kept_kinds=kept_kinds):
                found.append(seq)
    for kind, pubkey, d in named_addresses(deletion):
        if kind in kept_kinds:
            continue
        query = "SELECT seq FROM event WHERE kind = ? AND pubkey = ? AND d = ? AND created_at <= ?"
        values = (kind, bytes.fromhex(pubkey), d, deletion.created_at)
        found.extend(seq for (seq,) in db.execute(query, values))
    return found


def _of(db: apsw.Connection, request: Event) -> list[int]:
    own = "SELECT seq FROM event WHERE pubkey = ? AND created_at <= ? AND id <> ?"
    received = (
        "SELECT seq FROM tag CROSS JOIN event USING (seq)"
        " WHERE name = 'p' AND value = ? AND kind = ? AND created_at <= ?"
    )
    key, until = bytes.fromhex(request.pubkey), request.created_at
    found = [seq for (seq,) in db.execute(own, (key, until, bytes.fromhex(request.id)))]
    found += [seq for (seq,) in db.execute(received, (request.pubkey, GIFT_WRAP_KIND, until))]
    return found


def remove(db: apsw.Connection, seqs: Iterable[int]) -> int:
    """Remove events with their tags, and return how many there were."""
    rows = [(seq,) for seq in set(seqs)]
    db.executemany("DELETE FROM tag WHERE seq = ?", rows)
    db.executemany("DELETE FROM event WHERE seq = ?", rows)
    return len(rows)


def take_up_requests(db: apsw.Connection, *, kept_kinds: frozenset[int]) -> None:
    """Step from version 1, which kept requests like any other event: carry out what lies there.

    A request to vanish that names relays cannot be judged here and is dropped: it can be sent
    again. Those to vanish come first, because they also remove deletions.
    """
    query = "SELECT seq FROM event WHERE kind IN (?, ?) ORDER BY kind DESC"
    found = [seq for (seq,) in db.execute(query, (DELETION_KIND, VANISH_KIND))]
    for seq in found:
        json = db.execute("SELECT json FROM event WHERE seq = ?", (seq,)).get
        if json is None:
            continue
        event = Event.from_json(json)
        if event.kind == VANISH_KIND and ALL_RELAYS not in vanish_relays(event):
            remove(db, [seq])
            continue
        rows = ((name, value, seq) for name, value in notes(event))
        db.executemany("INSERT OR IGNORE INTO tag (name, value, seq) VALUES (?, ?, ?)", rows)
        carry_out(db, event, kept_kinds)
