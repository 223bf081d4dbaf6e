"""Fetching the end of our own log back from a mirror of it (docs/spec/mesh.md, "The own tail").

An old backup, or a machine that was rolled back, holds the beginning of a log that others copied to
its end. Everything there was signed by this log's own key, and every byte is checked as a mirror
checks it: so it is taken as it is, and nothing is lost and no epoch begun.

It is fetched by hand, on the stopped node. Whether this machine is the one that goes on, or a copy
beside it that still runs, nobody can see from here: two that both went on would sign two histories.
So a start only looks, before its first event, whether a member or peer has more of this log than
lies here, and then ends with the command to give. Once a node has appended to an old copy, its
ledger is no beginning of the mirror's any more; then a new epoch is the way on.

Not fetched: what is not in the ledger (outboxes, the state of anchors, a witness' memory).
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from ledger.core.checkpoint import SignedCheckpoint, open_checkpoint
from ledger.core.errors import GuardError, Refused
from ledger.core.lineage import Lineage
from ledger.log import Log
from ledger.mirror import MirrorLog
from mesh.core.errors import InvalidData
from mesh.core.fleet.manifest import URLS_MAX, Fleet
from mesh.core.mirrors.copying import (
    Action,
    AskBodies,
    AskHead,
    Broken,
    Complete,
    Conflict,
    Doubt,
    Faulted,
    GivenUp,
    Head,
    Pursue,
    Store,
)
from mesh.core.mirrors.replica import Replica
from mesh.core.witnesses.heads import head_of, require_continued
from mesh.core.witnesses.introduction import Introduction, open_introduction
from mesh.mirrors.source import Source, SourceFailed
from node.config import Config
from node.sections.mesh import key_of

LOOK_SECONDS_MAX: Final = 3.0
"""A start waits for no dead machine longer than that."""
LOOK_PLACES_MAX: Final = 64
"""Asked at a start, all at once: of a larger fleet those that it drew for us (`addresses`)."""
EPOCH_HINT: Final = "begin a new epoch, which gives up what came after: timmy recover --kit FILE"

NO_WORDS_HINT: Final = (
    "start a member that mirrors this ledger with its words, or have a peer that does name this "
    f"node in mesh.members; if there is none, {EPOCH_HINT} --yes"
)

_log = structlog.get_logger("node.fleet.tail")


class TailElsewhere(GuardError):
    """Another node has more of this log than lies here, signed by this log's key."""


class AppendedSince(Refused):
    """What lies here is not the beginning of what a mirror has. `note`: a signed head of that."""

    def __init__(self, message: str, *, note: bytes) -> None:
        super().__init__(message, hint=EPOCH_HINT)
        self.note = note


def addresses(config: Config, fleet: Fleet | None, own: str, ledger: bytes = b"") -> dict[str, str]:
    """Who may be asked for a ledger, by URL, with the public key of each; `own` is ours.

    Its own node first, then peers, then the other members, in another order for each asker and
    ledger: so nobody is the one whom all ask, and no member is out of everybody's reach.
    """
    members = () if fleet is None else fleet.manifest.members
    others = [one for one in members if one.nostr.hex() != own]
    others.sort(key=lambda one: _lot(own, ledger, one.ledger))
    found = {
        url.rstrip("/"): one.nostr.hex()
        for one in others
        if one.ledger == ledger
        for url in one.urls
    }
    found |= {peer.url: key_of(peer.npub) for peer in config.mesh.peers}
    for at in range(URLS_MAX):  # one address of each first: no member's leave out another's
        for member in others:
            for url in member.urls[at : at + 1]:
                found.setdefault(url.rstrip("/"), member.nostr.hex())
    return found


def _lot(own: str, ledger: bytes, member: bytes) -> bytes:
    return hashlib.sha256(own.encode() + ledger + member).digest()


async def require_newest(log: Log, lineage: Lineage, sources: Mapping[str, Source]) -> None:
    """Ask who mirrors us, for a moment. Raises TailElsewhere before anything was appended."""
    found: dict[str, Introduction] = {}

    async def ask(url: str, source: Source) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                data = await source.answer(
                    log.ledger_id, AskHead(source=url, number=0, since=log.size)
                )
            found[url] = open_introduction(data, log.ledger_id)
        except (SourceFailed, TimeoutError, InvalidData) as error:
            _log.debug("no mirror of ours there", url=url, reason=str(error)[:200])

    async with asyncio.TaskGroup() as group:
        for url, source in sources.items():
            group.create_task(ask(url, source))
    newer = {url: one for url, one in found.items() if _goes_on(one, log, lineage)}
    if newer:
        giving = await _giving(log, {url: sources[url] for url in newer})
        url = max(giving or newer, key=lambda one: newer[one].head.size)
        text = f"{url} has {newer[url].head.size} events of this log, signed by its key; "
        text += f"here are {log.size}"
        if giving:
            hint = f"stop every other copy of this home, then: timmy recover --from-mirror {url}"
        else:
            text, hint = f"{text}, and nobody who was asked gives the words", NO_WORDS_HINT
        raise TailElsewhere(text, hint=hint)


