"""Two seals on one forged chain: a ledger's own, and that of the aggregator it delegates to.

    height  90  aggregator: opening          100  own: opening
           102  aggregator: aggregate, without this ledger
           103  own: anchor                  104  own: delegation, which names the seal of 90
           105  aggregator: aggregate, with its slot
           106  aggregator: an anchor of its own
           108  aggregator: aggregate, with its slot
           110  own: anchor, the return      112  aggregator: aggregate, without this ledger

All is signed and in blocks of its own; the same bytes in every run.
"""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cache

from attest.core.aggregate import AggregateTree
from attest.core.anchor import Step
from attest.core.commitment import Kind
from attest.core.delegation import (
    Delegated,
    Delegation,
    Segment,
    SlottedLink,
    verify_delegated,
    verify_own,
)
from attest.core.header import REGTEST
from attest.core.merkle import MerklePath
from attest.core.proof import AnchorProof, SealOpening
from attest.core.seal import (
    Coin,
    Draft,
    Fee,
    anchor_draft,
    handoff_draft,
    opening_draft,
    recovery_draft,
    sign,
    sign_handoff,
    sign_recovery,
)
from attest.core.signer import FundingSigner, RecoverySigner, SealSigner
from attest.core.transaction import OutPoint, Transaction, TxOut, double_sha256
from tests.attest.forge import forge_link, grind_raw

FIRST_HEIGHT, LAST_HEIGHT = 90, 112
SEAL_SAT = 10_000
FEE = Fee(sat_per_kvb=1000)


def sha(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True)
class Party:
    """Somebody with a seal."""

    name: str
    heir: bool = False
    """With the seal key of after a handoff or a recovery."""

    @property
    def ledger(self) -> bytes:
        return sha(f"ledger of {self.name}")

    @property
    def seal(self) -> SealSigner:
        secret = sha(f"{'second ' * self.heir}seal of {self.name}")
        return SealSigner(secret=secret, soul_digest=sha(f"soul {self.name}"))

    @property
    def funding(self) -> FundingSigner:
        return FundingSigner(secret=sha(f"funding of {self.name}"))

    @property
    def output(self) -> TxOut:
        return TxOut(value_sat=SEAL_SAT, script=self.seal.script)

    def coin(self, number: int) -> Coin:
        outpoint = OutPoint(txid=sha(f"coin {number} of {self.name}"), index=0)
        return Coin(outpoint=outpoint, output=TxOut(value_sat=50_000, script=self.funding.script))

    @property
    def rescue(self) -> RecoverySigner:
        return RecoverySigner(secret=sha(f"recovery of {self.name}"))

    @property
    def recovery(self) -> TxOut:
        return TxOut(value_sat=SEAL_SAT, script=self.rescue.script)

    def opening(self, digest: bytes) -> Draft:
        return opening_draft(
            coins=[self.coin(0)],
            digest=digest,
            seal=self.output,
            recovery=self.recovery,
            change_script=self.funding.script,
            fee=FEE,
        )

    def next(self, parent: Transaction, kind: Kind, digest: bytes, number: int) -> Draft:
        return anchor_draft(
            seal=Coin(outpoint=OutPoint(txid=parent.txid, index=1), output=self.output),
            fee_coins=[self.coin(number)],
            digest=digest,
            change_script=self.funding.script,
            fee=FEE,
            kind=kind,
        )

    def signed(self, draft: Draft) -> Transaction:
        return sign(draft, seal=self.seal, funding=self.funding)


OWN, AGGREGATOR, OTHER = Party("own"), Party("aggregator"), Party("other")
HEIR = replace(OWN, heir=True)


def head(number: int) -> bytes:
    """The anchor digest of a head of the own ledger."""
    return sha(f"own head {number}")


def tree(**mine: bytes) -> AggregateTree:
    """A round of thirty ledgers, with the own one if its digest is given."""
    digests = {sha(f"ledger {n}"): sha(f"head of {n}") for n in range(30)}
    return AggregateTree(digests | ({OWN.ledger: mine["own"]} if mine else {}))


TREES = {102: tree(), 105: tree(own=head(5)), 108: tree(own=head(6)), 112: tree()}


@dataclass
class World:
    """Transactions by height, and the links of both seals."""

    transactions: dict[int, Transaction] = field(default_factory=dict)
    spent: dict[int, list[TxOut]] = field(default_factory=dict)
    headers: list[bytes] = field(default_factory=list)

    def mine(self, height: int, party: Party, draft: Draft) -> Transaction:
        self.transactions[height] = party.signed(draft)
        self.spent[height] = draft.spent[1:]
        return self.transactions[height]

    def seal_blocks(self) -> None:
        before = bytes(32)
        for height in range(FIRST_HEIGHT, LAST_HEIGHT + 1):
            found = self.transactions.get(height)
            root = sha(f"block {height}") if found is None else found.txid
            raw = grind_raw(previous=before, root=root, time_s=1_790_000_000 + 600 * height)
            self.headers.append(raw)
            before = double_sha256(raw)

    def link(self, height: int, blocks: int = 1) -> AnchorProof:
        start = height - FIRST_HEIGHT
        return AnchorProof(
            transaction=self.transactions[height].raw,
            spent=tuple(self.spent[height]),
            path=MerklePath(index=0, siblings=()),
            height=height,
            headers=tuple(self.headers[start : start + blocks]),
        )

    def slotted(self, height: int, blocks: int = 1) -> SlottedLink:
        slot = TREES[height].prove(OWN.ledger) if height in TREES else None
        return SlottedLink(link=self.link(height, blocks), slot=slot)


