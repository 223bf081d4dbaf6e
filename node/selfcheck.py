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
from ledger.core.merkle import EMPTY_ROOT
from ledger.core.tiles import TILE_WIDTH, Tree
from ledger.log import Log
from ledger.release import GuardFile, check_guard
from ledger.sql import check_files
from ledger.sqlite import SqliteStore, first_unreadable
from node.home import Home
from node.open import epoch_of, open_log
from node.report import BROKEN, INCOMPLETE, UNBROKEN_PENDING, Report


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
        report.say("failing link", str(error))
    except StoreSchema:
        raise
    except (InvalidData, GenesisError, StoreError) as error:
        report.verdict = BROKEN
        report.say("failing link", str(error))
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
    audit, genesis = _audit(log)
    report.ledger_id, report.name, report.size = log.ledger_id, genesis.name, log.size
    report.say("integrity", f"all {log.size} events match their commitments and the tree")
    _complete(report, audit)
    check_soul(read_soul(home.soul).data, genesis)
    report.say("identity", f"agent {genesis.name!r}; SOUL.md is the one it was born with")
    report.say("keys", _check_keystores(home, genesis))
    try:
        epoch, key = epoch_of(log, genesis), genesis.keys["log"]
        head = check_guard(guard, log.tree, log.ledger_id, key, epoch, note=note)
    except GuardError as error:
        report.verdict = BROKEN
        report.say("freshness", str(error))
        return
    report.say("freshness", f"continues the last released head, of size {head.size}")
    if report.verdict != INCOMPLETE:
        report.verdict = UNBROKEN_PENDING
    report.not_shown += [
        "a whole machine rolled back with its guard: only peers can tell",
        "that nothing else was signed with these keys",
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


def _complete(report: Report, audit: Audit) -> None:
    text = f"content present in {audit.contents}, redacted in {len(audit.redacted)}"
    if audit.missing or audit.unerased:
        report.verdict = INCOMPLETE
        text += f", MISSING in {audit.missing[:10]}, still there though redacted {audit.unerased}"
    report.say("completeness", text)


def _audit(log: Log) -> tuple[Audit, Genesis]:
    """Recompute everything, and compare each stored tile with what it should be."""
    tiles: dict[tuple[int, int], bytes] = {}

    def read_tile(level: int, index: int) -> bytes:
        return tiles[level, index]

    audit = Audit(Tree(read_tile))
    genesis: Genesis | None = None
    for record in log.records():
        event = audit.add(record)
        genesis = genesis or parse_genesis(event.payload)
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
    return audit, genesis
