"""The offline verifier: a good chain, and every named way to break one.

Blocks are forged (regtest's work is two hashes), transactions are really built and signed, so each
case breaks exactly the one thing it names.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from coincurve import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from attest.core import errors
from attest.core.anchor import Standing, Step, standing_of, verify_chain
from attest.core.commitment import Commitment, Kind
from attest.core.errors import InvalidProof
from attest.core.header import MAINNET, REGTEST, SIGNET
from attest.core.merkle import MerklePath
from attest.core.proof import AnchorProof, SealOpening
from attest.core.seal import Coin, Draft, Fee, anchor_draft, opening_draft, sign
from attest.core.signer import FundingSigner, SealSigner
from attest.core.taproot import (
    internal_key,
    key_path_sighash,
    p2tr_script,
    seal_output_key,
    soul_leaf,
    tweak_secret,
)
from attest.core.transaction import OutPoint, Transaction, TxOut, double_sha256
from ledger.core import codec
from tests.attest.forge import forge_link, grind_raw

SOUL = b"\x02" * 32
SEAL = SealSigner(secret=b"\x01" * 32, soul_digest=SOUL)
FUNDING = FundingSigner(secret=b"\x03" * 32)
DIGESTS = tuple(hashlib.sha256(b"%d" % number).digest() for number in range(3))
SEAL_OUT = TxOut(value_sat=10_000, script=SEAL.script)
RECOVERY = TxOut(
    value_sat=10_000, script=p2tr_script(seal_output_key(internal_key(b"\x05" * 32), SOUL))
)
FEE = Fee(sat_per_kvb=1000)


def coin(number: int, value_sat: int = 50_000) -> Coin:
    outpoint = OutPoint(txid=bytes([number]) * 32, index=number)
    return Coin(outpoint=outpoint, output=TxOut(value_sat=value_sat, script=FUNDING.script))


def opening_of(coins: Sequence[Coin], digest: bytes) -> Draft:
    return opening_draft(
        coins=coins,
        digest=digest,
        seal=SEAL_OUT,
        recovery=RECOVERY,
        change_script=FUNDING.script,
        fee=FEE,
    )


def anchor_of(parent: Transaction, digest: bytes, *coins: Coin) -> Draft:
    seal = Coin(outpoint=OutPoint(txid=parent.txid, index=1), output=SEAL_OUT)
    return anchor_draft(
        seal=seal, fee_coins=coins, digest=digest, change_script=FUNDING.script, fee=FEE
    )


def signed(draft: Draft) -> Transaction:
    return sign(draft, seal=SEAL, funding=FUNDING)


@dataclass(frozen=True)
class Chain:
    """The arguments of `verify_chain`, to be broken one at a time."""

    opening: SealOpening
    links: tuple[AnchorProof, ...]
    digests: tuple[bytes, ...] = DIGESTS
    seal_key: bytes = SEAL.public
    soul_digest: bytes = SOUL
    network: Any = REGTEST


def verify(chain: Chain):
    return verify_chain(
        opening=chain.opening,
        links=chain.links,
        steps=[Step(digest=one, seal_key=chain.seal_key) for one in chain.digests],
        soul_digest=chain.soul_digest,
        network=chain.network,
    )


T0 = opening_of([coin(10)], DIGESTS[0])
OPENED = signed(T0)
T1 = anchor_of(OPENED, DIGESTS[1], coin(11))
FIRST = signed(T1)
T2 = anchor_of(FIRST, DIGESTS[2], coin(12), coin(13, 20_000))
SECOND = signed(T2)


def fee_outputs(draft: Draft) -> list[TxOut]:
    return draft.spent[1:]


def good_chain() -> Chain:
    """Heights 200, 203, 203: the second in a block of two, with followers."""
    zero = forge_link(OPENED, height=200)
    root = double_sha256(FIRST.txid + SECOND.txid)
    block = grind_raw(root=root)
    followers = [block]
    for number in range(1, 7):
        previous = double_sha256(followers[-1])
        followers.append(grind_raw(previous=previous, time_s=1_700_000_000 + 600 * number))
    one = AnchorProof(
        transaction=FIRST.raw,
        spent=tuple(fee_outputs(T1)),
        path=MerklePath(index=0, siblings=(SECOND.txid,)),
        height=203,
        headers=tuple(followers[:2]),
    )
    two = AnchorProof(
        transaction=SECOND.raw,
        spent=tuple(fee_outputs(T2)),
        path=MerklePath(index=1, siblings=(FIRST.txid,)),
        height=203,
        headers=tuple(followers),
    )
    opening = SealOpening(
        network="regtest", outpoint=coin(10).outpoint, seal_sat=10_000, recovery=RECOVERY
    )
    return Chain(opening=opening, links=(zero, one, two))


GOOD = good_chain()


def with_link(index: int, **changes: Any) -> Chain:
    links = list(GOOD.links)
    links[index] = replace(links[index], **changes)
    return replace(GOOD, links=tuple(links))


def with_second(draft: Draft, transaction: Transaction | None = None) -> Chain:
    """The chain with another transaction in place of the last, in a block of its own."""
    link = forge_link(transaction or signed(draft), height=300, spent=fee_outputs(draft))
    return replace(GOOD, links=(*GOOD.links[:2], link))


def outputs_replaced(*outputs: TxOut) -> Chain:
    """Another last transaction, honestly signed by somebody who owns the seal key outright."""
    draft = replace(T2, transaction=replace(T2.transaction, outputs=outputs))
    return with_second(draft, resigned(draft))


def resigned(draft: Draft) -> Transaction:
    """Signatures by the bare keys: what a thief of the key could do, our signers would not."""
    transaction, spent = draft.transaction, draft.spent
    inputs = []
    for index, entry in enumerate(transaction.inputs):
        own = spent[index].script == SEAL.script
        secret = tweak_secret(SEAL.secret, soul_leaf(SOUL)) if own else FUNDING.secret
        digest = key_path_sighash(transaction, index, spent)
        signature = PrivateKey(secret).sign_schnorr(digest, bytes(32))
        inputs.append(replace(entry, witness=(signature,)))
    return replace(transaction, inputs=tuple(inputs))


def with_witness(*items: bytes, script_sig: bytes = b"") -> Chain:
    first, *rest = SECOND.inputs
    changed = replace(first, witness=items, script_sig=script_sig)
    return with_second(T2, replace(SECOND, inputs=(changed, *rest)))


def sixty_four_bytes() -> bytes:
    output = TxOut(value_sat=1, script=b"\x51" * 4)
    entry = replace(SECOND.inputs[0], witness=())
    raw = Transaction(version=1, inputs=(entry,), outputs=(output,)).raw
    assert len(raw) == 64
    return raw


def second_headers(change: Callable[[list[bytes]], list[bytes]]) -> Chain:
    return with_link(2, headers=tuple(change(list(GOOD.links[2].headers))))


def spoil(raw: bytes, position: int) -> bytes:
    return raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]


def out_of_work(raw: bytes) -> bytes:
    """The same header with a nonce that misses the target."""
    nonce = 0
    while True:
        spoiled = raw[:76] + nonce.to_bytes(4, "little")
        if double_sha256(spoiled)[31] > 0x7F:
            return spoiled
        nonce += 1


def stale(headers: list[bytes]) -> list[bytes]:
    while len(headers) < 13:
        headers.append(grind_raw(previous=double_sha256(headers[-1]), time_s=1_600_000_000))
    return headers


def other_target(headers: list[bytes]) -> list[bytes]:
    follower = grind_raw(previous=double_sha256(headers[-1]), bits=0x207FFFFE)
    return [*headers, follower]


COMMITTED = Commitment(kind=Kind.ANCHOR, digest=DIGESTS[2]).output
CHANGE = SECOND.outputs[2]
SIGNATURE = SECOND.inputs[0].witness[0]

BROKEN: list[tuple[str, type[InvalidProof], int | None, Callable[[], Chain]]] = [
    ("opened elsewhere", errors.WrongNetwork, None, lambda: replace(GOOD, network=SIGNET)),
    ("no links", errors.MissingLink, None, lambda: replace(GOOD, links=(), digests=())),
    ("a link short", errors.MissingLink, None, lambda: replace(GOOD, links=GOOD.links[:2])),
    ("a digest short", errors.MissingLink, None, lambda: replace(GOOD, digests=DIGESTS[:2])),
    ("no such key", errors.InvalidKey, 0, lambda: replace(GOOD, seal_key=bytes(32))),
    ("other key", errors.WrongSeal, 0, lambda: replace(GOOD, seal_key=internal_key(b"\x09" * 32))),
    ("other soul", errors.WrongSeal, 0, lambda: replace(GOOD, soul_digest=b"\x08" * 32)),
    ("cut short", errors.InvalidTransaction, 1, lambda: with_link(1, transaction=FIRST.raw[:-1])),
    ("tail", errors.InvalidTransaction, 1, lambda: with_link(1, transaction=FIRST.raw + b"\0")),
    (
        "64 bytes",
        errors.SixtyFourByteTransaction,
        2,
        lambda: with_link(2, transaction=sixty_four_bytes()),
    ),
    ("no commitment", errors.NoCommitment, 2, lambda: outputs_replaced(SEAL_OUT, COMMITTED)),
    (
        "two commitments",
        errors.TwoCommitments,
        2,
        lambda: outputs_replaced(COMMITTED, SEAL_OUT, COMMITTED),
    ),
    (
        "an opening later",
        errors.WrongKind,
        2,
        lambda: outputs_replaced(Commitment(kind=Kind.OPENING, digest=DIGESTS[2]).output, SEAL_OUT),
    ),
    (
        "a handoff",
        errors.WrongKind,
        2,
        lambda: outputs_replaced(Commitment(kind=Kind.HANDOFF, digest=DIGESTS[2]).output, SEAL_OUT),
    ),
    (
        "an anchor first",
        errors.WrongKind,
        0,
        lambda: replace(GOOD, links=GOOD.links[1:], digests=DIGESTS[1:]),
    ),
    (
        "other digest",
        errors.WrongDigest,
        1,
        lambda: replace(GOOD, digests=(DIGESTS[0], DIGESTS[2], DIGESTS[2])),
    ),
    (
        "other opening coin",
        errors.SealNotSpent,
        0,
        lambda: replace(GOOD, opening=replace(GOOD.opening, outpoint=coin(11).outpoint)),
    ),
    (
        "a link left out",
        errors.SealNotSpent,
        1,
        lambda: replace(
            GOOD, links=(GOOD.links[0], GOOD.links[2]), digests=(DIGESTS[0], DIGESTS[2])
        ),
    ),
    (
        "seal at vin[1]",
        errors.SealNotSpent,
        2,
        lambda: with_second(T2, replace(SECOND, inputs=SECOND.inputs[::-1])),
    ),
    (
        "less in the seal",
        errors.WrongSeal,
        2,
        lambda: outputs_replaced(COMMITTED, replace(SEAL_OUT, value_sat=9_999), CHANGE),
    ),
    (
        "more in the seal",
        errors.WrongSeal,
        2,
        lambda: outputs_replaced(COMMITTED, replace(SEAL_OUT, value_sat=10_001), CHANGE),
    ),
    ("seal at vout[2]", errors.WrongSeal, 2, lambda: outputs_replaced(COMMITTED, CHANGE, SEAL_OUT)),
    ("no next seal", errors.WrongSeal, 2, lambda: outputs_replaced(COMMITTED)),
    (
        "other amount opened",
        errors.WrongSeal,
        0,
        lambda: replace(GOOD, opening=replace(GOOD.opening, seal_sat=9_999)),
    ),
    (
        "other recovery seal",
        errors.WrongSeal,
        0,
        lambda: replace(GOOD, opening=replace(GOOD.opening, recovery=SEAL_OUT)),
    ),
    ("no witness", errors.WrongWitness, 2, with_witness),
    ("explicit sighash type", errors.WrongWitness, 2, lambda: with_witness(SIGNATURE + b"\x01")),
    ("annex", errors.WrongWitness, 2, lambda: with_witness(SIGNATURE, b"\x50" + bytes(63))),
    (
        "script sig",
        errors.WrongWitness,
        2,
        lambda: with_witness(SIGNATURE, script_sig=b"\x51"),
    ),
    ("spent outputs left out", errors.WrongWitness, 2, lambda: with_link(2, spent=())),
    ("spent outputs for T_0", errors.WrongWitness, 0, lambda: with_link(0, spent=(SEAL_OUT,))),
    ("forged", errors.BadSignature, 2, lambda: with_witness(spoil(SIGNATURE, 5))),
    ("null signature", errors.BadSignature, 2, lambda: with_witness(bytes(64))),
    (
        "a fee input's amount",
        errors.BadSignature,
        2,
        lambda: with_link(
            2,
            spent=(
                replace(GOOD.links[2].spent[0], value_sat=1),
                *GOOD.links[2].spent[1:],
            ),
        ),
    ),
    (
        "a fee input's script",
        errors.BadSignature,
        1,
        lambda: with_link(1, spent=(replace(GOOD.links[1].spent[0], script=b""),)),
    ),
    (
        "a changed path",
        errors.BadPath,
        2,
        lambda: with_link(2, path=MerklePath(index=1, siblings=(spoil(FIRST.txid, 0),))),
    ),
    (
        "the other side",
        errors.BadPath,
        2,
        lambda: with_link(2, path=replace(GOOD.links[2].path, index=0)),
    ),
    ("no path", errors.BadPath, 2, lambda: with_link(2, path=MerklePath(index=0, siblings=()))),
    (
        "the same node twice",
        errors.DuplicatedSibling,
        2,
        lambda: with_link(2, path=MerklePath(index=1, siblings=(SECOND.txid,))),
    ),
    ("79 bytes", errors.InvalidHeader, 2, lambda: second_headers(lambda h: [h[0][:-1]])),
    ("no work", errors.BadWork, 2, lambda: second_headers(lambda h: [out_of_work(h[0])])),
    (
        "no work behind it",
        errors.BadWork,
        2,
        lambda: second_headers(lambda h: [*h[:-1], out_of_work(h[-1])]),
    ),
    ("a header out", errors.BrokenHeaders, 2, lambda: second_headers(lambda h: [*h[:2], *h[3:]])),
    ("another target", errors.BadDifficulty, 2, lambda: second_headers(other_target)),
    ("time stands still", errors.BadBlockTime, 2, lambda: second_headers(stale)),
    ("two blocks at a height", errors.ConflictingHeaders, 2, lambda: with_second_at(203)),
    ("not its parent", errors.ConflictingHeaders, 2, lambda: with_second_at(205)),
    ("before its parent", errors.OutOfOrder, 2, lambda: with_link(2, height=150)),
    ("beyond all heights", errors.InvalidHeader, 2, lambda: with_link(2, height=2**31 - 1)),
]


def with_second_at(height: int) -> Chain:
    link = forge_link(SECOND, height=height, spent=fee_outputs(T2))
    return replace(GOOD, links=(*GOOD.links[:2], link))


def test_a_good_chain():
    result = verify(GOOD)
    assert [link.kind for link in result.links] == [Kind.OPENING, Kind.ANCHOR, Kind.ANCHOR]
    assert [link.height for link in result.links] == [200, 203, 203]
    # The third link's headers bury the second as well: they stand in one block.
    assert [link.confirmations for link in result.links] == [1, 7, 7]
    assert [link.standing for link in result.links] == [
        Standing.SEEN,
        Standing.CONFIRMED,
        Standing.CONFIRMED,
    ]
    assert result.standing is Standing.CONFIRMED
    assert result.seal == OutPoint(txid=SECOND.txid, index=1)
    assert result.network.is_test
    assert result.links[1].time_s == 1_700_000_000


@pytest.mark.parametrize(
    ("error", "link", "chain"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
def test_every_broken_chain_is_named(error, link, chain):
    broken = chain()
    with pytest.raises(InvalidProof) as caught:
        verify(broken)
    assert type(caught.value) is error
    assert caught.value.link == link


def test_every_error_of_a_proof_has_a_case():
    named = {case[1] for case in BROKEN}
    elsewhere = {errors.InvalidRecord}  # malformed maps, below
    # test_delegation.py and test_aggregator.py
    elsewhere |= {errors.InvalidSlot, errors.WrongSlot, errors.MissingSlot}
    elsewhere |= {errors.InvalidSubmission}
    assert named | elsewhere == {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, InvalidProof) and kind is not InvalidProof
        if not issubclass(kind, errors.InvalidTimestamp)  # of .ots files, in test_ots_codec.py
    }


def test_regtest_is_no_mainnet():
    opening = replace(GOOD.opening, network="mainnet")
    with pytest.raises(errors.BadWork) as caught:
        verify(replace(GOOD, opening=opening, network=MAINNET))
    assert caught.value.link == 0


@pytest.mark.parametrize(
    ("confirmations", "standing"),
    [(0, 0), (1, 1), (5, 1), (6, 2), (99, 2), (100, 3), (10**6, 3)],
)
def test_standing(confirmations, standing):
    assert standing_of(confirmations) is Standing(standing)


# ---- maps ----------------------------------------------------------------------------------------


def test_values_survive_cbor():
    for value in (*GOOD.links, GOOD.opening, replace(GOOD.opening, recovery=None)):
        data = codec.encode(value.to_value())
        assert type(value).from_value(codec.decode(data, bytes_max=len(data))) == value


def mutations(value: dict[str, Any]):
    for key, known in value.items():
        yield {k: v for k, v in value.items() if k != key}
        for other in (None, True, "x", -1, b"", [], {}, [None], [b"", 1], 2**63):
            if type(other) is not type(known) or other != known:
                yield value | {key: other}
    yield value | {"more": 1}


@pytest.mark.parametrize(
    "good",
    [*GOOD.links, GOOD.opening],
    ids=["opening", "one fee input", "two fee inputs", "seal opening"],
)
def test_a_changed_map_is_refused_or_means_itself(good):
    refused = 0
    for value in mutations(good.to_value()):
        try:
            assert type(good).from_value(value).to_value() == value
        except InvalidProof:
            refused += 1
    assert refused > 20


@given(st.recursive(st.none() | st.integers() | st.binary(max_size=40), st.lists))
def test_any_value_is_refused(value):
    for kind in (AnchorProof, SealOpening):
        with pytest.raises(errors.InvalidRecord):
            kind.from_value(value)


@pytest.mark.parametrize("seal_sat", [0, 329, 2**60])
def test_seals_below_dust(seal_sat):
    with pytest.raises(errors.InvalidRecord):
        replace(GOOD.opening, seal_sat=seal_sat)
