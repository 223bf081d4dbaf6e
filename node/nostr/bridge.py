"""The bridge to peers: heartbeats and reports of artifacts go out, acks and receipts come back.

All is off until node.toml names peers or an interval, and all is public (mesh.core.bridge).

An artifact is first recorded, then reported, under a key made of its type and digest: reporting it
again is the same event of the ledger, sent again. A peer's report is recorded, then answered with a
receipt; one that comes again is answered again, by the same receipt. Heartbeats and acks are not
recorded: what the node was like is in `node.beat`, and a heartbeat a day later is of no use.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from ledger.core import types
from ledger.core.event import Draft, Event
from ledger.log import Log
from mesh.core import bridge
from mesh.core.bridge import Artifact
from mesh.core.errors import InvalidEvent, Refused
from mesh.core.nip01 import NostrSigner, VerifiedEvent
from mesh.core.relay.filter import Filter
from mesh.pool.port import Pool
from node.nostr.letters import author_of
from node.open import now_ms

_log = structlog.get_logger("bridge")

_KEY: Final = b"timmy/bridge/v1/"
_LATE_SECONDS_MAX: Final = 900
"""A heartbeat older than this is not acknowledged: nobody waits for it any more."""
_BEATS_MAX: Final = 16
"""Own heartbeats whose acks still count."""


class Bridge:
    """The bridge of one node. `peers` are public keys in hex; `words` is what a heartbeat says."""

    def __init__(
        self,
        log: Log,
        signer: NostrSigner,
        pool: Pool,
        *,
        peers: Sequence[str],
        heartbeat_s: int,
        words: Callable[[], str],
    ) -> None:
        self._log = log
        self._signer = signer
        self._pool = pool
        self._peers = tuple(peers)
        self._heartbeat_s = heartbeat_s
        self._words = words
        self._beats: dict[str, int] = {}
        self._acks: dict[str, int] = {}
        self._heard: dict[str, int] = {}

    def value(self) -> dict[str, Any]:
        """How it is, for `timmy status`: Unix seconds of the newest of each."""
        return {
            "beat": max(self._beats.values(), default=None),
            "acked_by": {author_of(peer): at for peer, at in sorted(self._acks.items())},
            "heard": {author_of(peer): at for peer, at in sorted(self._heard.items())},
        }

    async def run(self) -> None:
        """Beat and listen until cancelled; return at once if neither is asked for."""
        async with asyncio.TaskGroup() as group:
            if self._heartbeat_s:
                group.create_task(self._beat())
            if self._peers:
                group.create_task(self._listen())

    async def report(self, kind: str, digest: str) -> Event:
        """Record that this agent made something, and report it. Raises Refused for a bad name.

        Calling again is no second event, and sends the report again.
        """
        try:
            artifact = Artifact(kind=kind, digest=digest, recorded=bytes(32).hex())
        except InvalidEvent as error:
            raise Refused(str(error), hint="timmy artifacts report git-commit DIGEST") from error
        [event] = await self._log.append(
            Draft(
                type=types.ARTIFACT_REPORTED.name,
                stream=types.ARTIFACT_STREAM,
                payload={"kind": artifact.kind, "digest": artifact.digest},
                idempotency_key=_key(b"reported", artifact.kind, artifact.digest),
            )
        )
        artifact = Artifact(kind=kind, digest=digest, recorded=event.id.hex())
        await self._pool.publish(bridge.mint_artifact(self._signer, artifact, now=_now()))
        return event

    def artifacts(self, last: int) -> list[Event]:
        """Return the newest events about artifacts, oldest first."""
        return self._log.stream(types.ARTIFACT_STREAM, last=last)

    async def _beat(self) -> None:
        while True:
            now = _now()
            event = bridge.mint_beat(self._signer, self._words(), self._peers, now=now)
            await self._send(event)
            self._beats[event.id] = now
            while len(self._beats) > _BEATS_MAX:
                del self._beats[next(iter(self._beats))]
            await asyncio.sleep(self._heartbeat_s)

    async def _listen(self) -> None:
        kinds = frozenset((bridge.NOTE_KIND, bridge.ARTIFACT_KIND, bridge.RECEIPT_KIND))
        topics = (bridge.BEAT_TAG, bridge.ACK_TAG, bridge.ARTIFACT_TAG, bridge.RECEIPT_TAG)
        wanted = Filter(
            kinds=kinds, authors=frozenset(self._peers), tags=(("t", frozenset(topics)),)
        )
        async with self._pool.subscribe([wanted]) as events:
            async for event in events:
                await self.hear(event)
                await asyncio.sleep(0)

    async def hear(self, event: VerifiedEvent) -> None:
        """Deal with what a peer said. Raises for our disk."""
        if event.pubkey not in self._peers:
            return
        if bridge.is_beat(event):
            await self._heard_beat(event)
        elif (beat := bridge.acknowledged(event)) is not None and beat in self._beats:
            at = self._acks.get(event.pubkey, 0)
            self._acks[event.pubkey] = max(at, self._beats[beat])
        elif (artifact := bridge.artifact_of(event)) is not None:
            await self._received(event, artifact)
        elif (found := bridge.receipted(event)) is not None:
            await self._receipted(event, found[1])

    async def _heard_beat(self, event: VerifiedEvent) -> None:
        newest = self._heard.get(event.pubkey, 0)
        now = _now()
        if event.created_at <= newest or abs(now - event.created_at) > _LATE_SECONDS_MAX:
            return
        self._heard[event.pubkey] = event.created_at
        await self._send(bridge.mint_ack(self._signer, event, now=now))

    async def _received(self, event: VerifiedEvent, artifact: Artifact) -> None:
        [noted] = await self._log.append(
            Draft(
                type=types.ARTIFACT_RECEIVED.name,
                stream=types.ARTIFACT_STREAM,
                payload={
                    "author": author_of(event.pubkey),
                    "kind": artifact.kind,
                    "digest": artifact.digest,
                    "recorded": artifact.recorded,
                },
                idempotency_key=_key(
                    b"received", event.pubkey, artifact.kind, artifact.digest, artifact.recorded
                ),
            )
        )
        at_s = noted.ts_ms // 1000  # of the first time: so the receipt is one event, however often
        await self._send(bridge.mint_receipt(self._signer, event, artifact, now=at_s))

    async def _receipted(self, event: VerifiedEvent, digest: str) -> None:
        """Note a receipt for what we reported; one for anything else is passed over."""
        kinds = {
            one.payload["kind"]
            for one in self._log.stream(types.ARTIFACT_STREAM, last=1000)
            if one.type == types.ARTIFACT_REPORTED.name and one.payload["digest"] == digest
        }
        if not kinds:
            return
        await self._log.append(
            Draft(
                type=types.ARTIFACT_RECEIPTED.name,
                stream=types.ARTIFACT_STREAM,
                payload={"author": author_of(event.pubkey), "digest": digest},
                idempotency_key=_key(b"receipted", event.pubkey, digest),
            )
        )

    async def _send(self, event: VerifiedEvent) -> None:
        try:
            await self._pool.publish(event, droppable=True)
        except Refused as error:
            _log.info("nobody can be told", why=str(error))


def _key(*parts: bytes | str) -> bytes:
    """16 bytes made of what an event is about."""
    named = [part if isinstance(part, bytes) else part.encode() for part in parts]
    return hashlib.sha256(_KEY + b"\0".join(named)).digest()[:16]


def _now() -> int:
    return now_ms() // 1000
