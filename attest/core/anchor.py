"""Consensus-critical: the proof of a seal chain and its offline verifier.

What a chain of links shows, given the ledger's preimages, the seal keys and SOUL.md:

1. The opening transaction T_0 spends the outpoint that the ledger event named beforehand.
2. Each later transaction spends the seal before it (vin[0] = previous vout[1]) by one signature
   of Q, which commits to SOUL.md, over all inputs, amounts and outputs.
3. vout[1] pays the same amount again, so there is exactly one next seal: two histories on one
   seal would be a double spend. It pays the same Q, except in a handoff, where it pays the new
   instance's Q, and vin[1] spends an output of that Q: both have signed the one transaction.
4. A recovery spends the one-shot recovery seal of T_0 instead, and the chain goes on from it.
   A link after a delegation (kind 5) is an anchor under the same key, its return, or a recovery.
5. vout[0] commits to the digest of the preimage given for this link, and nothing else does.
6. Each transaction stands in a block of valid work at the height stated.

Heights, targets and hashes must agree wherever the links' headers overlap or touch, and
confirmations are counted through all of them together.

Not covered: that no later link exists (freshness: ask a node whether `ChainResult.seal` is
unspent), that the headers belong to the heaviest chain, the signature inside T_0 (its inclusion
and the next link's signature over its txid stand for it), and what the preimages say: attest
compares bytes, ledger reads them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, unique

from attest.core import limits
from attest.core.commitment import Commitment, Kind, commitment_of
from attest.core.errors import (
    BadPath,
    BadSignature,
    ConflictingHeaders,
    InvalidProof,
    MissingLink,
    OutOfOrder,
    SealNotSpent,
    WrongDigest,
    WrongKind,
    WrongNetwork,
    WrongSeal,
    WrongWitness,
)
from attest.core.header import (
    PERIOD_BLOCKS,
    HeaderRun,
    Network,
    network_by_name,
    verify_headers,
)
from attest.core.proof import AnchorProof, SealOpening
from attest.core.seal import RECOVERY_INDEX, SEAL_INDEX
from attest.core.taproot import (
    SIGNATURE_BYTES,
    key_path_sighash,
    p2tr_script,
    seal_output_key,
    verify_key_path,
)
from attest.core.transaction import (
    OutPoint,
    Transaction,
    TxOut,
    display,
    parse_transaction,
)


@unique
class Standing(IntEnum):
    """How deep a link is buried. Computed from blocks seen, never stored."""

    PENDING = 0
    SEEN = 1
    CONFIRMED = 2
    FINAL = 3


def standing_of(confirmations: int) -> Standing:
    """0 is pending, 1 to 5 seen, from 6 confirmed, from 100 final."""
    if confirmations >= limits.FINAL_BLOCKS:
        return Standing.FINAL
    if confirmations >= limits.CONFIRMED_BLOCKS:
        return Standing.CONFIRMED
    return Standing.SEEN if confirmations > 0 else Standing.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkResult:
    """One verified link. Its preimage existed no later than `time_s` + 2 hours (Unix seconds)."""

    kind: Kind
    txid: bytes
    height: int
    block_hash: bytes
    time_s: int
    confirmations: int

    @property
    def standing(self) -> Standing:
        """How deep the supplied headers bury this link."""
        return standing_of(self.confirmations)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainResult:
    """A verified chain: its links and the seal that is unspent as far as they show.

    `blocks` are the hashes of all blocks that the headers name, by height.
    """

    network: Network
    links: tuple[LinkResult, ...]
    seal: OutPoint
    blocks: Mapping[int, bytes]

    @property
    def standing(self) -> Standing:
        """That of the youngest link."""
        return self.links[-1].standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a link must do: commit to `digest` and leave a seal of `seal_key`, 32 bytes each.

    The key may differ from the one before only in a handoff or a recovery.
    """

    digest: bytes
    seal_key: bytes


@dataclass(frozen=True, slots=True)
class _Link:
    """A link whose own bytes hold; its place among the others is not yet checked."""

    transaction: Transaction
    txid: bytes
    commitment: Commitment
    run: HeaderRun

    @property
    def kind(self) -> Kind:
        return self.commitment.kind

    @property
    def height(self) -> int:
        return self.run.height


def verify_chain(
    *,
    opening: SealOpening,
    links: Sequence[AnchorProof],
    steps: Sequence[Step],
    soul_digest: bytes,
    network: Network,
    kinds: Collection[Kind] = (Kind.ANCHOR,),
) -> ChainResult:
    """Verify a seal chain from its opening to its youngest link.

    `steps[i]` is what link i must do (of kind 4 the digest is the root of its tree); `soul_digest`
    is SHA-256(SOUL.md), `kinds` what a link under the key before it may be. Raises a subclass of
    InvalidProof, whose `link` names the failing link.
    """
    checked = _walked(opening, links, steps, soul_digest, network, kinds)
    return _chain(checked, network, *_count_confirmations(checked, network))


