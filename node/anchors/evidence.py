"""Evidence from Bitcoin, read from a home without a node: links that were kept, and receipts.

A link of the own seal is kept in <home>/anchors/proofs as soon as a block has it. What an
aggregator did for this ledger is in files that it hands out ("receipts"): one link with this
ledger's slot, or a whole segment from the seal that was delegated to.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from attest.core.aggregate import SlotProof
from attest.core.anchor import kind_of
from attest.core.commitment import Kind
from attest.core.delegation import Delegation, Segment, SlottedLink
from attest.core.errors import InvalidProof
from attest.core.proof import AnchorProof
from attest.core.transaction import parse_transaction
from attest.verify.common import AGGREGATE_ATTACHMENT, SEAL_ATTACHMENT, Place
from ledger.core import types
from ledger.core.bundle import Attachment
from ledger.core.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from ledger.core.codec import decode
from ledger.core.errors import InvalidData, Refused, TimmyError
from ledger.core.event import Event
from ledger.core.note import parse_note
from node.home import Home
from node.open import Reading

MOVES: Final = frozenset({Kind.HANDOFF, Kind.RECOVERY})
"""Links after which the seal is another key's."""
_PROOF_BYTES_MAX: Final = 1024 * 1024
"""A link with 100 headers is 10 kB."""
RECEIPT_BYTES_MAX: Final = 64 * 1024 * 1024
"""A segment of 10,000 links with one header each is 15 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A link's proof as it is kept on disk."""

    digest: bytes
    proof: AnchorProof

    @property
    def kind(self) -> Kind:
        """Of which kind the link is. Raises InvalidProof."""
        return kind_of(self.proof)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a proof needs from Bitcoin: the heads that were anchored, and the attachment.

    `also` are the positions of events that the proof must hold besides.
    """

    heads: list[SignedCheckpoint]
    also: list[int]
    attachment: Attachment


def proof_path(home: Home, index: int) -> Path:
    """Where the proof of link `index` is kept."""
    return home.proofs / f"{index:06d}.cbor"


def read_proof(path: Path) -> Kept | None:
    """Return a kept proof; None if there is none or it is damaged (it is collected again)."""
    try:
        value = decode(path.read_bytes(), bytes_max=_PROOF_BYTES_MAX)
        return Kept(digest=value["digest"], proof=AnchorProof.from_value(value["proof"]))
    except (OSError, TimmyError, KeyError, TypeError):
        return None


def anchored(home: Home) -> Iterator[Kept]:
    """The kept proofs of a home's links, the opening's first."""
    index = 0
    while (kept := read_proof(proof_path(home, index))) is not None:
        yield kept
        index += 1


def read_receipt(path: Path) -> Segment | SlottedLink:
    """Read what an aggregator handed out. Raises Refused, or TimmyError for a file."""
    return parse_receipt(receipt_bytes(path))


def receipt_bytes(path: Path) -> bytes:
    """The file, whatever is in it. Raises TimmyError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise TimmyError(
            f"{path} cannot be read: {error.strerror}", hint="check the name"
        ) from error


def parse_receipt(data: bytes) -> Segment | SlottedLink:
    """The same of bytes. Raises Refused."""
    try:
        value = decode(data, bytes_max=RECEIPT_BYTES_MAX)
        if isinstance(value, dict) and "origin" in value:
            return Segment.from_value(value)
        return SlottedLink.from_value(value)
    except (InvalidData, InvalidProof) as error:
        raise Refused(
            f"not a receipt: {error}", hint="timmy aggregate prove writes one, at the aggregator"
        ) from error


def parse_segment(data: bytes, name: str) -> Segment:
    """The same, of every link since a delegation; `name` is what it is called. Raises Refused."""
    found = parse_receipt(data)
    if not isinstance(found, Segment):
        raise Refused(
            f"{name} is of one link, and shows a time only",
            hint="ask the aggregator for all links: timmy aggregate prove --since",
        )
    return found


