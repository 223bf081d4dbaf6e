"""Aggregation wired to the ledger: other ledgers' heads in this seal's transactions, with ours.

    add     a submission is checked and kept; a ledger's first brings its genesis event
    close   a head of our own is released and kept, and gets a slot like all the others; the root of
            the round is asked for, and recorded in our ledger with our slot's proof
    prove   what a ledger is given: one link with its slot, or every link from one seal on

A round that crashed between its database and our ledger is recorded at the next look.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from attest.aggregator import Accepted, Aggregator
from attest.core.anchor import kind_of
from attest.core.commitment import Kind
from attest.core.delegation import Delegation, Segment, SlottedLink
from attest.core.errors import AttestError, NoSlot, NothingPending
from attest.core.proof import AnchorProof
from attest.core.seal import SEAL_INDEX
from attest.core.taproot import p2tr_script, seal_output_key
from attest.core.transaction import OutPoint, parse_transaction
from attest.rounds import Round, Rounds
from ledger.core import types
from ledger.core.codec import encode
from ledger.core.event import Draft, Event
from ledger.core.lineage import Lineage
from node.anchors.anchoring import Anchoring
from node.anchors.evidence import anchored
from node.config import AggregateSection
from node.open import now_ms

FILE_NAME: Final = "aggregate.db"
_ROUNDS_LOOKED_AT: Final = 100
"""Newest rounds of a ledger that a receipt is looked for in: all but the last are in a block."""
_ENDS: Final = frozenset({Kind.HANDOFF, Kind.RECOVERY, Kind.DELEGATION})
"""Own links after which a verifier cannot follow our seal for another ledger."""

_log = structlog.get_logger("node.anchors.aggregating")


def log_key_of(records: Sequence[Event], epoch: int, size: int) -> bytes:
    """The log key that signs a head, by genesis and the handoffs and recoveries since."""
    lineage = Lineage.of(records[0])
    for record in records[1:]:
        lineage = lineage.add(record)
    return lineage.tenure_at(epoch, size).keys["log"]


@dataclass(slots=True, kw_only=True)
class Aggregating:
    """The aggregator of one node."""

    anchoring: Anchoring
    aggregator: Aggregator
    lineage: Lineage
    interval_s: int
    poll_s: int

    async def run(self) -> None:
        """Close rounds in their time until cancelled."""
        while True:
            try:
                await self.step()
            except AttestError as error:
                _log.warning("aggregation waits", reason=str(error))
            await asyncio.sleep(self.poll_s)

    async def step(self) -> None:
        """Finish what a crash left, and close a round if one is due."""
        newest = self.aggregator.rounds.newest()
        if newest is not None:
            await self._record(newest)
        await self.aggregator.advance()
        due_ms = 0 if newest is None else newest.closed_ms + 1000 * self.interval_s
        if self.aggregator.rounds.waiting() and now_ms() >= due_ms:
            await self.close()

    async def add(self, data: bytes) -> dict[str, Any]:
        """Take one submission. Raises what `Aggregator.add` does."""
        found: Accepted = await self.aggregator.add(data)
        return {
            "ledger": found.ledger,
            "size": found.size,
            "digest": found.digest,
            "waiting": found.waiting,
        }

    async def close(self) -> dict[str, Any]:
        """Close a round now, our own head in it. Raises NothingPending, SealNotOpen or Refused."""
        if not self.aggregator.rounds.waiting():  # else a head would be released for nothing
            raise NothingPending(
                "no head waits for a round", hint="take one first: timmy aggregate add"
            )
        own = await self.anchoring.head()
        closed = await self.aggregator.close({self._own: own})
        await self._record(closed)
        await self.anchoring.advance()
        return self.status()

    async def _record(self, closed: Round) -> None:
        """Keep a round in our ledger, with our slot's proof: our anchors are told by it."""
        key = self.anchoring.key(b"round", closed.root)
        if self.anchoring.log.find(key) is not None:
            return
        slot = await self.aggregator.proof(self._own, closed)
        await self.anchoring.log.append(
            Draft(
                type=types.AGGREGATED.name,
                stream=types.SEAL_STREAM,
                payload={
                    "root": closed.root,
                    "ledgers": closed.ledgers,
                    "digest": slot.digest_of(self._own),
                    "slot": slot.to_value(),
                },
                idempotency_key=key,
            )
        )

    @property
    def _own(self) -> bytes:
        return self.anchoring.log.ledger_id

    def status(self) -> dict[str, Any]:
        """What waits, what was closed last, and the seal that may be delegated to."""
        rounds = self.aggregator.rounds
        newest = rounds.newest()
        offer = self.offer()
        return {
            "aggregator": self._own,
            "network": self.anchoring.network.name,
            "ledgers": rounds.count(),
            "waiting": rounds.waiting(),
            "round": None if newest is None else newest.number,
            "root": None if newest is None else newest.root,
            "offer": None if offer is None else encode(offer.to_value()),
        }

    def offer(self) -> Delegation | None:
        """Our newest seal that is in a block, for who wants to delegate to it."""
        links = list(anchored(self.anchoring.home))
        if not links:
            return None
        transaction = parse_transaction(links[-1].proof.transaction)
        seal = transaction.outputs[SEAL_INDEX]
        return Delegation(
            aggregator=self._own,
            seal_key=self._seal_key(seal.script),
            soul_digest=self.lineage.genesis.soul.sha256,
            network=self.anchoring.network.name,
            outpoint=OutPoint(txid=transaction.txid, index=SEAL_INDEX),
            seal_sat=seal.value_sat,
        )

    def _seal_key(self, script: bytes) -> bytes:
        """Which of our seal keys a seal pays to: a handoff may be in the log and in no block."""
        soul = self.lineage.genesis.soul.sha256
        keys = [tenure.keys["seal"] for tenure in self.lineage.tenures]
        return next(key for key in keys if p2tr_script(seal_output_key(key, soul)) == script)

    async def standing(self, ledger: bytes, since: bytes | None) -> dict[str, Any]:
        """What is known of a ledger, and its receipt as far as a block has it.

        `since` is the txid (internal order) of the link whose seal it delegated to. Raises NoSlot
        for a ledger nobody told us of, or a link that is none of ours.
        """
        known = await asyncio.to_thread(self.aggregator.rounds.known, ledger)
        if known is None and since is None and ledger != self._own:
            raise NoSlot(
                f"nothing is known here of ledger {ledger.hex()}",
                hint="take a head of it first: timmy aggregate add",
            )
        receipt: SlottedLink | Segment | None
        ended = None
        if since is None:
            receipt = await self._newest(ledger)
        else:
            receipt, ended = await self._segment(ledger, since)
        return {
            "ledger": ledger,
            "size": None if known is None else known.head.size,
            "waiting": known is not None and known.waiting,
            "receipt": None if receipt is None else encode(receipt.to_value()),
            "ended": None if ended is None else ended.name.lower(),
        }

    async def _newest(self, ledger: bytes) -> SlottedLink | None:
        """The newest link in a block whose tree has this ledger's slot."""
        links = {kept.digest: kept.proof for kept in anchored(self.anchoring.home)}
        rounds = self.aggregator.rounds.with_slot(ledger, last=_ROUNDS_LOOKED_AT)
        for closed in rounds:
            if closed.root in links:
                slot = await self.aggregator.proof(ledger, closed)
                return SlottedLink(link=replace(links[closed.root], spent=()), slot=slot)
        return None

    async def _segment(self, ledger: bytes, since: bytes) -> tuple[Segment, Kind | None]:
        """Every link after the one with this txid, each with what it shows of the ledger.

        A handoff or recovery of our own ends what our links show to others, and so does a
        delegation: then its kind comes as well.
        """
        links = self._transactions()
        origin = next((proof for txid, _, proof in links if txid == since), None)
        if origin is None:
            raise NoSlot(
                f"no link here is transaction {since[::-1].hex()}",
                hint="the transaction of the outpoint that the delegation names",
            )
        shown: list[SlottedLink] = []
        ended = None
        for _, digest, proof in links:
            kind = kind_of(proof)
            if kind in _ENDS:
                ended = kind
                break
            shown.append(await self._slotted(ledger, digest, proof))
        return Segment(origin=replace(origin, spent=()), links=tuple(shown)), ended

    def _transactions(self) -> Iterator[tuple[bytes, bytes, AnchorProof]]:
        for kept in anchored(self.anchoring.home):
            yield parse_transaction(kept.proof.transaction).txid, kept.digest, kept.proof

    async def _slotted(self, ledger: bytes, digest: bytes, proof: AnchorProof) -> SlottedLink:
        """A link of our own, with the slot or its absence where it is an aggregate."""
        if kind_of(proof) is not Kind.AGGREGATE:
            return SlottedLink(link=proof, slot=None)
        closed = self.aggregator.rounds.by_root(digest)
        if closed is None:
            raise NoSlot(f"the slots under root {digest.hex()} are lost here")
        slot = await self.aggregator.proof(ledger, closed)
        return SlottedLink(link=proof, slot=slot)


def make_aggregating(
    anchoring: Anchoring, section: AggregateSection, lineage: Lineage
) -> Aggregating | None:
    """Make the node's aggregator, None where it is off. Its database lies beside the anchors."""
    if not section.enabled:
        return None
    aggregator = Aggregator(
        rounds=Rounds(anchoring.home.anchors / FILE_NAME),
        anchorer=anchoring.anchorer,
        log_key_of=log_key_of,
        now_ms=now_ms,
        ledgers_max=section.ledgers_max,
        submissions_per_hour=section.submissions_per_hour,
    )
    return Aggregating(
        anchoring=anchoring,
        aggregator=aggregator,
        lineage=lineage,
        interval_s=section.interval_s,
        poll_s=anchoring.poll_s,
    )
