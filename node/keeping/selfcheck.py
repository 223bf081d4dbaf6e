"""Reading every byte of a home and saying what is wrong: `timmy verify` without a file."""

from collections.abc import Callable
from typing import Final

from attest.verify.common import Failed, check_kept, succeed
from attest.verify.history import History, Tiles
from attest.verify.report import (
    BROKEN,
    DOES_NOT_HOLD,
    INCOMPLETE,
    OTHER_AGENT,
    RECOVERED,
    SAID_NOT_TRUE,
    UNBROKEN_PENDING,
    Report,
)
from genesis.core.errors import GenesisError
from genesis.keys import keystore
from genesis.soul import read_soul
from ledger.core.audit import Audit
from ledger.core.errors import (
    GuardError,
    InvalidData,
    StoreDamaged,
    StoreError,
    StoreSchema,
    StoreUnmade,
)
from ledger.core.event import Envelope, Event
from ledger.core.genesis import check_soul
from ledger.core.lineage import LINEAGE_TYPES, Cause, Lineage
from ledger.core.merkle import EMPTY_ROOT
from ledger.core.redaction import targets
from ledger.core.tiles import TILE_WIDTH, Tree
from ledger.core.types import EPOCH
from ledger.log import Log
from ledger.release import GuardFile, check_guard
from ledger.sql import check_files
from ledger.sqlite import SqliteStore, first_unreadable
from node.home import Home
from node.keeping.redacting import pending
from node.open import lineage_of, open_log

Progress = Callable[[int, int], None]
"""Told how much of how much is read, in events; each is read twice."""
_PROGRESS_EVENTS: Final = 10_000
"""Some tenths of a second."""


def check_home(home: Home, progress: Progress = lambda *_: None) -> Report:
    """Check pages, log, events, tree, tiles, indexes, guard, SOUL and keystores.

    Never raises for damage. The node may run meanwhile.

    Raises StoreError if there is no ledger, StoreSchema for one this version does not read.
    """
    report = Report(purpose="home")
    home.require_words()
    if not home.ledger.exists():
        raise StoreError(f"there is no ledger at {home.ledger}", hint="be born first: timmy init")
    try:
        _check_pages(home)
        with open_log(home) as log:
            _check(home, log, report, progress)
    except StoreUnmade as error:
        report.fail(BROKEN, str(error))
    except StoreSchema:
        raise
    except Failed as error:
        report.fail(error.verdict, str(error))
    except (InvalidData, GenesisError, StoreError) as error:
        report.fail(BROKEN, str(error))
    return report


def _check_pages(home: Home) -> None:
    try:
        store = SqliteStore.open_read_only(home.ledger)
        try:
            store.check()
        finally:
            store.close()
        check_files(home.ledger)  # after closing, as its docstring demands
    except StoreDamaged as error:
        position = first_unreadable(home.ledger)
        told = "every event that it lists can be read"
        if position is not None:
            told = f"the first event that cannot be read is {position}"
        raise StoreDamaged(f"{error}; {told}", position=position, hint=error.hint) from error


def _check(home: Home, log: Log, report: Report, progress: Progress) -> None:
    guard = GuardFile(home.state, log.ledger_id)
    note = guard.read()
    log.refresh()  # so that a node that runs meanwhile does not look like a rollback
    audit, lineage, kept = _audit(report, log, progress)
    genesis = lineage.genesis
    _check_index(home, log, progress)
    report.ledger_id, report.name, report.size = log.ledger_id, genesis.name, log.size
    report.say("integrity", f"all {audit.tree.size} events match their commitments and the tree")
    dropped = _dropped(report, log, audit)
    if found := pending(home, log):
        report.say("erasure", f"redaction pending in {' and '.join(found)}: timmy run finishes it")
    report.question = "identity"
    check_soul(read_soul(home.soul).data, genesis)
    whose = f"agent {genesis.name!r}, ledger {log.ledger_id.hex()}"
    report.say("identity", f"{whose}; SOUL.md is the one it was born with")
    report.say("keys", _check_keystores(home, lineage))
    report.question = "freshness"
    try:
        head = check_guard(guard, log.tree, log.ledger_id, lineage.key_at, lineage.epoch, note=note)
    except GuardError as error:
        report.fail(BROKEN, str(error))
        report.hint = error.hint
        return
    report.say("freshness", f"continues the last released head, of size {head.size}")
    report.history = History(
        ledger_id=log.ledger_id, epoch=lineage.epoch, heads=(head,), kept=kept, tree=audit.tree
    )
    if dropped is not None:
        report.question = "completeness"
        raise dropped
    report.verdict = RECOVERED if lineage.epoch else UNBROKEN_PENDING
    _say_not_shown(report, beyond=log.size - head.size)


def _say_not_shown(report: Report, *, beyond: int) -> None:
    if beyond:
        report.not_shown.append(f"who wrote the last {beyond} events: no released head covers them")
    report.not_shown += [
        "a whole machine rolled back with its guard: only somebody who holds a newer head can tell",
        "all of it written anew with the log's key: only a held head or Bitcoin can tell",
        "that nothing else was signed with these keys, or shown to somebody else",
        "when: nothing here is compared with Bitcoin",
        OTHER_AGENT,
        SAID_NOT_TRUE,
    ]