# ---- what the ledger says of its own anchors -----------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Own:
    """The events of the seal, by what a link is matched with, as of the first `size` of the log."""

    home: Reading
    size: int
    opened_at: list[int] = field(default_factory=list)
    notes: dict[bytes, bytes] = field(default_factory=dict)
    rounds: dict[bytes, tuple[bytes, SlotProof]] = field(default_factory=dict)
    delegations: dict[int, Delegation] = field(default_factory=dict)

    def read(self) -> "_Own":
        log = self.home.log
        for event in log.stream(types.SEAL_STREAM, last=log.size):
            if event.position < self.size:
                self._take(event)
        return self

    def _take(self, event: Event) -> None:
        payload = event.payload
        match event.type:
            case types.SEAL_OPENED.name:
                self.opened_at.append(event.position)
            case types.ANCHOR_REQUESTED.name:
                self.notes[payload["digest"]] = payload["note"]
            case types.AGGREGATED.name:
                slot = SlotProof.from_value(payload["slot"])
                self.rounds[payload["root"]] = payload["digest"], slot
            case types.SEAL_DELEGATED.name:
                found = Delegation.from_value(payload["delegation"])
                self.delegations[event.position] = found

    def head(self, digest: bytes) -> SignedCheckpoint:
        """The head behind an anchor digest. Raises Refused for another ledger's."""
        note = self.notes.get(digest)
        if note is None:
            raise Refused(
                f"no head that this ledger kept has the anchor digest {digest.hex()}: it is "
                "another ledger's, or a recovery gave it up",
                hint="ask for a later round's receipt; or prove without Bitcoin",
            )
        named = Checkpoint.parse(parse_note(note).text)
        tenure = self.home.lineage.tenure_at(named.epoch, named.size)
        return open_checkpoint(note, tenure.keys["log"])

    def link_head(self, digest: bytes) -> tuple[SignedCheckpoint, SlotProof | None]:
        """The head that an own link stands for, with its slot where the link is of a round."""
        found, slot = self.rounds.get(digest, (digest, None))
        return self.head(found), slot

    def shown(self, links: Iterable[Kept]) -> list[Kept]:
        """The links that a chain can be made of.

        A note is kept behind the head that it is of: what a recovery gives up, it gives up with its
        note. A chain goes through no link whose head is not here, or it could hide anything
        (docs/spec/bundle.md, S4). A recovery link leads past such links, from the opening's output.
        """
        found: list[Kept] = []
        whole = True
        for index, link in enumerate(links):
            here = self.rounds.get(link.digest, (link.digest,))[0] in self.notes
            whole = here and (whole or (bool(found) and link.kind is Kind.RECOVERY))
            if whole:
                found.append(link)
            elif not index:
                break
        return found

    def delegation_under(self, size: int) -> int:
        """Where the event is that a delegation whose head has `size` is about."""
        return max(position for position in self.delegations if position < size)


@dataclass(slots=True, kw_only=True)
class _Chain:
    """The attachment while it is made."""

    own: _Own
    position: int
    segments: Mapping[bytes, Segment]
    heads: list[SignedCheckpoint] = field(default_factory=list)
    links: list[Any] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    slots: list[Any] = field(default_factory=list)
    delegations: list[Any] = field(default_factory=list)
    _shown: bool = False

    @property
    def covered(self) -> bool:
        return any(self._covers(head) for head in self.heads)

    def _covers(self, head: SignedCheckpoint) -> bool:
        """Whether an anchor of `head` dates the event: not if a later epoch gave it up."""
        after, tenures = head.checkpoint.epoch + 1, self.own.home.lineage.tenures
        kept = [tenure.position for tenure in tenures if tenure.epoch == after]
        return self.position < min([head.size, *kept])

    def add(self, kept: Kept) -> None:
        head, slot = self.own.link_head(kept.digest)
        self.heads.append(head)
        self.places.append((head.checkpoint.epoch, head.size))
        self.slots.append(None if slot is None else slot.to_value())
        # Depth is counted over the link that matters; of the others one header is enough.
        proof = kept.proof
        first = self.covered and not self._shown
        self._shown |= first
        shown = proof if first else replace(proof, headers=proof.headers[:1])
        self.links.append(shown.to_value())
        if kept.kind is Kind.DELEGATION:
            self._delegate(head.size)

    def _delegate(self, size: int) -> None:
        at = self.own.delegation_under(size)
        delegation = self.own.delegations[at]
        segment = self.segments.get(delegation.outpoint.txid)
        if segment is None:
            txid = delegation.outpoint.txid[::-1].hex()
            raise Refused(
                "a part of this chain is an aggregator's, and its receipt is not here",
                hint=f"timmy aggregate prove {self.own.home.log.ledger_id.hex()} --since {txid}, "
                "at the aggregator, and prove with --receipt",
            )
        places: list[list[int] | None] = []
        for link in segment.links:
            digest = None if link.slot is None else link.slot.digest_of(self.own.home.log.ledger_id)
            head = None if digest is None else self.own.head(digest)
            self.heads += [] if head is None else [head]
            places.append(None if head is None else [head.checkpoint.epoch, head.size])
        self.delegations.append(
            {
                "link": len(self.links) - 1,
                "event": at,
                "segment": segment.to_value(),
                "heads": places,
            }
        )

    def attachment(self) -> Attachment:
        value: dict[str, Any] = {
            "links": self.links,
            "sizes": [size for _, size in self.places],
            "epochs": [epoch for epoch, _ in self.places],
        }
        if any(slot is not None for slot in self.slots):
            value["slots"] = self.slots
        if self.delegations:
            value["delegations"] = self.delegations
        return Attachment(name=SEAL_ATTACHMENT, value=value)


