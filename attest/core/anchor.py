"""Consensus-critical: the proof of a seal chain and its offline verifier.

What a chain of links shows, given the ledger's preimages, the seal key and SOUL.md:

1. The opening transaction T_0 spends the outpoint that the ledger event named beforehand.
2. Each later transaction spends the seal before it (vin[0] = previous vout[1]) by one signature
   of Q, which commits to SOUL.md, over all inputs, amounts and outputs.
3. vout[1] pays Q the same amount again, so there is exactly one next seal: two histories on one
   seal would be a double spend.
4. vout[0] commits to the digest of the preimage given for this link, and nothing else does.
5. Each transaction stands in a block of valid work at the height stated.

Heights, targets and hashes must agree wherever the links' headers overlap or touch, and
confirmations are counted through all of them together.

Not covered: that no later link exists (freshness: ask a node whether `ChainResult.seal` is
unspent), that the headers belong to the heaviest chain, the signature inside T_0 (its inclusion
and the next link's signature over its txid stand for it), handoff and recovery links, and what
the preimages say: attest compares bytes, ledger reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, unique

from attest.core import limits
from attest.core.commitment import Kind, commitment_of
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
    Header,
    Network,
    network_by_name,
    parse_header,
    verify_run,
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
    """A verified chain: its links and the seal that is unspent as far as they show."""

    network: Network
    links: tuple[LinkResult, ...]
    seal: OutPoint

    @property
    def standing(self) -> Standing:
        """That of the youngest link."""
        return self.links[-1].standing


@dataclass(frozen=True, slots=True)
class _Link:
    """A link whose own bytes hold; its place among the others is not yet checked."""

    transaction: Transaction
    txid: bytes
    kind: Kind
    height: int
    headers: tuple[Header, ...]


def verify_chain(
    *,
    opening: SealOpening,
    links: Sequence[AnchorProof],
    digests: Sequence[bytes],
    seal_key: bytes,
    soul_digest: bytes,
    network: Network,
) -> ChainResult:
    """Verify a seal chain from its opening to its youngest link.

    `digests[i]` is the SHA-256 of the preimage that link i must commit to, `seal_key` the 32-byte
    internal key P, `soul_digest` SHA-256(SOUL.md). Raises a subclass of InvalidProof, whose
    `link` names the failing link.
    """
    if network_by_name(opening.network) is not network:
        raise WrongNetwork(f"opened on {opening.network}, expected {network.name}")
    if not links or len(links) != len(digests) or len(links) > limits.LINKS_MAX:
        raise MissingLink(f"{len(links)} links for {len(digests)} digests")
    seal_script = p2tr_script(seal_output_key(seal_key, soul_digest))
    checked: list[_Link] = []
    for index, (proof, digest) in enumerate(zip(links, digests, strict=True)):
        try:
            link = _included(proof, network)
            _check_commitment(link, Kind.ANCHOR if checked else Kind.OPENING, digest)
            _check_seals(link, opening, seal_script)
            if checked:
                _check_spend(link, proof.spent, checked[-1])
            else:
                _check_opening(link, proof.spent, opening)
        except InvalidProof as error:
            error.link = index
            raise
        checked.append(link)
    confirmations = _count_confirmations(checked, network)
    return ChainResult(
        network=network,
        links=tuple(_result(link, confirmations[link.height]) for link in checked),
        seal=OutPoint(txid=checked[-1].txid, index=SEAL_INDEX),
    )


def _included(proof: AnchorProof, network: Network) -> _Link:
    """The transaction parses whole and a path leads from it to a header with work."""
    transaction = parse_transaction(proof.transaction)
    headers = tuple(parse_header(raw) for raw in proof.headers)
    verify_run(network, proof.height, headers)
    txid = transaction.txid
    root = proof.path.root(txid)
    if root != headers[0].merkle_root:
        raise BadPath(
            f"the path leads to {display(root)}, block {proof.height} "
            f"has {display(headers[0].merkle_root)}"
        )
    kind = commitment_of(transaction).kind
    return _Link(transaction, txid, kind, proof.height, headers)


def _check_commitment(link: _Link, expected: Kind, digest: bytes) -> None:
    commitment = commitment_of(link.transaction)
    if commitment.kind is not expected:
        raise WrongKind(
            f"the transaction is of kind {commitment.kind.name.lower()}, "
            f"expected {expected.name.lower()}"
        )
    if commitment.digest != digest:
        raise WrongDigest(f"commits to {commitment.digest.hex()}, expected {digest.hex()}")


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
    entry = link.transaction.inputs[0]
    expected = OutPoint(txid=before.txid, index=SEAL_INDEX)
    if entry.outpoint != expected:
        raise SealNotSpent(f"vin[0] spends {entry.outpoint}, the seal is {expected}")
    if entry.script_sig or [len(item) for item in entry.witness] != [SIGNATURE_BYTES]:
        raise WrongWitness(
            f"vin[0] has {len(entry.witness)} witness items, "
            f"expected one signature of {SIGNATURE_BYTES} bytes"
        )
    if len(spent) != len(link.transaction.inputs) - 1:
        raise WrongWitness(
            f"{len(spent)} spent outputs for {len(link.transaction.inputs) - 1} fee inputs"
        )
    seal = before.transaction.outputs[SEAL_INDEX]
    digest = key_path_sighash(link.transaction, 0, (seal, *spent))
    if not verify_key_path(seal.script[2:], digest, entry.witness[0]):
        raise BadSignature("the signature does not verify under the seal's output key")


def _count_confirmations(links: Sequence[_Link], network: Network) -> dict[int, int]:
    """Merge all headers into one chain and count, for each height, the run from it upwards.

    Raises ConflictingHeaders or OutOfOrder, which name the link that contradicts earlier ones.
    """
    seen: dict[int, bytes] = {}
    claims: dict[int, bytes] = {}
    targets: dict[int, int] = {}
    for index, link in enumerate(links):
        try:
            if index and link.height < links[index - 1].height:
                raise OutOfOrder(
                    f"block {link.height} comes before block {links[index - 1].height} "
                    f"of the link it spends"
                )
            for height, header in enumerate(link.headers, start=link.height):
                _claim(claims, height, header.hash)
                _claim(claims, height - 1, header.previous)
                _claim_target(targets, network, height, header.bits)
                seen[height] = header.hash
        except InvalidProof as error:
            error.link = index
            raise
    counts: dict[int, int] = {}
    for height in sorted(seen, reverse=True):
        counts[height] = counts.get(height + 1, 0) + 1
    return counts


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
        block_hash=link.headers[0].hash,
        time_s=link.headers[0].time_s,
        confirmations=confirmations,
    )
