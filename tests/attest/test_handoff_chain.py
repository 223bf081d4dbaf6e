"""Handoffs and recoveries in a seal chain: a good one, each forgery by name, and Core's consensus.

The first half forges blocks (regtest's work is two hashes); the second asks a real node whether it
would mine what is forged.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from coincurve import PrivateKey

from attest.core import errors
from attest.core.anchor import Step, verify_chain
from attest.core.commitment import Commitment, Kind
from attest.core.errors import InvalidProof, RpcError, SigningRefused
from attest.core.header import REGTEST
from attest.core.proof import SealOpening
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
from attest.core.taproot import key_path_sighash, soul_leaf, tweak_secret
from attest.core.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.attest.forge import forge_link
from tests.attest.world import FAUCET_SCRIPT, SOUL, World, digest, secret

OLD = SealSigner(secret=b"\x01" * 32, soul_digest=SOUL)
NEW = SealSigner(secret=b"\x02" * 32, soul_digest=SOUL)
LATER = SealSigner(secret=b"\x04" * 32, soul_digest=SOUL)
RECOVERY = RecoverySigner(secret=b"\x05" * 32)
FUNDING = FundingSigner(secret=b"\x03" * 32)
SEAL_SAT = 10_000
RECOVERY_OUT = TxOut(value_sat=SEAL_SAT, script=RECOVERY.script)
FEE = Fee(sat_per_kvb=1000)
ENROLMENT_SAT = 330


def coin(number: int, script: bytes = FUNDING.script, value_sat: int = 50_000) -> Coin:
    outpoint = OutPoint(txid=bytes([number]) * 32, index=number)
    return Coin(outpoint=outpoint, output=TxOut(value_sat=value_sat, script=script))


def seal_of(parent: Transaction, index: int = 1) -> Coin:
    outpoint = OutPoint(txid=parent.txid, index=index)
    return Coin(outpoint=outpoint, output=parent.outputs[index])


def opening(recovery: TxOut | None = RECOVERY_OUT) -> Draft:
    return opening_draft(
        coins=[coin(10)],
        digest=digest(0),
        seal=TxOut(value_sat=SEAL_SAT, script=OLD.script),
        recovery=recovery,
        change_script=FUNDING.script,
        fee=FEE,
    )


def anchor(parent: Transaction, number: int, seal: SealSigner) -> tuple[Draft, Transaction]:
    draft = anchor_draft(
        seal=seal_of(parent),
        fee_coins=[coin(20 + number)],
        digest=digest(number),
        change_script=FUNDING.script,
        fee=FEE,
    )
    return draft, sign(draft, seal=seal, funding=FUNDING)


def handing(parent: Transaction, number: int, to: SealSigner = NEW) -> Draft:
    return handoff_draft(
        seal=seal_of(parent),
        enrolment=coin(40 + number, to.script, ENROLMENT_SAT),
        fee_coins=[coin(20 + number)],
        digest=digest(number),
        change_script=FUNDING.script,
        fee=FEE,
    )


def handed(parent: Transaction, number: int) -> tuple[Draft, Transaction]:
    draft = handing(parent, number)
    return draft, sign_handoff(draft, old=OLD, new=NEW, funding=FUNDING)


def recovering(first: Transaction, number: int, to: SealSigner = NEW) -> Draft:
    return recovery_draft(
        recovery=seal_of(first, 2),
        seal=TxOut(value_sat=SEAL_SAT, script=to.script),
        fee_coins=[coin(20 + number)],
        digest=digest(number),
        change_script=FUNDING.script,
        fee=FEE,
    )


def recovered(first: Transaction, number: int, to: SealSigner = NEW) -> tuple[Draft, Transaction]:
    draft = recovering(first, number, to)
    return draft, sign_recovery(draft, recovery=RECOVERY, new=to, funding=FUNDING)


def thief_signs(draft: Draft, *holders: SealSigner | RecoverySigner) -> Transaction:
    """Signatures by bare keys, as whoever stole them would make them; our signers refuse."""
    secrets = {FUNDING.script: FUNDING.secret}
    for holder in holders:
        leaf = soul_leaf(SOUL) if isinstance(holder, SealSigner) else b""
        secrets[holder.script] = tweak_secret(holder.secret, leaf)
    inputs = []
    for index, entry in enumerate(draft.transaction.inputs):
        found = secrets.get(draft.spent[index].script, holders[0].secret)
        sighash = key_path_sighash(draft.transaction, index, draft.spent)
        signature = PrivateKey(found).sign_schnorr(sighash, bytes(32))
        inputs.append(replace(entry, witness=(signature,)))
    return replace(draft.transaction, inputs=tuple(inputs))


T0 = opening()
OPENED = sign(T0, seal=OLD, funding=FUNDING)
Links = list[tuple[Draft, Transaction, SealSigner]]


def verify(links: Links, *, start: tuple[Draft, Transaction] = (T0, OPENED)) -> Any:
    """Verify an opening and `links`, each with the seal key that the ledger says it must leave."""
    named = SealOpening(
        network="regtest",
        outpoint=start[0].coins[0].outpoint,
        seal_sat=SEAL_SAT,
        recovery=RECOVERY_OUT if len(start[1].outputs) > 3 else None,
    )
    chain: Links = [(*start, OLD), *links]
    proofs = [
        forge_link(transaction, height=200 + 2 * at, spent=draft.spent[1:] if at else ())
        for at, (draft, transaction, _) in enumerate(chain)
    ]
    steps = [Step(digest=digest(at), seal_key=key.public) for at, (*_, key) in enumerate(chain)]
    return verify_chain(opening=named, links=proofs, steps=steps, soul_digest=SOUL, network=REGTEST)


def link(made: tuple[Draft, Transaction], key: SealSigner) -> tuple[Draft, Transaction, SealSigner]:
    return (*made, key)


def kinds(result: Any) -> list[Kind]:
    return [one.kind for one in result.links]


def test_a_chain_goes_on_through_a_handoff():
    one = anchor(OPENED, 1, OLD)
    two = handed(one[1], 2)
    three = anchor(two[1], 3, NEW)
    result = verify([link(one, OLD), link(two, NEW), link(three, NEW)])
    assert kinds(result) == [Kind.OPENING, Kind.ANCHOR, Kind.HANDOFF, Kind.ANCHOR]
    assert result.seal == OutPoint(txid=three[1].txid, index=1)


def test_a_chain_goes_on_after_a_recovery_and_leaves_the_lost_seal_behind():
    one = anchor(OPENED, 1, OLD)
    two = recovered(OPENED, 2)
    three = anchor(two[1], 3, NEW)
    result = verify([link(one, OLD), link(two, NEW), link(three, NEW)])
    assert kinds(result) == [Kind.OPENING, Kind.ANCHOR, Kind.RECOVERY, Kind.ANCHOR]


def test_a_handoff_after_a_recovery_and_a_recovery_after_a_handoff():
    two = recovered(OPENED, 1, to=LATER)
    three_draft = handing(two[1], 2)
    three = three_draft, sign_handoff(three_draft, old=LATER, new=NEW, funding=FUNDING)
    assert kinds(verify([link(two, LATER), link(three, NEW)]))[1:] == [Kind.RECOVERY, Kind.HANDOFF]
    one = handed(OPENED, 1)
    two = recovered(OPENED, 2, to=LATER)
    assert kinds(verify([link(one, NEW), link(two, LATER)]))[1:] == [Kind.HANDOFF, Kind.RECOVERY]


# ---- forgeries -------------------------------------------------------------------------------------


def of_kind(draft: Draft, kind: Kind, number: int) -> Draft:
    """The same transaction, saying that it is of another kind."""
    first = Commitment(kind=kind, digest=digest(number)).output
    outputs = (first, *draft.transaction.outputs[1:])
    return replace(draft, transaction=replace(draft.transaction, outputs=outputs))


def paying(draft: Draft, script: bytes) -> Draft:
    """The same transaction with a next seal of another key."""
    outputs = list(draft.transaction.outputs)
    outputs[1] = replace(outputs[1], script=script)
    return replace(draft, transaction=replace(draft.transaction, outputs=tuple(outputs)))


def reordered(draft: Draft, *order: int) -> Draft:
    """The same inputs in another order."""
    inputs = tuple(draft.transaction.inputs[at] for at in order)
    return Draft(
        transaction=replace(draft.transaction, inputs=inputs),
        coins=tuple(draft.coins[at] for at in order),
    )


def two_of_the_old() -> Links:
    """(old, old): the thief of the old key alone enrols himself with the old key's own coin."""
    draft = handing(OPENED, 1, to=OLD)
    draft = paying(draft, NEW.script)
    return [(draft, thief_signs(draft, OLD), NEW)]


