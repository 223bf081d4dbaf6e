"""Telling other nodes of heads, and hearing of theirs, without a relay: `mesh.core.fleet.gossip`.

    collect   our own released head, those that this node cosigned, copied, or was shown by a log
    tell      what is new to a few peers, at once; to one, in turn, what all there is
    judge     two heads of one log that exclude each other: a proof, if both trees can be had

Peers are the fleet's members and those of mesh.members whose address is known: who may read every
log here may know which there are. Requests are signed (NIP-98). A head is taken only of a log that
this node follows, and only if the log's key signed it: who that is, the log shows by its
introduction, asked for where it is not known. Two heads of one size are proof; of two sizes it is
the trees under them that show it (`mesh.mirrors.comparing`): our copy's, or the tiles of whoever
told. Where neither is to be had, nothing is proven, and it is tried again with the next head. A
head of our own log that is not in it says that we are an old copy of ourselves; until one peer has
compared heads with us, or none answered for LISTEN_SECONDS, we may be one (`unsure`).

A log that was frozen once is not gossiped of any more, also if a recovery began another epoch.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog

from ledger.core.equivocation import Equivocation
from ledger.core.errors import StoreError, TimmyError
from ledger.release import Release
from mesh.core.errors import InvalidData, NotMember, Refused
from mesh.core.errors import StoreError as MeshStoreError
from mesh.core.fleet.gossip import Check, Finding, Frozen, Gossip, Head, Message, Proof, Rumour
from mesh.core.fleet.gossip_wire import (
    BYTES_MAX,
    HEADS_MAX,
    decode_messages,
    encode_messages,
    head_of,
)
from mesh.core.nip98 import check_request
from mesh.core.told import Told
from mesh.mirrors.comparing import Proven, Unresponsive, View, put_beside
from mesh.mirrors.source import Source, SourceFailed
from mesh.witnesses.equivocations import FILE_BYTES_MAX
from node.fleet.duties import FleetDuty
from node.fleet.hearing import Hearing
from node.fleet.introductions import Introductions, drawn
from node.fleet.looking_back import PEER
from node.fleet.mirroring import Mirroring
from node.fleet.witnessed import PEERS, Witnessed
from node.fleet.witnessing import Witnessing
from node.open import now_ms

PATH: Final = "/fleet/gossip"
ROUND_SECONDS: Final = 5.0
"""How soon a head is told on: a fleet of a hundred has it in four rounds."""
_FIRST_SECONDS: Final = 0.5
"""The first round comes at once: who may be an old copy of himself grants nothing until then."""
LISTEN_SECONDS: Final = 30.0
"""Of peers that are all switched off nobody can tell us anything."""
FANOUT: Final = 4
_LEGS_MAX: Final = 3
"""Summary, what differs, what is wanted: then the next round."""
_LOOK_ROUNDS: Final = 12
"""A log itself is asked for its head each minute."""
_COMPARED_MAX: Final = 4
"""Doubts that are looked into in a round: each may wait for somebody who does not answer."""
_TRIES_MAX: Final = 5
"""Rounds in which two heads are tried to be compared, before they are left."""
_TELLERS_MAX: Final = 4096
"""Of the newest heads: 2 MB. Who told of an older one is not asked for its tree any more."""
_DOUBTED_MAX: Final = 64
"""Heads that a witness could not place, of one round."""
_WAITING_MAX: Final = 8
"""Requests of peers that wait for their turn."""
_SECONDS_MAX: Final = 10.0
_UNSURE: Final = "no member has compared heads with this node since it began"

_log = structlog.get_logger("node.fleet.gossiping")


class TooManyRequests(Refused):
    """Other peers are being answered."""


@dataclass(slots=True)
class _Doubt:
    """Two heads to be compared."""

    check: Check
    tries: int = 0


@dataclass(slots=True, kw_only=True)
class Gossiping:
    """One node's part in it."""

    release: Release
    witnessing: Witnessing
    witnessed: Witnessed
    mirroring: Mirroring
    followed: Callable[[], set[bytes]]
    draw: random.Random = field(default_factory=random.SystemRandom)
    now: Callable[[], float] = time.monotonic
    gossip: Gossip = field(default_factory=Gossip)
    logs: Introductions = field(init=False)
    """Who each log is."""
    doubts: dict[bytes, _Doubt] = field(default_factory=dict)
    unresponsive: dict[bytes, str] = field(default_factory=dict)
    """Logs of which two heads could not be compared, and why."""
    heard: int = 0
    """Heads that others told us first."""
    _told: Told = field(default_factory=Told)
    """Which peers were logged for not gossiping, or for false proofs."""
    _doubted: deque[bytes] = field(default_factory=lambda: deque(maxlen=_DOUBTED_MAX))
    _tellers: dict[bytes, str] = field(default_factory=dict)
    """Whose word a head is, by its note: he has the tree under it, if anybody."""
    _compared: dict[bytes, int] = field(default_factory=dict)
    """In which round the trees of a log were last had from elsewhere, both of them."""
    _round: int = 0
    _began: float = field(default_factory=time.monotonic)
    _compared_once: bool = False
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: int = 0

    def __post_init__(self) -> None:
        self.logs = Introductions(
            own=self.witnessed.looking_back,
            fleet=self.witnessing.fleet,
            followed=self.followed,
            take=self._shown,
            draw=self.draw,
            now=self.now,
        )
        self.witnessing.on_doubt = self.doubt

    def doubt(self, note: bytes) -> None:
        """Take a signed head that came to the witness without showing that it goes on."""
        self._doubted.append(note)

    async def run(self) -> None:
        """Tell and compare, a round at a time, until cancelled."""
        seconds = _FIRST_SECONDS
        while True:
            await asyncio.sleep(seconds)
            seconds = ROUND_SECONDS
            try:
                await self.step()
            except* TimmyError as group:
                if group.subgroup((StoreError, MeshStoreError)) is not None:
                    raise
                _log.warning("gossip waits", reason=str(group.exceptions[0])[:200])

    def unsure(self) -> str:
        """Why this node may be an old copy of itself; "" once somebody had the chance to say so."""
        listened = time.monotonic() - self._began > LISTEN_SECONDS
        return "" if self._compared_once or listened else _UNSURE

    async def step(self) -> None:
        """One round."""
        sources = self.mirroring.sources()
        if not sources:
            self._compared_once = True
            return
        await self.logs.look(sources, everybody=self._round % _LOOK_ROUNDS == 0)
        async with self._turn:
            await self._collect()
        rumour, opening = self.gossip.rumour(), self.gossip.summary()
        members = self.mirroring.audience().members
        known = (one for one in sources.values() if one.node in members)
        peers = drawn(known, FANOUT, self.draw)
        told: list[Message] = [] if rumour is None else [rumour]
        talks: list[asyncio.Task[bool]] = []
        async with asyncio.TaskGroup() as group:
            for number, source in enumerate(peers):
                messages = [*told, opening] if number == 0 else told
                if messages:
                    talks.append(group.create_task(self._talk(source, messages)))
        await self._settle(sources)
        if not talks or talks[0].result():  # the first one was told of all that is known here
            self._compared_once = True
        self._round += 1

    # ---- what is known -------------------------------------------------------------------------

    async def _shown(self, head: Head, teller: str) -> None:
        """Take in a head that a log's node, or another, was asked for."""
        async with self._turn:
            if self.logs.opened(head) is not None:
                self._told_by(head, teller)
                await self._found(self.gossip.take(head))

    async def _collect(self) -> None:
        """Take in what other parts of this node met since."""
        for frozen in await asyncio.to_thread(self.witnessing.file.frozen):
            shown = self.logs.shown.get(frozen.ledger_id)
            if shown is None or shown[0].lineage.epoch <= frozen.epoch:
                self.gossip.conflict(Proof(log=frozen.ledger_id, data=(frozen.proof,)))
        own = self.release.newest
        notes = [own.anchor_preimage()] if own.size else []
        latest = await asyncio.to_thread(self.witnessing.file.latest)
        notes += [seen.note for _, _, seen in latest if seen.size]
        for mirror in self.mirroring.mirrors.values():
            if mirror.complete is not None and mirror.complete.size:
                notes.append(mirror.complete.anchor_preimage())
        while self._doubted:
            head = head_of(self._doubted.popleft())
            if self.witnessing.follows(head.log) and self.logs.opened(head) is not None:
                await self._found(self.gossip.take(head))
        for note in notes:  # each was verified by who kept it
            await self._found(self.gossip.take(head_of(note)))

    # ---- to and fro ----------------------------------------------------------------------------

    async def _talk(self, source: Source, messages: list[Message]) -> bool:
        """Tell a peer, take in what it says, answer that; some legs, then the next round. False if
        it does not answer.
        """
        for _ in range(_LEGS_MAX):
            try:
                async with asyncio.timeout(_SECONDS_MAX):
                    data = await source.post(PATH, self._encoded(messages), bytes_max=BYTES_MAX)
                heard = decode_messages(data)
            except (SourceFailed, TimeoutError, InvalidData) as error:
                why = str(error) or f"silent for {_SECONDS_MAX:g} s"
                if self._told.first(source.url, why, self.now()):
                    _log.warning("no gossip", peer=source.url, why=why[:200])
                return False
            self._told.well(source.url, self.now())
            messages = await self._answers(heard, source.url)
            if not messages:
                break
        return True

    async def answer(self, header: str, data: bytes) -> bytes:
        """Answer the request of a peer. Raises InvalidSignedRequest, NotMember, InvalidGossip."""
        own, members = self.mirroring.signer.pubkey, self.mirroring.audience().members
        peer = check_request(
            header, PATH, "POST", node=own, now=now_ms() // 1000,
            known=members, recent=self.mirroring.recent,
        ).pubkey  # fmt: skip
        urls = {one.node: url for url, one in self.mirroring.sources().items()}
        if peer not in members:
            raise NotMember("this node gossips with its fleet and mesh.members only")
        if self._waiting >= _WAITING_MAX:
            raise TooManyRequests(f"{self._waiting} peers wait", hint="come again")
        self._waiting += 1
        try:
            return self._encoded(await self._answers(decode_messages(data), urls.get(peer, "")))
        finally:
            self._waiting -= 1

    def _encoded(self, messages: list[Message]) -> bytes:
        """As bytes: a proof goes as the file that the witness made of it."""
        files = {one.ledger_id: one.proof for one in self.witnessing.file.frozen()}
        return encode_messages(_with_files(one, files) for one in messages)

    async def _answers(self, messages: list[Message], teller: str) -> list[Message]:
        answers: list[Message] = []
        async with self._turn:
            for message in messages:
                given = message
                if isinstance(message, Rumour):
                    given = await self._checked(message, teller)
                said, findings = self.gossip.answer(given)
                answers += said
                await self._found(findings)
        return answers

    async def _checked(self, rumour: Rumour, teller: str) -> Rumour:
        """What of a rumour is so: heads that their log signed, proofs that prove."""
        heads, proofs = [], []
        for head in rumour.heads[:HEADS_MAX]:
            if not self.witnessing.follows(head.log) or self._known(head):
                continue
            signed = await asyncio.to_thread(self.logs.opened, head)
            if signed is not None:
                self.heard += 1
                self._told_by(head, teller)
                heads.append(head)
        for one in rumour.proofs:
            try:
                frozen = await self.witnessing.hear(one.data[0])
            except (StoreError, MeshStoreError):
                raise
            except Refused:
                continue  # a log that is nothing to us may be something to who told
            except TimmyError as error:
                if self._told.first(teller, "no proof", self.now()):
                    _log.warning("a proof of a peer is none", peer=teller, why=str(error)[:200])
                continue
            proofs.append(Proof(log=frozen.ledger_id, data=(frozen.proof,)))
        return Rumour(heads=tuple(heads), proofs=tuple(proofs))

    def _known(self, head: Head) -> bool:
        known = self.gossip.heads.get(head.log, ())
        return any((one.order, one.root) == (head.order, head.root) for one in known)

    # ---- what follows --------------------------------------------------------------------------

    def _told_by(self, head: Head, teller: str) -> None:
        self._tellers[head.note] = teller
        while len(self._tellers) > _TELLERS_MAX:
            del self._tellers[next(iter(self._tellers))]

    async def _found(self, findings: list[Finding]) -> None:
        for finding in findings:
            match finding:
                case Frozen(proof=proof) if len(proof.data) == 2:
                    await self._prove(proof.log, (proof.data[0], proof.data[1]), None)
                case Frozen():
                    pass  # a file that the witness verified and keeps: by it the copy ends
                case Check(new=new):
                    self.doubts[new.log] = _Doubt(finding)

    async def _prove(self, log: bytes, notes: tuple[bytes, bytes], branches: Any) -> None:
        introduction = self._introduction(log)
        if introduction is None:
            return
        epoch = head_of(notes[0]).epoch
        proof = Equivocation(
            ledger_id=log, epoch=epoch, introduction=introduction, notes=notes, branches=branches
        )
        try:
            frozen = await self.witnessing.hear(proof.encode())
        except (StoreError, MeshStoreError):
            raise
        except TimmyError as error:  # it shows another lineage than that of one of the heads
            _log.error("two heads of a log are no proof", ledger=log.hex(), why=str(error)[:200])
            return
        self.gossip.conflict(Proof(log=log, data=(frozen.proof,)))

    def _introduction(self, log: bytes) -> bytes | None:
        if log == self.witnessing.log.ledger_id:
            return self.witnessed.introduction()
        shown = self.logs.shown.get(log)
        return None if shown is None else shown[1]

    async def _settle(self, sources: dict[str, Source]) -> None:
        """Compare what is in doubt, as far as both trees can be had."""
        due = list(self.doubts.items())
        for log, doubt in self.draw.sample(due, min(_COMPARED_MAX, len(due))):
            old, new = doubt.check.old, doubt.check.new
            if log in self.gossip.frozen or old.epoch != new.epoch:
                self._settled(log, doubt, "")
                continue
            if log == self.witnessing.log.ledger_id:
                await self._look_at_ourselves(new, old)
                self._settled(log, doubt, "")
                continue
            one, other = (self._view(head, doubt.tries, sources) for head in (old, new))
            if one is None or other is None:
                continue
            if one.log is None and other.log is None:
                if self._round - self._compared.get(log, -_LOOK_ROUNDS) < _LOOK_ROUNDS:
                    continue  # a dozen requests: once a minute
                self._compared[log] = self._round
            found = await put_beside(one, other)
            if isinstance(found, Proven):
                async with self._turn:
                    await self._prove(log, found.notes, found.branches)
            doubt.tries += 1
            why = found.reason if isinstance(found, Unresponsive) else ""
            if not why or doubt.tries >= _TRIES_MAX:
                self._settled(log, doubt, why)

    def _settled(self, log: bytes, doubt: _Doubt, why: str) -> None:
        if self.doubts.get(log) is doubt:  # no newer one came meanwhile
            del self.doubts[log]
        if why:
            _log.warning("two heads of a log are not shown to be one", ledger=log.hex(), why=why)
            self.unresponsive[log] = why
        else:
            self.unresponsive.pop(log, None)

    async def _look_at_ourselves(self, *heads: Head) -> None:
        """A head of ours that is not in our ledger: somebody went on from here, or from before."""
        for head in heads:
            if why := self.witnessed.looking_back.contradicts(head.note, PEER):
                await self.witnessed.contradicted(why, PEERS)

    def _view(self, head: Head, tries: int, sources: dict[str, Source]) -> View | None:
        """Where the tree under a head is: in our copy, with who told of it, or with another."""
        signed = self.logs.opened(head)
        if signed is None:
            return None
        mirror = self.mirroring.mirrors.get(head.log)
        here = mirror.view(signed) if mirror is not None else None
        if here is not None:
            return here
        teller = self._tellers.get(head.note)
        urls = [url for url in (*self.logs.urls(head.log), *sources) if url in sources]
        if not urls:
            return None
        url = teller if teller in sources else urls[tries % len(urls)]
        return View(head=signed, tiles=partial(sources[url].tile, head.log))

    def value(self) -> dict[str, Any]:
        """What status tells."""
        return {
            "logs": len(self.gossip.heads),
            "heard": self.heard,
            "no_room": self.gossip.refused,
            "unresponsive": {log.hex(): why for log, why in self.unresponsive.items()},
        }


def _with_files(message: Message, files: dict[bytes, bytes]) -> Message:
    if not isinstance(message, Rumour):
        return message
    found = [(one.log, files[one.log]) for one in message.proofs if one.log in files]
    proofs = [Proof(log=log, data=(data,)) for log, data in found if len(data) <= FILE_BYTES_MAX]
    return Rumour(heads=message.heads, proofs=tuple(proofs))


def make_gossiping(
    release: Release,
    witnessed: Witnessed,
    mirroring: Mirroring,
    hearing: Hearing,
    duty: FleetDuty,
) -> Gossiping:
    """Make this node's part in it: of the logs that `hearing` follows. A voter's word waits for it:
    what may be an old copy of itself has forgotten what it granted.
    """
    made = Gossiping(
        release=release,
        witnessing=hearing.witnessing,
        witnessed=witnessed,
        mirroring=mirroring,
        followed=hearing.followed,
    )
    duty.doubt = lambda: release.held or made.unsure()
    witnessed.on_old, witnessed.unsure = duty.forget, made.unsure
    return made
