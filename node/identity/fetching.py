"""`timmy recover --from-mirror`: this home's own tail, fetched into its ledger, and the guard."""

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp

from genesis.core.keys import AgentKeys
from ledger.core.checkpoint import Checkpoint, SignedCheckpoint
from ledger.core.errors import GuardError, Refused
from ledger.core.lineage import Lineage
from ledger.core.note import parse_note
from ledger.files import write_atomically
from ledger.log import Log
from ledger.mirror import MirrorLog
from ledger.release import GuardFile, check_guard
from ledger.sqlite import SqliteStore
from mesh.core.nip01 import NostrSigner
from mesh.fleet.grants import forget
from mesh.mirrors.source import Source
from node.config import load
from node.fleet.files import fleet_files
from node.fleet.tail import AppendedSince, addresses, fetch
from node.home import Home
from node.identity.setting_aside import put_in_place, renew
from node.open import lineage_of, now_ms
from node.sections.mesh import key_of


def from_mirror(
    home: Home, keys: AgentKeys, url: str, npub: str | None, *, aside: bool = False
) -> dict[str, Any]:
    """Fetch what the mirror at `url` has beyond this ledger; return how much. Raises TimmyError.

    With `aside`, what was appended here since the last released head, and is in the way, goes to a
    file ("aside" of the result).
    """
    signer = NostrSigner(keys.nostr.secret)
    known = addresses(load(home.config), fleet_files(home).load(), signer.pubkey)
    url = url.rstrip("/")
    if npub is None and url not in known:
        raise Refused(
            f"nobody knows whose node is at {url}",
            hint="say it with --npub NPUB, or name it in node.toml, [[mesh.peers]]",
        )
    node = known[url] if npub is None else key_of(npub)

    def tail(log: MirrorLog) -> SignedCheckpoint:
        return asyncio.run(_fetch(home, log, url, node, signer))

    def grow(path: Path) -> SignedCheckpoint:
        with MirrorLog(SqliteStore.open(path)) as log:
            return tail(log)

    file = None
    with MirrorLog(SqliteStore.open(home.ledger)) as log:
        before = log.size
        try:
            head = tail(log)
        except AppendedSince as error:
            write_atomically(home.elsewhere, error.note)  # for `timmy recover --kit`
            size = _released(home, log, error, aside=aside)
            head, file = renew(home, log, size, grow)
    if file is not None:
        put_in_place(home)
    with MirrorLog(SqliteStore.open(home.ledger)) as log:
        size = log.size
        released = _guard(home, log, lineage_of(log), head)
    return {
        "from": url, "before": before, "events": size, "head": head.size, "guard": released,
        "aside": None if file is None else str(file),
    }  # fmt: skip


def _released(home: Home, log: Log, why: AppendedSince, *, aside: bool) -> int:
    """How many events were released, where what follows them is in the way. Raises TimmyError."""
    lineage = lineage_of(log)
    guard = GuardFile(home.state, log.ledger_id)
    size = check_guard(guard, log.tree, log.ledger_id, lineage.key_at, lineage.epoch).size
    if size == log.size:
        raise why
    if not aside:
        raise Refused(
            f"{log.size - size} events were appended here since the last released head, and are "
            "in the way; no head over them ever left",
            hint="to write them to a file and fetch what is missing, say --yes",
        )
    return size


async def _fetch(
    home: Home, log: MirrorLog, url: str, node: str, signer: NostrSigner
) -> SignedCheckpoint:
    def forget_grants(size: int) -> None:
        """What a voter granted is as old as its guard; cut short later, nothing would say so."""
        note = GuardFile(home.state, log.ledger_id).read()
        if note is None or Checkpoint.parse(parse_note(note).text).size < size:
            forget(home.grants(log.ledger_id), now_ms() // 1000)

    def forget_views() -> None:
        for path in (home.views, *_beside(home.views)):
            path.unlink(missing_ok=True)

    async with aiohttp.ClientSession() as session:
        source = Source(
            url=url, node=node, signer=signer, session=session, clock=lambda: now_ms() // 1000
        )
        return await fetch(
            log, source, begin=forget_grants, forget=forget_views, now=time.monotonic
        )


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in ("-wal", "-shm")]


def _guard(home: Home, log: Log, lineage: Lineage, head: SignedCheckpoint) -> int:
    """Put the guard on the fetched head, unless it is ahead of it; return its size.

    Raises RolledBack if more was released than the mirror has.
    """
    guard = GuardFile(home.state, log.ledger_id)
    try:
        found = check_guard(guard, log.tree, log.ledger_id, lineage.key_at, lineage.epoch)
    except GuardError as error:
        if guard.read() is not None:
            error.hint = "that mirror lacks what was released last: ask another one"
            raise
    else:
        if found.size >= head.size:
            return found.size
    guard.write(head.anchor_preimage())
    return head.size
