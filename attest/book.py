"""The anchorer's records behind a `StateStore`, cached in memory: one writer, no surprises."""

from dataclasses import dataclass
from typing import Final

from attest.bitcoind import Tip
from attest.core.commitment import Kind
from attest.core.errors import InvalidProof, StateDamaged
from attest.core.proof import outpoint_from_value, outpoint_to_value, take
from attest.core.transaction import OutPoint, Transaction, parse_transaction
from attest.records import HandoffRecord, LinkRecord, OpeningRecord, Variant
from attest.state import StateStore

_OPENING_KEY: Final = "opening"
_WISH_KEY: Final = "wish"
_HANDOFFS_KEY: Final = "handoffs"
_ENROLMENT_KEY: Final = "enrolment"
_LADDER_KEY: Final = "recovery"
_LOST_KEY: Final = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A digest that the next link is to commit to, and the kind of that link."""

    digest: bytes
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The coin of an opening, and a block under which it was seen to be gone."""

    outpoint: OutPoint
    height: int
    block_hash: bytes


class Book:
    """The opening, the links in order, and the digest that waits. Each write is one record."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._links: list[LinkRecord] | None = None

    async def links(self) -> list[LinkRecord]:
        """All links, the opening's first. The list is live: look, do not change."""
        if self._links is None:
            links: list[LinkRecord] = []
            while value := await self._state.get(_link_key(len(links))):
                links.append(LinkRecord.from_value(value))
            self._links = links
        return self._links

    async def save(self, index: int, record: LinkRecord) -> None:
        """Replace link `index`, or append it; durable when this returns."""
        links = await self.links()
        assert 0 <= index <= len(links)
        self._links = None  # if `put` fails midway, only the disk knows which record holds
        await self._state.put(_link_key(index), record.to_value())
        links[index : index + 1] = [record]
        self._links = links

    async def add(self, index: int, kind: Kind, variant: Variant, tip: Tip) -> None:
        """Write down one more signed variant of link `index`, or a new link, seen from `tip`."""
        links = await self.links()
        older = links[index].variants if index < len(links) else ()
        record = LinkRecord(
            kind=kind,
            variants=(*older, variant),
            since_height=tip.height,
            since_hash=tip.block_hash,
        )
        await self.save(index, record)

    async def opening(self) -> OpeningRecord | None:
        """The proposed opening, if there is one."""
        value = await self._state.get(_OPENING_KEY)
        return None if value is None else OpeningRecord.from_value(value)

    async def save_opening(self, record: OpeningRecord) -> None:
        """Write the opening; durable when this returns."""
        await self._state.put(_OPENING_KEY, record.to_value())

    async def replace_opening(self, record: OpeningRecord) -> None:
        """Write an opening in place of one whose transaction, signed or not, is never to be mined.

        Its transaction goes first, and what waited to be anchored after it: no head from before the
        new name may follow that. A crash in between leaves the older opening, lost as before.
        """
        if await self.opening() is not None:
            self._links = None
            await self._state.put(_link_key(0), {})  # an empty record ends the chain
            await self._state.put(_WISH_KEY, {})
        await self.save_opening(record)

    async def lost(self) -> Lost | None:
        """Where the opening's coin was first seen to be gone. Raises StateDamaged."""
        value = await self._state.get(_LOST_KEY)
        if not value:
            return None
        try:
            fields = take(value, outpoint=list, height=int, block=bytes)
            outpoint = outpoint_from_value(fields["outpoint"])
        except InvalidProof as error:
            raise StateDamaged(f"the record of a lost coin is damaged: {error}") from error
        return Lost(outpoint=outpoint, height=fields["height"], block_hash=fields["block"])

    async def save_lost(self, lost: Lost | None) -> None:
        """Write it, or that it is there again; durable when this returns."""
        value = {}
        if lost is not None:
            value = {
                "outpoint": outpoint_to_value(lost.outpoint),
                "height": lost.height,
                "block": lost.block_hash,
            }
        await self._state.put(_LOST_KEY, value)

    async def want(self, digest: bytes, kind: Kind = Kind.ANCHOR) -> None:
        """Write down what to anchor next; durable when this returns."""
        await self._state.put(_WISH_KEY, {"digest": digest, "kind": int(kind)})

    async def wanted(self) -> Wish | None:
        """The digest to anchor next and how, None when some link carries it already.

        That comparison, not an erased wish, is what keeps a crash between signing and anything
        later from anchoring a digest twice. A pending link carries what any of its variants does,
        a mined one only what was mined: a fresher digest that lost the race still waits.
        """
        value = await self._state.get(_WISH_KEY)
        digest: bytes | None = None if value is None else value.get("digest")
        for link in await self.links():
            variants = link.variants if link.mined is None else (link.current,)
            if any(variant.digest == digest for variant in variants):
                return None
        if value is None or digest is None:
            return None
        try:
            return Wish(digest=digest, kind=Kind(value.get("kind", Kind.ANCHOR)))
        except ValueError as error:
            raise StateDamaged(f"a wish for a link of kind {value['kind']}") from error

    async def handoffs(self) -> list[HandoffRecord]:
        """The handoffs that were asked for, oldest first."""
        value = await self._state.get(_HANDOFFS_KEY)
        return [] if value is None else HandoffRecord.list_from_value(value)

    async def save_handoffs(self, records: list[HandoffRecord]) -> None:
        """Write them all; durable when this returns."""
        await self._state.put(_HANDOFFS_KEY, {"handoffs": [one.to_value() for one in records]})

    async def enrolment(self) -> Transaction | None:
        """The last payment to a new seal key, whose vout[0] it is."""
        value = await self._state.get(_ENROLMENT_KEY)
        try:
            return None if value is None else parse_transaction(value["transaction"])
        except (InvalidProof, KeyError, TypeError) as error:
            raise StateDamaged(f"the enrolment's record is damaged: {error}") from error

    async def save_enrolment(self, transaction: Transaction) -> None:
        """Write the payment down before anybody sees it."""
        await self._state.put(_ENROLMENT_KEY, {"transaction": transaction.raw})

    async def ladder(self) -> LinkRecord | None:
        """The recovery with all its variants, those not sent yet too, lowest fee first."""
        value = await self._state.get(_LADDER_KEY)
        return None if value is None else LinkRecord.from_value(value)

    async def save_ladder(self, record: LinkRecord) -> None:
        """Write the presigned recovery; durable when this returns."""
        await self._state.put(_LADDER_KEY, record.to_value())


def _link_key(index: int) -> str:
    return f"link-{index:06d}"