async def _giving(log: Log, sources: Mapping[str, Source]) -> list[str]:
    """Who gives the words of the next event: not a mirror of hashes, nor one that we only watch."""
    found: list[str] = []

    async def ask(url: str, source: Source) -> None:
        wanted = AskBodies(source=url, number=0, start=log.size, stop=log.size + 1)
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                if await source.answer(log.ledger_id, wanted):
                    found.append(url)
        except (SourceFailed, TimeoutError) as error:
            _log.info("no words of ours there", url=url, why=str(error)[:200])

    async with asyncio.TaskGroup() as group:
        for url, source in sources.items():
            group.create_task(ask(url, source))
    return found


def _goes_on(shown: Introduction, log: Log, lineage: Lineage) -> bool:
    """Whether a head is larger, of our epoch, and proven to continue all that lies here."""
    head = head_of(shown)
    if head.epoch != lineage.epoch or head.size <= log.size:
        return False
    known = Head(epoch=lineage.epoch, size=log.size, root=log.tree.root(), note=b"")
    try:
        require_continued(shown, known)
    except InvalidData:
        return False  # another history: whoever has its head says so once the node runs
    return True


async def fetch(
    log: MirrorLog,
    source: Source,
    *,
    begin: Callable[[int], None],
    forget: Callable[[], None],
    now: Callable[[], float],
) -> SignedCheckpoint:
    """Copy what follows on `log`, checked; return the head that it is under.

    `begin` is told the size of that before anything is stored. `forget` drops what was made of
    words that are erased. Raises Refused, and then what was stored by that time is right, and going
    on from it is possible.
    """
    lineage = log.lineage()
    assert lineage is not None
    replica = Replica(log.ledger_id, log, [source.url], lineage=lineage)
    size = log.size

    def act(action: Action) -> None:
        if isinstance(action, Store) and log.size == size and replica.head is not None:
            begin(replica.head.size)
        _act(action, log, forget)

    while True:
        for ask in replica.requests(now()):
            try:
                data = await source.answer(log.ledger_id, ask)
            except SourceFailed as error:
                raise Refused(str(error), hint="is it a mirror of this ledger?") from error
            for action in replica.answered(ask, data, now()):
                _check_keys(replica, lineage)
                act(action)
            if replica.head is None:
                raise Refused(
                    f"it has no newer head of this log than of the {log.size} events here",
                    hint="there is nothing to fetch from there",
                )
            for action in replica.settled():
                if isinstance(action, Complete):
                    return _head(replica, action.note)
                act(action)
        wake = replica.wake_at()
        await asyncio.sleep(0 if wake is None else max(0.0, wake - now()))


def _act(action: Action, log: MirrorLog, forget: Callable[[], None]) -> None:
    match action:
        case Store(events=events, erase=erase):
            if erase:
                forget()
            log.take(events, erase)
            if erase:
                forget()
        case Doubt(shown=shown) | Conflict(shown=shown):
            raise AppendedSince(
                f"the {log.size} events here are not the beginning of what it has: something was "
                "appended here since",
                note=shown,
            )
        case Faulted(fault=fault, text=text):
            raise Refused(f"it is {fault}: {text}", hint="ask another mirror of this ledger")
        case Broken(text=text):
            raise Refused(f"what it has is broken: {text}", hint="ask another mirror")
        case GivenUp(epoch=epoch):
            raise Refused(
                f"it has epoch {epoch}, which gave up events that are here",
                hint="restore a backup of that epoch",
            )
        case Pursue() | Complete():
            pass


def _check_keys(replica: Replica, lineage: Lineage) -> None:
    """The tail must be of the keys that are here: a keystore is in no mirror."""
    found = replica.lineage
    if found is not None and len(found.tenures) > len(lineage.tenures):
        at = found.tenures[len(lineage.tenures)].position
        raise Refused(
            f"the keys were changed at event {at}, and those in this home are older",
            hint="restore a backup made after that, then fetch the rest",
        )


def _head(replica: Replica, note: bytes) -> SignedCheckpoint:
    assert replica.lineage is not None
    assert replica.complete is not None
    size, epoch = replica.complete.size, replica.complete.epoch
    return open_checkpoint(note, replica.lineage.tenure_at(epoch, size).keys["log"])