def claimed_enrolment() -> Links:
    """vin[1] spends the new key's coin by a signature of the old key: no block would have it."""
    draft = handing(OPENED, 1)
    return [(draft, thief_signs(draft, OLD), NEW)]


def without_enrolment() -> Links:
    draft = anchor_draft(
        seal=seal_of(OPENED),
        fee_coins=[],
        digest=digest(1),
        change_script=FUNDING.script,
        fee=Fee(sat_per_kvb=0),
    )
    draft = paying(of_kind(draft, Kind.HANDOFF, 1), NEW.script)
    return [(draft, thief_signs(draft, OLD), NEW)]


def enrolment_at_vin_2() -> Links:
    draft = reordered(handing(OPENED, 1), 0, 2, 1)
    return [(draft, thief_signs(draft, OLD, NEW), NEW)]


def seal_to_another_key() -> Links:
    draft = paying(handing(OPENED, 1), LATER.script)
    return [(draft, thief_signs(draft, OLD, NEW), NEW)]


def key_that_the_ledger_does_not_name() -> Links:
    return [link(handed(OPENED, 1), LATER)]


def handoff_to_oneself() -> Links:
    draft = handing(OPENED, 1, to=OLD)
    return [(draft, thief_signs(draft, OLD), OLD)]


def anchor_that_changes_the_key() -> Links:
    draft = paying(of_kind(handing(OPENED, 1), Kind.ANCHOR, 1), NEW.script)
    return [(draft, thief_signs(draft, OLD, NEW), NEW)]


