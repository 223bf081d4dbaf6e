"""Reading every byte of a home and saying what is wrong: `timmy verify` without a file."""

from genesis import keystore
from genesis.core.birth import Genesis, parse_genesis
from genesis.core.errors import GenesisError
from genesis.soul import check_soul, read_soul
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
from ledger.core.merkle import EMPTY_ROOT
from ledger.core.tiles import TILE_WIDTH, Tree
from ledger.core.types import EPOCH
from ledger.log import Log
from ledger.release import GuardFile, check_guard
from ledger.sql import check_files
from ledger.sqlite import SqliteStore, first_unreadable
from node.home import Home
from node.open import epoch_of, open_log
from node.redacting import pending
from node.report import (
    BROKEN,
    DOES_NOT_HOLD,
    INCOMPLETE,
    OTHER_AGENT,
    RECOVERED,
    SAID_NOT_TRUE,
    UNBROKEN_PENDING,
    Report,
)
from node.verify_common import Failed, check_kept, next_epoch


def check_home(home: Home) -> Report:
    """Check pages, log, events, tree, tiles, indexes, guard, SOUL and keystores.

    Never raises for damage.

    Raises StoreError if there is no ledger, StoreSchema for one this version does not read.
    """
    report = Report(purpose="home")
    if not home.ledger.exists():
        raise StoreError(f"there is no ledger at {home.ledger}", hint="be born first: timmy init")
    try:
        _check_pages(home)
        with open_log(home) as log:
            _check(home, log, report)
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


def _check(home: Home, log: Log, report: Report) -> None:
    guard = GuardFile(home.state, log.ledger_id)
    note = guard.read()
    log.refresh()  # so that a node that runs meanwhile does not look like a rollback
    audit, genesis, epoch = _audit(report, log)
    _check_index(home, log)
    report.ledger_id, report.name, report.size = log.ledger_id, genesis.name, log.size
    report.say("integrity", f"all {log.size} events match their commitments and the tree")
    dropped = _dropped(report, audit)
    if found := pending(home, log):
        report.say("erasure", f"redaction pending in {' and '.join(found)}: timmy run finishes it")
    report.question = "identity"
    check_soul(read_soul(home.soul).data, genesis)
    whose = f"agent {genesis.name!r}, ledger {log.ledger_id.hex()}"
    report.say("identity", f"{whose}; SOUL.md is the one it was born with")
    report.say("keys", _check_keystores(home, genesis))
    report.question = "freshness"
    try:
        key = genesis.keys["log"]
        head = check_guard(guard, log.tree, log.ledger_id, key, epoch, note=note)
    except GuardError as error:
        report.fail(BROKEN, str(error))
        report.hint = error.hint
        return
    report.say("freshness", f"continues the last released head, of size {head.size}")
    if dropped is not None:
        report.question = "completeness"
        raise dropped
    report.verdict = RECOVERED if epoch else UNBROKEN_PENDING
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


def _check_keystores(home: Home, genesis: Genesis) -> str:
    """Check the keystores that are here; a home may live without them, but not start."""
    places = {
        "agent": (keystore.agent_path(home.path), "log"),
        "operator": (keystore.operator_path(home.operator), "operator"),
    }
    here = [role for role, (path, _) in places.items() if path.exists()]
    for role in here:
        path, key = places[role]
        keystore.examine(path, role=role, public=genesis.keys[key])
    return f"keystores whole: {', '.join(here)}" if here else "no keystore is here"


def _check_index(home: Home, log: Log) -> None:
    """Compare what the node looks events up by, stream and idempotency key, with the envelopes."""
    store = SqliteStore.open_read_only(home.ledger)
    try:
        keys = 0
        for record, place in zip(log.records(), store.places(log.size), strict=False):
            envelope = Envelope.parse(record.envelope)
            at, key = record.position, envelope.idempotency_key
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


def _dropped(report: Report, audit: Audit) -> Failed | None:
    """Say whether every content is there or redacted. A failure is kept: other questions follow."""
    error = None
    text = f"content present in {audit.contents}, redacted in {len(audit.redacted)}"
    if audit.missing:
        error = Failed(INCOMPLETE, f"content of events {audit.missing[:10]} is MISSING")
    elif audit.unerased:
        error = Failed(BROKEN, f"redacted content of events {audit.unerased[:10]} is still here")
    report.say("completeness", text if error is None else f"{DOES_NOT_HOLD}: {error}")
    return error


def _audit(report: Report, log: Log) -> tuple[Audit, Genesis, int]:
    """Recompute everything, compare each stored tile with what it should be; return the epoch."""
    tiles: dict[tuple[int, int], bytes] = {}

    def read_tile(level: int, index: int) -> bytes:
        return tiles[level, index]

    audit = Audit(Tree(read_tile))
    genesis: Genesis | None = None
    epochs: list[Event] = []
    for record in log.records():
        event = audit.add(record)
        genesis = genesis or _genesis(report, event)
        if event.type == EPOCH.name:
            epochs.append(event)
        if audit.tree.size % TILE_WIDTH == 0:
            for tile in audit.tree.take_tiles():
                if log.tree.read_tile(tile.level, tile.index) != tile.hashes:
                    raise StoreDamaged(
                        f"tile {tile.index} of level {tile.level} is not its events'"
                    )
    if genesis is None:
        raise StoreDamaged("the ledger is empty", hint="be born first: timmy init")
    if audit.tree.root() != log.tree.root() or audit.tree.root() == EMPTY_ROOT:
        raise StoreDamaged("the tree does not lead to the root of its events")
    report.ledger_id = log.ledger_id
    return audit, genesis, _epoch(report, log, genesis, epochs)


def _genesis(report: Report, first: Event) -> Genesis:
    report.question = "identity"
    genesis = parse_genesis(first.payload)
    report.question = "integrity"
    return genesis


def _epoch(report: Report, log: Log, genesis: Genesis, records: list[Event]) -> int:
    """Check what each epoch record keeps; the node must find the same ones in their stream."""
    epoch = 0
    for event in records:
        epoch = next_epoch(genesis, report, event, epoch)
        check_kept(event, event.position, log.tree.root(event.position))
    if epoch_of(log, genesis) != epoch:
        raise StoreDamaged(f"the stream of epoch records does not lead to epoch {epoch}")
    return epoch