@cache
def world() -> World:
    made = World()
    theirs = made.mine(90, AGGREGATOR, AGGREGATOR.opening(sha("aggregator head 0")))
    own = made.mine(100, OWN, OWN.opening(head(0)))
    for number, height in enumerate((102, 105, 106, 108, 112), start=1):
        kind = Kind.AGGREGATE if height in TREES else Kind.ANCHOR
        digest = TREES[height].root if height in TREES else sha("aggregator head 1")
        theirs = made.mine(height, AGGREGATOR, AGGREGATOR.next(theirs, kind, digest, number))
    kinds = {103: Kind.ANCHOR, 104: Kind.DELEGATION, 110: Kind.ANCHOR}
    for number, (height, kind) in enumerate(kinds.items(), start=1):
        own = made.mine(height, OWN, OWN.next(own, kind, head(number), number))
    for height in (90, 100):
        made.spent[height] = []
    made.seal_blocks()
    return made


@dataclass(frozen=True)
class Case:
    """The arguments of `verify_own` and `verify_delegated`, to be broken one at a time."""

    opening: SealOpening
    links: tuple[AnchorProof, ...]
    digests: tuple[bytes, ...]
    delegations: dict[int, Delegated]
    ledger: bytes = OWN.ledger
    heir: bytes | None = None
    """The seal key of the last link, if it is another than that of those before it."""

    @property
    def steps(self) -> list[Step]:
        keys = [OWN.seal.public] * len(self.links)
        keys[-1] = self.heir or keys[-1]
        pairs = zip(self.digests, keys, strict=True)
        return [Step(digest=digest, seal_key=key) for digest, key in pairs]

    def verify(self):
        own = verify_own(
            opening=self.opening,
            links=self.links,
            steps=self.steps,
            soul_digest=OWN.seal.soul_digest,
            network=REGTEST,
        )
        return verify_delegated(own=own, ledger=self.ledger, delegations=self.delegations)

    def with_period(self, **changes) -> "Case":
        return replace(self, delegations={2: replace(self.delegations[2], **changes)})

    def with_delegation(self, **changes) -> "Case":
        return self.with_period(delegation=replace(self.delegations[2].delegation, **changes))

    def with_links(self, *links: SlottedLink, digests: tuple[bytes | None, ...]) -> "Case":
        segment = replace(self.delegations[2].segment, links=links)
        return self.with_period(segment=segment, digests=digests)


def delegation() -> Delegation:
    return Delegation(
        aggregator=AGGREGATOR.ledger,
        seal_key=AGGREGATOR.seal.public,
        soul_digest=AGGREGATOR.seal.soul_digest,
        network="regtest",
        outpoint=OutPoint(txid=world().transactions[90].txid, index=1),
        seal_sat=SEAL_SAT,
    )


def succeeded(kind: Kind) -> Case:
    """A handoff or a recovery right after the link that delegates."""
    made, case = world(), good()
    parent = made.transactions[104 if kind is Kind.HANDOFF else 100]
    arguments = {"digest": head(3), "change_script": OWN.funding.script, "fee": FEE}
    if kind is Kind.HANDOFF:
        seal = Coin(outpoint=OutPoint(txid=parent.txid, index=1), output=OWN.output)
        enrolment = Coin(outpoint=OutPoint(txid=sha("enrolment"), index=0), output=HEIR.output)
        draft = handoff_draft(seal=seal, enrolment=enrolment, fee_coins=[OWN.coin(7)], **arguments)
        transaction = sign_handoff(draft, old=OWN.seal, new=HEIR.seal, funding=OWN.funding)
    else:
        rescue = Coin(outpoint=OutPoint(txid=parent.txid, index=2), output=OWN.recovery)
        draft = recovery_draft(
            recovery=rescue, seal=HEIR.output, fee_coins=[OWN.coin(7)], **arguments
        )
        transaction = sign_recovery(draft, recovery=OWN.rescue, new=HEIR.seal, funding=OWN.funding)
    link = forge_link(transaction, height=120, spent=draft.spent[1:])
    return replace(
        case,
        links=(*case.links, link),
        digests=(*case.digests, head(3)),
        heir=HEIR.seal.public,
    )


SLOTS = {102: None, 105: head(5), 106: None, 108: head(6), 112: None}


def good(*, returned: bool = False, until: int = 108) -> Case:
    """A ledger that is delegated, or was."""
    made = world()
    heights = [100, 103, 104, *([110] if returned else [])]
    shown = {height: digest for height, digest in SLOTS.items() if height <= until}
    segment = Segment(
        origin=made.link(90),
        links=tuple(made.slotted(height, 3 if height == 108 else 1) for height in shown),
    )
    period = Delegated(delegation=delegation(), segment=segment, digests=tuple(shown.values()))
    return Case(
        opening=SealOpening(
            network="regtest",
            outpoint=OWN.coin(0).outpoint,
            seal_sat=SEAL_SAT,
            recovery=OWN.recovery,
        ),
        links=tuple(made.link(height) for height in heights),
        digests=tuple(head(number) for number in range(len(heights))),
        delegations={2: period},
    )