def _walked(
    opening: SealOpening,
    links: Sequence[AnchorProof],
    steps: Sequence[Step],
    soul_digest: bytes,
    network: Network,
    kinds: Collection[Kind],
) -> list[_Link]:
    """Each link checked in its place; their headers are not yet compared with one another."""
    if network_by_name(opening.network) is not network:
        raise WrongNetwork(f"opened on {opening.network}, expected {network.name}")
    if not links or len(links) != len(steps) or len(links) > limits.LINKS_MAX:
        raise MissingLink(f"{len(links)} links for {len(steps)} digests")
    walk = _Walk(opening, soul_digest, kinds)
    for index, (proof, step) in enumerate(zip(links, steps, strict=True)):
        try:
            walk.take(_included(proof, network), proof.spent, step)
        except InvalidProof as error:
            error.link = index
            raise
    return walk.links


def _chain(
    checked: Sequence[_Link],
    network: Network,
    confirmations: Mapping[int, int],
    blocks: Mapping[int, bytes],
) -> ChainResult:
    return ChainResult(
        network=network,
        links=tuple(_result(link, confirmations[link.height]) for link in checked),
        seal=OutPoint(txid=checked[-1].txid, index=SEAL_INDEX),
        blocks=blocks,
    )


def kind_of(proof: AnchorProof) -> Kind:
    """What a link says it is; nothing of it is verified. Raises InvalidProof."""
    return commitment_of(parse_transaction(proof.transaction)).kind


class _Walk:
    """The state of a walk along a chain: the links so far, and whose the seal is."""

    def __init__(self, opening: SealOpening, soul_digest: bytes, kinds: Collection[Kind]) -> None:
        self.links: list[_Link] = []
        self._opening = opening
        self._soul = soul_digest
        self._kinds = kinds
        self._key = b""
        self._script = b""

    def take(self, link: _Link, spent: tuple[TxOut, ...], step: Step) -> None:
        """Check the next link and step onto it."""
        same = step.seal_key == self._key
        script = self._script if same else p2tr_script(seal_output_key(step.seal_key, self._soul))
        _check_commitment(link, self._allowed(link.kind, same=same), step.digest)
        _check_seals(link, self._opening, script)
        if link.kind is Kind.OPENING:
            _check_opening(link, spent, self._opening)
        elif link.kind is Kind.RECOVERY:
            _check_recovery(link, spent, self.links[0], self._opening)
        else:
            _check_spend(link, spent, self.links[-1])
        if link.kind is Kind.HANDOFF:
            _check_enrolment(link, spent, self.links[-1], script)
        self.links.append(link)
        self._key, self._script = step.seal_key, script

    def _allowed(self, kind: Kind, *, same: bool) -> Kind:
        """The kind that this link must be of; `kind` itself where several may be.

        Raises WrongKind for a handoff of a seal that is delegated.
        """
        if not self.links:
            return Kind.OPENING
        delegated = self.links[-1].kind is Kind.DELEGATION
        if same:
            return kind if kind in self._kinds and not delegated else Kind.ANCHOR
        if kind is Kind.RECOVERY and all(link.kind is not kind for link in self.links):
            return kind
        if delegated:
            raise WrongKind("a handoff of a seal that is delegated: it must be returned first")
        return Kind.HANDOFF


def _included(proof: AnchorProof, network: Network) -> _Link:
    """The transaction parses whole and a path leads from it to a header with work."""
    transaction = parse_transaction(proof.transaction)
    run = verify_headers(network, proof.height, b"".join(proof.headers))
    txid = transaction.txid
    root = proof.path.root(txid)
    if root != run.first.merkle_root:
        raise BadPath(
            f"the path leads to {display(root)}, block {proof.height} "
            f"has {display(run.first.merkle_root)}"
        )
    return _Link(transaction, txid, commitment_of(transaction), run)


def _check_commitment(link: _Link, expected: Kind, digest: bytes) -> None:
    if link.kind is not expected:
        raise WrongKind(
            f"the transaction is of kind {link.kind.name.lower()}, expected {expected.name.lower()}"
        )
    if link.commitment.digest != digest:
        raise WrongDigest(f"commits to {link.commitment.digest.hex()}, expected {digest.hex()}")


def _check_seals(link: _Link, opening: SealOpening, seal_script: bytes) -> None:
    """vout[1] is the next seal, and in an opening that names one, vout[2] the recovery seal."""
    expected = {SEAL_INDEX: TxOut(value_sat=opening.seal_sat, script=seal_script)}
    if link.kind is Kind.OPENING and opening.recovery is not None:
        expected[RECOVERY_INDEX] = opening.recovery
    for index, output in expected.items():
        if link.transaction.outputs[index : index + 1] != (output,):
            raise WrongSeal(
                f"vout[{index}] does not pay {output.value_sat} sat to {output.script.hex()}"
            )


def _check_opening(link: _Link, spent: tuple[TxOut, ...], opening: SealOpening) -> None:
    if spent:
        raise WrongWitness(f"{len(spent)} spent outputs beside an opening, expected none")
    actual = link.transaction.inputs[0].outpoint
    if actual != opening.outpoint:
        raise SealNotSpent(f"vin[0] spends {actual}, the opening names {opening.outpoint}")