def _check_keystores(home: Home, lineage: Lineage) -> str:
    """Check the keystores that are here; a home may live without them, but not start."""
    newest, genesis = lineage.newest, lineage.genesis
    recovered = any(tenure.cause is Cause.RECOVERY for tenure in lineage.tenures)
    places = {
        "agent": (keystore.agent_path(home.path), "agent", newest.keys["log"]),
        "operator": (keystore.operator_path(home.operator), "operator", genesis.keys["operator"]),
        "nostr": (
            keystore.nostr_path(home.path), "nostr", None if recovered else genesis.keys["nostr"]
        ),
    }  # fmt: skip
    numbered = {tenure.number: tenure.keys["log"] for tenure in lineage.tenures}
    for number, path in keystore.past_paths(home.path).items():
        places[f"agent {number}"] = (path, "agent", numbered.get(number))
    here = [name for name, (path, *_) in places.items() if path.exists()]
    for name in here:
        path, role, key = places[name]
        keystore.examine(path, role=role, public=key)
    return f"keystores whole: {', '.join(here)}" if here else "no keystore is here"


def _check_index(home: Home, log: Log, progress: Progress) -> None:
    """Compare what the node looks events up by, stream and idempotency key, with the envelopes."""
    store = SqliteStore.open_read_only(home.ledger)
    try:
        keys = 0
        for record, place in zip(log.records(), store.places(log.size), strict=False):
            envelope = Envelope.parse(record.envelope)
            at, key = record.position, envelope.idempotency_key
            if not at % _PROGRESS_EVENTS:
                progress(log.size + at, 2 * log.size)
            if place != (at, envelope.stream, envelope.stream_sequence):
                raise StoreDamaged(f"event {at} is filed under another stream than its own")
            if key is not None:
                keys += 1
                if store.position_of(key) != at:
                    raise StoreDamaged(f"event {at} is not found by its idempotency key")
        if store.key_count(log.size) != keys:
            raise StoreDamaged("an idempotency key leads to an event that does not carry it")
    finally:
        store.close()


def _dropped(report: Report, log: Log, audit: Audit) -> Failed | None:
    """Say whether every content is there or redacted. A failure is kept: other questions follow."""
    error = None
    since = _redacted_since(log, audit)
    missing = [at for at in audit.missing if at not in since]
    text = f"content present in {audit.contents}, redacted in {len(audit.redacted)}"
    if missing:
        error = Failed(INCOMPLETE, f"content of events {missing[:10]} is MISSING")
    elif audit.unerased:
        error = Failed(BROKEN, f"redacted content of events {audit.unerased[:10]} is still here")
    report.say("completeness", text if error is None else f"{DOES_NOT_HOLD}: {error}")
    return error


def _redacted_since(log: Log, audit: Audit) -> frozenset[int]:
    """What a node that runs meanwhile has redacted since this reading began."""
    if not audit.missing:
        return frozenset()
    log.refresh()
    return frozenset(at for event in log.events(audit.tree.size) for at in targets(event))


def _audit(report: Report, log: Log, progress: Progress) -> tuple[Audit, Lineage, dict[int, int]]:
    """Recompute everything, compare each stored tile with its own; say what each epoch kept."""
    tiles = Tiles()
    audit = Audit(Tree(tiles))
    lineage: Lineage | None = None
    kept: dict[int, int] = {}
    for record in log.records():
        if not record.position % _PROGRESS_EVENTS:
            progress(record.position, 2 * log.size)
        event = audit.add(record)
        lineage = lineage or _begin(report, event)
        if event.type in LINEAGE_TYPES:
            lineage = succeed(lineage, report, event)
            check_kept(event, event.position, log.tree.root(event.position))
        if event.type == EPOCH.name:
            kept[lineage.epoch] = event.position
        if audit.tree.size % TILE_WIDTH == 0:
            for tile in audit.tree.take_tiles():
                if log.tree.read_tile(tile.level, tile.index) != tile.hashes:
                    raise StoreDamaged(
                        f"tile {tile.index} of level {tile.level} is not its events'"
                    )
                tiles[tile.level, tile.index] = tile.hashes
    if lineage is None:
        raise StoreDamaged("the ledger is empty", hint="be born first: timmy init")
    if audit.tree.root() != log.tree.root() or audit.tree.root() == EMPTY_ROOT:
        raise StoreDamaged("the tree does not lead to the root of its events")
    report.ledger_id = log.ledger_id
    if lineage_of(log) != lineage:
        raise StoreDamaged("the stream of lineage records does not hold all of them")
    return audit, lineage, kept


def _begin(report: Report, first: Event) -> Lineage:
    report.question = "identity"
    report.lineage = lineage = Lineage.of(first)
    report.question = "integrity"
    return lineage