def anchor_by_the_old_key_after_the_handoff() -> Links:
    one = handed(OPENED, 1)
    draft, _ = anchor(one[1], 2, NEW)
    return [link(one, NEW), (draft, thief_signs(replace_script(draft), OLD), NEW)]


def replace_script(draft: Draft) -> Draft:
    """The old key signs as if the seal were its own: over a script that is not the coin's."""
    first, *rest = draft.coins
    claimed = replace(first, output=replace(first.output, script=OLD.script))
    return replace(draft, coins=(claimed, *rest))


def old_seal_spent_again_after_the_handoff() -> Links:
    """The old key goes on from the seal before the handoff: a double spend."""
    return [link(handed(OPENED, 1), NEW), link(anchor(OPENED, 2, OLD), OLD)]


def second_recovery() -> Links:
    one = recovered(OPENED, 1)
    return [link(one, NEW), link(recovered(OPENED, 2, to=LATER), LATER)]


def recovery_of_the_seal() -> Links:
    """A thief of the seal key alone calls his anchor a recovery."""
    draft, _ = anchor(OPENED, 1, OLD)
    draft = paying(of_kind(draft, Kind.RECOVERY, 1), NEW.script)
    return [(draft, thief_signs(draft, OLD), NEW)]


def recovery_by_the_old_key() -> Links:
    draft = recovering(OPENED, 1)
    claimed = replace(
        draft,
        coins=(
            replace(draft.coins[0], output=replace(RECOVERY_OUT, script=OLD.script)),
            *draft.coins[1:],
        ),
    )
    return [(draft, thief_signs(claimed, OLD), NEW)]


def recovery_that_keeps_the_key() -> Links:
    draft = recovering(OPENED, 1, to=OLD)
    return [(draft, thief_signs(draft, RECOVERY), OLD)]


def recovery_of_another_amount() -> Links:
    draft = recovering(OPENED, 1)
    outputs = list(draft.transaction.outputs)
    outputs[1] = replace(outputs[1], value_sat=SEAL_SAT - 1)
    draft = replace(draft, transaction=replace(draft.transaction, outputs=tuple(outputs)))
    return [(draft, thief_signs(draft, RECOVERY), NEW)]