def _check_spend(link: _Link, spent: tuple[TxOut, ...], before: _Link) -> None:
    """vin[0] spends the seal before it, by one signature of its key over everything."""
    expected = OutPoint(txid=before.txid, index=SEAL_INDEX)
    _check_first_input(link, spent, expected, before.transaction.outputs[SEAL_INDEX])


def _check_recovery(
    link: _Link, spent: tuple[TxOut, ...], first: _Link, opening: SealOpening
) -> None:
    """vin[0] spends the recovery seal, by one signature of the recovery key over everything."""
    if opening.recovery is None:
        raise SealNotSpent("a recovery of a seal that was opened without a recovery seal")
    expected = OutPoint(txid=first.txid, index=RECOVERY_INDEX)
    _check_first_input(link, spent, expected, opening.recovery)


def _check_first_input(
    link: _Link, spent: tuple[TxOut, ...], expected: OutPoint, seal: TxOut
) -> None:
    actual = link.transaction.inputs[0].outpoint
    if actual != expected:
        raise SealNotSpent(f"vin[0] spends {actual}, the seal is {expected}")
    if len(spent) != len(link.transaction.inputs) - 1:
        raise WrongWitness(
            f"{len(spent)} spent outputs for {len(link.transaction.inputs) - 1} fee inputs"
        )
    _check_signature(link, 0, (seal, *spent))


def _check_enrolment(link: _Link, spent: tuple[TxOut, ...], before: _Link, script: bytes) -> None:
    """vin[1] of a handoff spends an output of the new seal key: the new instance agrees."""
    if not spent or spent[0].script != script:
        raise SealNotSpent("vin[1] of a handoff does not spend an output of the new seal key")
    _check_signature(link, 1, (before.transaction.outputs[SEAL_INDEX], *spent))


def _check_signature(link: _Link, index: int, spent: tuple[TxOut, ...]) -> None:
    """The input is one signature of its output's key over everything (SIGHASH_DEFAULT)."""
    entry = link.transaction.inputs[index]
    if entry.script_sig or [len(item) for item in entry.witness] != [SIGNATURE_BYTES]:
        raise WrongWitness(
            f"vin[{index}] has {len(entry.witness)} witness items, "
            f"expected one signature of {SIGNATURE_BYTES} bytes"
        )
    digest = key_path_sighash(link.transaction, index, spent)
    if not verify_key_path(spent[index].script[2:], digest, entry.witness[0]):
        whose = "the new" if index else "the"
        raise BadSignature(f"the signature does not verify under {whose} seal's output key")


def _count_confirmations(
    links: Sequence[_Link], network: Network
) -> tuple[dict[int, int], dict[int, bytes]]:
    """Merge all headers into one chain and count, for each height, the run from it upwards.

    Returns these counts, and the block hashes that the headers name.

    Raises ConflictingHeaders or OutOfOrder, which name the link that contradicts earlier ones.
    """
    seen: set[int] = set()
    claims: dict[int, bytes] = {}
    targets: dict[int, int] = {}
    for index, link in enumerate(links):
        try:
            if index and link.height < links[index - 1].height:
                raise OutOfOrder(
                    f"block {link.height} comes before block {links[index - 1].height} "
                    f"of the link it spends"
                )
            run = link.run
            _claim(claims, run.height - 1, run.first.previous)
            for height, block_hash in enumerate(run.hashes, start=run.height):
                _claim(claims, height, block_hash)
            # Not longer than a period, a link's run touches two at most.
            _claim_target(targets, network, run.height, run.first.bits)
            _claim_target(targets, network, run.tip_height, run.last_bits)
            seen.update(range(run.height, run.tip_height + 1))
        except InvalidProof as error:
            error.link = index
            raise
    counts: dict[int, int] = {}
    for height in sorted(seen, reverse=True):
        counts[height] = counts.get(height + 1, 0) + 1
    return counts, claims


def _claim(claims: dict[int, bytes], height: int, block_hash: bytes) -> None:
    known = claims.setdefault(height, block_hash)
    if known != block_hash:
        raise ConflictingHeaders(
            f"two blocks at height {height}: {display(known)} and {display(block_hash)}"
        )


def _claim_target(targets: dict[int, int], network: Network, height: int, bits: int) -> None:
    """One target per period of 2016 blocks; one for ever where nothing retargets."""
    period = height // PERIOD_BLOCKS if network.retargets else 0
    known = targets.setdefault(period, bits)
    if known != bits:
        raise ConflictingHeaders(f"two targets around height {height}: {known:08x} and {bits:08x}")


def _result(link: _Link, confirmations: int) -> LinkResult:
    return LinkResult(
        kind=link.kind,
        txid=link.txid,
        height=link.height,
        block_hash=link.run.first.hash,
        time_s=link.run.first.time_s,
        confirmations=confirmations,
    )
