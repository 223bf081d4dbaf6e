"""Handing a seal over: the new key's enrolment, and the transaction that both keys sign.

    enrolment   a payment to the new seal key, out of the funding address: written down before it
                is sent, sent again until a block has it, paid anew if its coins are gone
    handoff     vin[0] the seal, vin[1] the enrolment, and all old funding coins that are worth
                their fee: the money moves along, the change goes to the new funding address

Anybody may have paid the new seal key before; then that coin is the enrolment.
Not covered: coins that reach the old funding address later (its key is kept while there are any).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from attest.bitcoind import Bitcoind, View
from attest.book import Book
from attest.core import limits
from attest.core.errors import FeeTooHigh, NotFunded, Refused, RpcError
from attest.core.seal import Coin, Draft, Fee, handoff_draft
from attest.core.transaction import OutPoint, Transaction
from attest.funding import Purse, current_feerate
from attest.keyring import Keyring, Keys
from attest.opinion import check_opinion
from attest.records import HandoffRecord

_ROOM: Final = limits.FEE_INPUTS_MAX - 1
"""Fee coins of a handoff: the enrolment is one of its inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From whose keys to whose the seal goes, over which digest."""

    old: Keys
    new: Keys
    digest: bytes


class Handover:
    """What an Anchorer knows of handoffs. Called under the Anchorer's lock."""

    def __init__(self, book: Book, keyring: Keyring) -> None:
        self._book = book
        self._keyring = keyring

    async def want(self, record: HandoffRecord) -> None:
        """Write down that a seal is to be handed over; what waited to be anchored is under it."""
        known = await self._book.handoffs()
        if record not in known:
            await self._book.want(record.digest)
            others = [one for one in known if one.old != record.old]
            await self._book.save_handoffs([*others, record])

    async def step_from(self, seal_script: bytes) -> Step:
        """The handoff that a seal of another key waits for. Raises Refused if there is none."""
        wanted = [one for one in await self._book.handoffs() if one.old == seal_script]
        if not wanted:
            raise Refused(
                "the seal is not this key's, and no handoff leads from its key to this one",
                hint="after a recovery with new keys: timmy anchor recover --kit FILE",
            )
        old, new = (self._keyring.of_seal(s) for s in (seal_script, wanted[0].new))
        if old is None or new is None:
            raise Refused(
                "the seal is to be handed over, and its old key is not here any more",
                hint="restore the old keystore; if the keys were recovered since: "
                "timmy anchor recover --kit FILE",
            )
        return Step(old=old, new=new, digest=wanted[0].digest)

    async def enrolment(self, view: View, step: Step) -> Coin | None:
        """A coin of the new seal key that is in a block, or None while there is none.

        Pays for one, or sends the payment again. Raises NotFunded or FeeTooHigh.
        """
        script = step.new.seal.script
        paid = await self._book.enrolment()
        if paid is None or paid.outputs[0].script != script:
            found = await view.node.coins(script, height=view.tip.height)
            if found:
                return max(found, key=lambda coin: coin.output.value_sat)
            await self._pay(view, step)
            return None
        coin = _enrolled(paid)
        if await view.node.unspent(coin.outpoint, confirmed=True) is not None:
            return coin
        if not await self.send_enrolment(view.node):
            await self._pay(view, step)
        return None

    async def send_enrolment(self, node: Bitcoind) -> bool:
        """See that the payment is in the mempool or a block; False if the node refuses it."""
        paid = await self._book.enrolment()
        if paid is None:
            return False
        if await node.unspent(_enrolled(paid).outpoint) is not None:
            return True
        try:
            await node.send(paid.raw)
        except RpcError:
            return False
        return True

    async def _pay(self, view: View, step: Step) -> None:
        script = step.new.seal.script
        try:
            draft = await _purse(step.old).enrolment(view, seal_script=script)
        except NotFunded:
            draft = await _purse(step.new).enrolment(view, seal_script=script)
        transaction = self._keyring.sign_enrolment(draft, script)
        check_opinion(transaction)
        await self._book.save_enrolment(transaction)
        await view.node.send(transaction.raw)

    async def draft(
        self,
        view: View,
        *,
        seal: Coin,
        enrolment: Coin,
        step: Step,
        before: Sequence[Coin] = (),
        fee: Fee | None = None,
    ) -> Draft:
        """The handoff of `seal`, paid by all old coins that fit. Raises NotFunded, FeeTooHigh.

        `before` are the fee coins of the variant that it replaces: those still there come first.
        """
        chosen = fee or Fee(sat_per_kvb=await current_feerate(view.node))

        def build(coins: Sequence[Coin], fee: Fee) -> Draft:
            return handoff_draft(
                seal=seal,
                enrolment=enrolment,
                fee_coins=coins,
                digest=step.digest,
                change_script=step.new.funding.script,
                fee=fee,
            )

        coins = [
            coin
            for coin in before
            if await view.node.unspent(coin.outpoint, confirmed=True) is not None
        ]
        least_sat = limits.INPUT_VBYTES * chosen.sat_per_kvb // 1000
        coins += [
            coin
            for coin in await _purse(step.old).coins(view)
            if coin not in coins and coin.output.value_sat > least_sat
        ]
        coins = coins[:_ROOM]
        while coins:
            try:
                return build(coins, chosen)
            except FeeTooHigh:
                coins = coins[: len(coins) // 2]  # the rest stays: what it costs to move is capped
            except NotFunded:
                break
        return await _purse(step.new).afford(view, build, coins, chosen, room=_ROOM)


def _purse(keys: Keys) -> Purse:
    return Purse(funding_script=keys.funding.script, seal_script=keys.seal.script)


def _enrolled(paid: Transaction) -> Coin:
    return Coin(outpoint=OutPoint(txid=paid.txid, index=0), output=paid.outputs[0])