FORGED: list[tuple[type[InvalidProof], int, Callable[[], Links]]] = [
    (errors.SealNotSpent, 1, two_of_the_old),
    (errors.BadSignature, 1, claimed_enrolment),
    (errors.SealNotSpent, 1, without_enrolment),
    (errors.SealNotSpent, 1, enrolment_at_vin_2),
    (errors.WrongSeal, 1, seal_to_another_key),
    (errors.WrongSeal, 1, key_that_the_ledger_does_not_name),
    (errors.WrongKind, 1, handoff_to_oneself),
    (errors.WrongKind, 1, anchor_that_changes_the_key),
    (errors.BadSignature, 2, anchor_by_the_old_key_after_the_handoff),
    (errors.WrongKind, 2, old_seal_spent_again_after_the_handoff),
    (errors.WrongKind, 2, second_recovery),
    (errors.SealNotSpent, 1, recovery_of_the_seal),
    (errors.BadSignature, 1, recovery_by_the_old_key),
    (errors.WrongKind, 1, recovery_that_keeps_the_key),
    (errors.WrongSeal, 1, recovery_of_another_amount),
]


@pytest.mark.parametrize(
    ("error", "at", "forged"), FORGED, ids=[case[2].__name__ for case in FORGED]
)
def test_each_forgery_is_named(error, at, forged):
    links = forged()
    with pytest.raises(InvalidProof) as caught:
        verify(links)
    assert (type(caught.value), caught.value.link) == (error, at)


def test_a_seal_that_was_opened_without_a_recovery_seal_is_not_recovered():
    draft = opening(recovery=None)
    opened = sign(draft, seal=OLD, funding=FUNDING)
    forged = recovering(OPENED, 1)
    with pytest.raises(errors.SealNotSpent, match="without a recovery seal"):
        verify([(forged, thief_signs(forged, RECOVERY), NEW)], start=(draft, opened))


def test_an_enrolment_witness_is_one_signature_of_64_bytes():
    draft, good = handed(OPENED, 1)
    first, enrolment, *rest = good.inputs
    for witness, script_sig in (
        ((), b""),
        ((*enrolment.witness, b"\x50"), b""),
        ((enrolment.witness[0] + b"\x01",), b""),
        (enrolment.witness, b"\x51"),
    ):
        bad = replace(enrolment, witness=witness, script_sig=script_sig)
        with pytest.raises(errors.WrongWitness, match=r"vin\[1\]"):
            verify([(draft, replace(good, inputs=(first, bad, *rest)), NEW)])


# ---- signers ---------------------------------------------------------------------------------------


def test_a_signer_signs_no_handoff_and_no_recovery_that_it_was_not_asked_for():
    draft = handing(OPENED, 1)
    transaction, spent = draft.transaction, draft.spent
    with pytest.raises(SigningRefused, match="kind handoff"):
        OLD.sign(transaction, 0, spent)
    with pytest.raises(SigningRefused, match="not the next seal"):
        OLD.hand_over(transaction, 0, spent, successor=LATER.script)
    with pytest.raises(SigningRefused, match="input 1 of a transaction"):
        OLD.hand_over(transaction, 1, spent, successor=NEW.script)
    with pytest.raises(SigningRefused, match="not this signer's"):
        NEW.hand_over(transaction, 0, spent, successor=NEW.script)
    with pytest.raises(SigningRefused, match="input 0 of a transaction"):
        NEW.accept(transaction, 0, spent)
    with pytest.raises(SigningRefused, match="not the next seal"):
        LATER.accept(transaction, 1, spent)
    with pytest.raises(SigningRefused, match="kind handoff"):
        RECOVERY.sign(transaction, 0, spent, successor=NEW.script)
    less = replace(draft.transaction.outputs[1], value_sat=SEAL_SAT - 1)
    cheaper = replace(transaction, outputs=(transaction.outputs[0], less))
    with pytest.raises(SigningRefused, match="same amount"):
        OLD.hand_over(cheaper, 0, spent, successor=NEW.script)
    draft = recovering(OPENED, 1)
    with pytest.raises(SigningRefused, match="not the next seal"):
        RECOVERY.sign(draft.transaction, 0, draft.spent, successor=LATER.script)
    with pytest.raises(SigningRefused, match="input 1 of a transaction"):
        RECOVERY.sign(draft.transaction, 1, draft.spent, successor=NEW.script)
    assert RECOVERY.secret.hex() not in repr(RECOVERY)


