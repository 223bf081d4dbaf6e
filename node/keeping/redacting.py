"""Redactions wired to the ledger: what is appended, what is refused, what is still to be finished.

Shared by the API and the command that works without a node. The erasure itself is the ledger's:
rows and log file in `ledger.log`, search in `ledger.views`.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from ledger.core import types
from ledger.core.errors import Refused, StoreDamaged, StoreError
from ledger.core.event import Draft
from ledger.core.redaction import targets
from ledger.derived import repeats
from ledger.files import read_mark
from ledger.log import Log
from ledger.sql import ERASING
from ledger.views import Views, taken
from mesh.core.errors import StoreError as MeshStoreError
from node.home import Home

TARGETS_MAX: Final = 1000
"""Of one redaction: its payload stays far below the bound. More become several, in one commit."""
REASON_CHARS_MAX: Final = 500
"""A sentence or two; it stays in the ledger for good."""
NOT_REACHED: Final = (
    "exports and proofs made before",
    "backups, copies and file system snapshots of this home",
    "relays and mirrors that hold copies",
    "logs of model providers that were sent the words",
    "spare blocks of an SSD",
)
"""Where a redaction cannot reach; docs/THREATS.md says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A redaction that was checked: what to append, what to erase, what is erased already."""

    drafts: tuple[Draft, ...]
    targets: tuple[int, ...]
    already: dict[int, int]
    """Positions whose words are gone, with the event that erased them."""


def ask(log: Log, positions: list[int], *, reason: str, actor: str) -> Asked:
    """Check a redaction of `positions`.

    Raises NotFound for one that is not there, and Refused for one without content, for a control
    type, and for a reason that repeats what is to go.
    """
    wanted = sorted(set(positions))
    log.redaction(wanted, reason=reason, actor=actor)  # refuses what cannot be redacted at all
    present = [at for at in wanted if not log.read(at).redacted]
    _check_reason(log, present, reason)
    drafts = tuple(
        log.redaction(present[start : start + TARGETS_MAX], reason=reason, actor=actor)
        for start in range(0, len(present), TARGETS_MAX)
    )
    gone = set(wanted) - set(present)
    return Asked(drafts=drafts, targets=tuple(present), already=_erased_by(log, gone))


def _check_reason(log: Log, positions: list[int], reason: str) -> None:
    if len(reason) > REASON_CHARS_MAX:
        raise Refused(f"a reason of {len(reason)} characters, at most {REASON_CHARS_MAX}")
    words = repeats(log, positions, reason)
    if words:
        raise Refused(
            f"the reason repeats {words} words of what is to be erased",
            hint="a reason stays in the ledger for good: say why without saying what",
        )


def _erased_by(log: Log, positions: set[int]) -> dict[int, int]:
    if not positions:
        return {}
    found: dict[int, int] = {}
    for event in log.events(min(positions)):
        for target in positions.intersection(targets(event)):
            found.setdefault(target, event.position)
    return found


async def purge(views: Views) -> bool:
    """Run `Views.purge` beside the loop; False if it is to be tried again. Raises StoreFull."""
    try:
        return await asyncio.to_thread(views.purge)
    except StoreDamaged:
        views.rebuild()
        return True


def pending(home: Home, log: Log) -> list[str]:
    """Return where bytes of redacted words may still be: nothing, unless something is unfinished.

    The node finishes it by itself, at its start or as soon as a reader has gone. Changes nothing.
    """
    found = []
    if log.erasing:
        found.append("the ledger's write-ahead log")
    try:
        size = taken(home.views) if home.views.exists() else log.size
    except StoreError:  # not ours to judge: damaged views are deleted at their next use
        size = log.size
    behind = any(event.type == types.REDACTED.name for event in log.events(size))
    if behind or read_mark(home.views.with_suffix(ERASING)) is not None:
        found.append("the search index")
    from node.nostr.withdrawing import owed  # heavy: it opens outbox and relay

    try:
        sealed = owed(home, log)
    except MeshStoreError:  # not ours to judge: the node names it at its next start
        sealed = True
    if sealed:
        found.append("sealed messages that are kept for relays")
    return found