def evidence(
    home: Reading, position: int, segments: Sequence[Segment] = (), *, size: int | None = None
) -> Evidence:
    """Return the chain from its opening to the first anchor that covers `position`.

    It goes on to the last handoff or recovery of the seal, so that it tells whose the seal is.
    `segments` are receipts of aggregators that parts of it were delegated to. Only the first
    `size` events are looked at, if it is given: no head in it is larger.
    """
    own = _Own(home=home, size=home.log.size if size is None else size).read()
    if position in own.opened_at[:-1]:
        raise Refused(
            f"event {position} names an opening that came to nothing: a proof shows one opening",
            hint="prove it without --anchored",
        )
    by_origin = {parse_transaction(one.origin.transaction).txid: one for one in segments}
    chain = _Chain(own=own, position=position, segments=by_origin)
    links = list(anchored(home.home))
    kept = own.shown(links)
    moved = [at for at, one in enumerate(kept) if one.kind in MOVES]
    for at, one in enumerate(kept):
        if chain.covered and at > max(moved, default=0):
            break
        chain.add(one)
    if not own.opened_at or not chain.covered:
        raise _uncovered(position, given_up=links[-1:] != kept[-1:])
    also = [own.opened_at[-1], *(entry["event"] for entry in chain.delegations)]
    return Evidence(heads=chain.heads, also=also, attachment=chain.attachment())


def _uncovered(position: int, *, given_up: bool) -> Refused:
    if given_up:
        return Refused(
            f"no anchor that can be shown covers event {position}: a recovery gave up the head of "
            "an earlier link, and no chain goes through that",
            hint="leave --anchored out; timmy recover --new-keys and timmy anchor recover lead the "
            "seal past such a link",
        )
    return Refused(
        f"no anchor in a block covers event {position} yet",
        hint="timmy anchor now, then wait for a block: timmy anchor status",
    )


def anchored_size(home: Reading, *, alone: bool = True, size: int | None = None) -> int:
    """How many events the newest own anchor that is in a block covers; 0 without one.

    Of the first `size` events, as `evidence` has it.
    With `alone` links from the first delegation on are not counted: to show them takes an
    aggregator's receipt. Nor is any, if the seal moved to another key since: no chain goes on to
    there without it.
    """
    own = _Own(home=home, size=home.log.size if size is None else size).read()
    kept = own.shown(anchored(home.home))
    if alone:
        before = list(itertools.takewhile(lambda one: one.kind is not Kind.DELEGATION, kept))
        moved = any(one.kind in MOVES for one in kept[len(before) :])
        kept = [] if moved else before
    return max((own.link_head(one.digest)[0].size for one in kept), default=0)


def aggregated(home: Reading, position: int, receipt: SlottedLink) -> Evidence:
    """Return what a receipt shows of the event at `position`: a time, and no more."""
    digest = None if receipt.slot is None else receipt.slot.digest_of(home.log.ledger_id)
    if digest is None:
        raise Refused(
            "this receipt is not about this ledger: it has no slot here",
            hint=f"at the aggregator: timmy aggregate prove {home.log.ledger_id.hex()}",
        )
    head = _Own(home=home, size=home.log.size).read().head(digest)
    if head.size <= position:
        raise Refused(
            f"the receipt is of the first {head.size} events, not of event {position}",
            hint="timmy aggregate submit again, and wait for the next round",
        )
    value = {"epoch": head.checkpoint.epoch, "size": head.size, **receipt.to_value()}
    attachment = Attachment(name=AGGREGATE_ATTACHMENT, value=value)
    return Evidence(heads=[head], also=[], attachment=attachment)