# ---- Core's consensus ------------------------------------------------------------------------------


async def enrol(world: World, seal: SealSigner) -> Coin:
    """A confirmed coin of the new seal key, paid by somebody."""
    tip = await world.node.tip()
    coins = await world.node.coins(FAUCET_SCRIPT, height=tip.height)
    faucet = max(coins, key=lambda one: one.output.value_sat)
    left = TxOut(value_sat=faucet.output.value_sat - 10_000, script=FAUCET_SCRIPT)
    paid = Transaction(
        version=2,
        inputs=(TxIn(outpoint=faucet.outpoint, sequence=0xFFFFFFFD, witness=(b"\x51",)),),
        outputs=(TxOut(value_sat=ENROLMENT_SAT, script=seal.script), left),
    )
    await world.node.send(paid.raw)
    await world.mine()
    return seal_of(paid, 0)


async def handoff_on(world: World, enrolment: Coin) -> Draft:
    """A handoff of the world's one seal, not signed."""
    tip = await world.node.tip()
    [seal] = await world.node.coins(world.seal.script, height=tip.height)
    fees = await world.node.coins(world.funding.script, height=tip.height)
    return handoff_draft(
        seal=seal,
        enrolment=enrolment,
        fee_coins=fees,
        digest=digest("handoff"),
        change_script=world.funding.script,
        fee=Fee(sat_per_kvb=2000),
    )


async def consensus_refuses(world: World, forged: Transaction) -> None:
    before = await world.node.tip()
    with pytest.raises(RpcError) as caught:
        await world.mine_only(forged)
    assert caught.value.code == -25
    assert await world.node.tip() == before


async def test_consensus_takes_the_true_handoff_and_refuses_each_forged_one(world):
    new = SealSigner(secret=secret(), soul_digest=SOUL)
    stranger = SealSigner(secret=secret(), soul_digest=SOUL)
    await world.opened()
    draft = await handoff_on(world, await enrol(world, new))
    true = sign_handoff(draft, old=world.seal, new=new, funding=world.funding)
    seal, enrolment, *fees = true.inputs

    by_old = PrivateKey(tweak_secret(world.seal.secret, soul_leaf(SOUL)))
    by_stranger = PrivateKey(tweak_secret(stranger.secret, soul_leaf(SOUL)))
    for index, key in ((0, by_stranger), (1, by_old), (1, by_stranger)):
        sighash = key_path_sighash(draft.transaction, index, draft.spent)
        forged = list(true.inputs)
        witness = (key.sign_schnorr(sighash, bytes(32)),)
        forged[index] = replace(forged[index], witness=witness)
        await consensus_refuses(world, replace(true, inputs=tuple(forged)))
    for inputs in ((seal, replace(enrolment, witness=()), *fees), (enrolment, seal, *fees)):
        await consensus_refuses(world, replace(true, inputs=inputs))
    outputs = list(true.outputs)
    outputs[1] = replace(outputs[1], script=stranger.script)
    await consensus_refuses(world, replace(true, outputs=tuple(outputs)))

    await world.mine_only(true)
    [after] = await world.node.coins(new.script, height=(await world.node.tip()).height)
    assert after.outpoint == OutPoint(txid=true.txid, index=1)


async def test_consensus_refuses_the_old_key_after_the_handoff(world):
    new = SealSigner(secret=secret(), soul_digest=SOUL)
    await world.opened()
    await world.fund(20_000)
    draft = await handoff_on(world, await enrol(world, new))
    rival = anchor_draft(
        seal=draft.coins[0],
        fee_coins=draft.coins[2:],
        digest=digest("the old key goes on"),
        change_script=world.funding.script,
        fee=Fee(sat_per_kvb=2000),
    )
    await world.mine_only(sign_handoff(draft, old=world.seal, new=new, funding=world.funding))
    await consensus_refuses(world, sign(rival, seal=world.seal, funding=world.funding))
