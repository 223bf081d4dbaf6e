"""Opens a node's seal and keeps anchoring digests with it, through crashes and reorganisations.

Requests are durable and do nothing else: `open` and `anchor` store a digest. `advance`, called at
every block or every few minutes, does the work in a fixed order:

1. what was mined and no longer stands where it stood goes back to pending, and
2. blocks since then are searched for every variant of every pending link (attest.scanner);
3. the first pending link is signed again if its parent was mined in another variant than the one
   it spends, if a coin that was to pay its fee is gone, or if the mempool forgot it and takes
   nothing any more at what it pays;
4. if nothing is pending, the seal must be unspent (`SealLost`); one of an older key is handed over
   (attest.handover), and if a digest is wanted, its transaction is signed and stored;
5. pending transactions, parents first, are offered to the node until a block has them.

Rules that make it safe:
- a transaction is on disk before the node sees it, so a crash at any point is repaired by 2 and 5;
- a digest already in a recorded link is never signed into a new one, so none is anchored twice;
- at most one spend of the seal is unconfirmed, and nothing is built on an unconfirmed output;
- every variant of a link spends the same seal, so at most one is ever mined;
- depth is computed from the hashes of blocks at their heights each time, never stored.

Without a node everything waits and nothing is lost. Not covered: outbidding a stranger who spends
our seal with a stolen key (`SealLost` tells of him from the mempool on, while nothing is pending).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from attest import reopening
from attest.bitcoind import Bitcoind, Tip, View
from attest.book import Book
from attest.chain import (
    change_of,
    check_digest,
    check_fresher,
    fee_index,
    place_of_recovery,
    recovers,
    seal_to_hand_over,
    spends,
)
from attest.collect import collect
from attest.core import limits
from attest.core.commitment import Kind
from attest.core.errors import (
    AnchorPending,
    MainnetRefused,
    NoBackend,
    NothingPending,
    Refused,
    SealAlreadyOpen,
    SealNotOpen,
)
from attest.core.header import MAINNET, Network
from attest.core.proof import AnchorProof, SealOpening
from attest.core.seal import Coin, Draft, Fee
from attest.core.signer import FundingSigner, RecoverySigner, SealSigner
from attest.core.transaction import HASH_BYTES, OutPoint, TxOut
from attest.funding import Purse, current_feerate
from attest.handover import Handover
from attest.keyring import Keyring, Keys
from attest.ladder import AGAIN, climb, make_ladder, recovery_seal
from attest.mempool import alive, check_seal, offer, too_cheap, waits
from attest.opinion import check_opinion
from attest.records import HandoffRecord, LinkRecord, OpeningRecord, Variant
from attest.scanner import Scanner
from attest.state import StateStore
from attest.status import Budget, SealStatus, link_status

_CONFIGURE: Final = "set attest.backend in node.toml"
_ENROLLING: Final = "the new seal key's enrolment is not in a block yet"


class Anchorer:
    """The only user of one seal's state. Its methods may be called concurrently.

    All that talk to the node raise NodeError; all raise StateError.
    """

    def __init__(
        self,
        *,
        network: Network,
        node: Bitcoind | None,
        state: StateStore,
        seal: SealSigner,
        funding: FundingSigner,
        past: Sequence[Keys] = (),
        mainnet_allowed: bool = False,
    ) -> None:
        """`past` are keys before these, as long as transactions of theirs may have to be signed.

        Raises MainnetRefused for mainnet unless `mainnet_allowed`.
        """
        if network is MAINNET and not mainnet_allowed:
            raise MainnetRefused(
                "anchoring on mainnet spends real money",
                hint="say so in node.toml if you mean it",
            )
        assert node is None or node.network is network
        self._network = network
        self._node = node
        self._book = Book(state)
        self._seal = seal
        self._purse = Purse(funding_script=funding.script, seal_script=seal.script)
        self._keyring = Keyring(Keys(seal=seal, funding=funding), past)
        self._handover = Handover(self._book, self._keyring)
        self._scanner = Scanner(self._book)
        self._lock = asyncio.Lock()

    # ---- requests ------------------------------------------------------------------------------

    async def propose_opening(
        self, *, seal_sat: int = limits.SEAL_SAT, recovery_script: bytes | None = None
    ) -> SealOpening:
        """Choose the coin that T_0 will spend; the caller records the result in the ledger.

        Asked again it gives the same answer while that coin is unspent; another, once T_0 can
        never be mined (attest.reopening). `recovery_script` is the P2TR script of the recovery
        seal, which gets the same amount. Raises SealAlreadyOpen, NotFunded, FeeTooHigh or
        NoBackend.
        """
        async with self._lock:
            view = await self._view()
            if await self._book.links():
                await self._scanner.reconcile(view)
                await reopening.check_lost(view, self._book)
            known = await self._book.opening()
            if known and await view.node.unspent(known.coins[0].outpoint) is not None:
                return known.opening
            recovery = None
            if recovery_script is not None:
                recovery = TxOut(value_sat=seal_sat, script=recovery_script)
            # What T_0 will cost does not depend on which coin it names or what it commits to.
            blank = SealOpening(
                network=self._network.name,
                outpoint=OutPoint(txid=bytes(HASH_BYTES), index=0),
                seal_sat=seal_sat,
                recovery=recovery,
            )
            draft = await self._purse.opening(
                view, opening=blank, digest=bytes(HASH_BYTES), coins=()
            )
            opening = replace(blank, outpoint=draft.coins[0].outpoint)
            await self._book.replace_opening(OpeningRecord(opening=opening, coins=draft.coins))
            return opening

    async def reopens(self, named: SealOpening) -> bool:
        """Tell whether `propose_opening` has another opening for the one that the ledger names.

        Without a node nobody can tell: False. Raises SealAlreadyOpen while the coin of the named
        one is gone and its T_0 may be mined all the same.
        """
        async with self._lock:
            if self._node is None:
                return False
            view = await self._view()
            await self._scanner.reconcile(view)
            return await reopening.makes_way(view, self._book, named)

    async def open(self, digest: bytes) -> None:
        """Want the seal opened with this digest: SHA-256 of a preimage that covers the opening.

        Raises SealNotOpen before `propose_opening`, SealAlreadyOpen for another digest.
        """
        check_digest(digest)
        async with self._lock:
            opening = await self._book.opening()
            if opening is None:
                raise SealNotOpen("no opening was proposed")
            if opening.digest == digest:
                return
            if await self._book.links():
                raise SealAlreadyOpen("the seal is open with another digest")
            await self._book.save_opening(replace(opening, digest=digest))

    async def anchor(self, digest: bytes, *, kind: Kind = Kind.ANCHOR) -> None:
        """Want this digest anchored next, in a link of `kind`; it replaces one that still waits.

        A digest that some link already carries is anchored: nothing happens. Raises SealNotOpen.
        """
        check_digest(digest)
        async with self._lock:
            opening = await self._book.opening()
            if opening is None or opening.digest is None:
                raise SealNotOpen("the seal is not open", hint="open it first")
            await self._book.want(digest, kind)

    async def hand_over(self, digest: bytes, *, old: bytes, new: bytes) -> None:
        """Want the seal of script `old` handed over to that of script `new`, over this digest.

        Anchors wait until it is in a block. Asked again it changes nothing.
        """
        check_digest(digest)
        async with self._lock:
            await self._handover.want(HandoffRecord(old=old, new=new, digest=digest))

    async def recover(self, digest: bytes, recovery: RecoverySigner) -> None:
        """Sign a recovery to this seal key, at several feerates, and send the cheapest.

        It takes the place of a link that is pending; asked again, higher ones are signed. Raises
        SealNotOpen, NotFunded, FeeTooHigh, NoBackend, or Refused if there is nothing to recover.
        """
        check_digest(digest)
        async with self._lock:
            view = await self._view()
            await self._scanner.reconcile(view)
            links = await self._book.links()
            index = place_of_recovery(links)
            older = links[index].variants if recovers(links, index) else ()
            seal = await recovery_seal(view, await self._book.opening(), links[0], recovery)
            keys = self._keyring
            made = await make_ladder(view, self._purse, keys, recovery, seal, digest, older)
            record = LinkRecord(
                kind=Kind.RECOVERY,
                variants=(*older, *made),
                since_height=view.tip.height,
                since_hash=view.tip.block_hash,
            )
            await self._book.want(digest)
            await self._book.save_ladder(record)
            await self._book.save(index, replace(record, variants=(*older, made[0])))
            await self._broadcast(view.node)

    async def bump(self, *, digest: bytes | None = None, sat_per_kvb: int = 0) -> None:
        """Replace the pending transaction by one that pays more, with a fresher digest if given.

        The feerate is the largest of `sat_per_kvb`, the node's, and the least that a replacement
        must pay. Raises NothingPending, NotFunded, FeeTooHigh, Refused or NoBackend.
        """
        if digest is not None:
            check_digest(digest)
        async with self._lock:
            view = await self._view()
            await self._scanner.reconcile(view)
            links = await self._book.links()
            if not links or links[-1].mined is not None:
                raise NothingPending("no transaction waits", hint="timmy anchor status")
            old = links[-1].variants[-1]
            vsize = old.transaction.vsize
            least = old.fee_sat * 1000 // vsize + limits.BUMP_SAT_PER_KVB
            fee = Fee(
                sat_per_kvb=max(sat_per_kvb, await current_feerate(view.node), least),
                sat_min=old.fee_sat + -(-vsize * limits.BUMP_SAT_PER_KVB // 1000),
            )
            if digest is not None:
                check_fresher(links)
                await self._book.want(digest)  # an older variant may still win
            coins = old.coins[fee_index(links, len(links) - 1) :]
            await self._sign_again(view, len(links) - 1, digest or old.digest, fee, coins)
            await self._broadcast(view.node)

    # ---- work ----------------------------------------------------------------------------------

    async def advance(self) -> SealStatus:
        """Do what can be done now and say where everything stands."""
        async with self._lock:
            if self._node is None:
                return await self._status(None, "no Bitcoin node is configured")
            view = await self._view()
            await self._scanner.reconcile(view)
            await reopening.look(view, self._book)
            try:
                await self._rebase(view)
                waiting = await self._start_wanted(view)
                await self._broadcast(view.node)
            except Refused as error:
                return replace(await self._status(view.tip, str(error)), hint=error.hint)
            return await self._status(view.tip, waiting)

    async def prove(self, index: int) -> AnchorProof:
        """Collect the proof of one link, with the headers that follow it (100 in all at most).

        Raises AnchorPending while no block has it, SealNotOpen for a link that does not exist.
        """
        async with self._lock:
            view = await self._view()
            await self._scanner.reconcile(view)
            links = await self._book.links()
            if not 0 <= index < len(links):
                raise SealNotOpen(f"there is no link {index}, {len(links)} exist")
            mined = links[index].mined
            if mined is None:
                raise AnchorPending(f"link {index} is not in a block yet")
            return await collect(view, links[index], mined)

    async def holds_coins(self, script: bytes) -> bool:
        """Tell whether a script has coins in blocks that are worth moving. Minutes on mainnet."""
        async with self._lock:
            if self._node is None:
                return True  # nobody can tell
            view = await self._view()
            coins = await view.node.coins(script, height=view.tip.height)
            return any(coin.output.value_sat >= limits.ENROLMENT_SAT for coin in coins)

    async def budget(self) -> Budget:
        """What is at the funding address and what anchors cost now. Minutes on mainnet."""
        async with self._lock:
            if self._node is None:
                return Budget()
            return await self._purse.budget(await self._view())

    # ---- the steps of advance ------------------------------------------------------------------

    async def _rebase(self, view: View) -> None:
        """Step 3. Raises Refused."""
        links = await self._book.links()
        index = next((i for i, link in enumerate(links) if link.mined is None), None)
        if index is None:
            return
        link = links[index]
        coins = link.variants[-1].coins
        if spends(links, index) == coins[0].outpoint:
            if await waits(view.node, link):
                return
            whole = len(coins[1:]) == len(await alive(view, coins[1:]))
            if whole and not await too_cheap(view.node, link.variants[-1]):
                return
            if not whole and link.kind is Kind.RECOVERY:
                raise Refused("a coin that was to pay for the recovery is gone", hint=AGAIN)
        fresh = await self._change(view, links[index - 1]) if index else coins[:1]
        fee = Fee(sat_per_kvb=await current_feerate(view.node))
        await self._sign_again(view, index, link.variants[-1].digest, fee, fresh)

    async def _start_wanted(self, view: View) -> str | None:
        """Step 4. Return why something wanted must wait, or None. Raises Refused."""
        links = await self._book.links()
        if any(link.mined is None for link in links):
            return None if await self._book.wanted() is None else "a link is not in a block yet"
        if not links:
            record = await self._book.opening()
            if record is None or record.digest is None:
                return "the seal is not open"
            draft = await self._purse.opening(
                view, opening=record.opening, digest=record.digest, coins=record.coins
            )
            await self._store(view.tip, 0, Kind.OPENING, draft, record.digest)
            return None
        await check_seal(view.node, links[-1])
        if links[-1].seal.output.script != self._seal.script:
            return await self._hand_over(view, links)
        wish = await self._book.wanted()
        if wish is not None:
            change = await self._change(view, links[-1])
            draft = await self._purse.anchor(
                view, seal=links[-1].seal, digest=wish.digest, coins=change, kind=wish.kind
            )
            await self._store(view.tip, len(links), wish.kind, draft, wish.digest)
        return None

    async def _hand_over(self, view: View, links: Sequence[LinkRecord]) -> str | None:
        """The same for a seal of an older key. Raises Refused."""
        seal = seal_to_hand_over(links)
        step = await self._handover.step_from(seal.output.script)
        enrolment = await self._handover.enrolment(view, step)
        if enrolment is None:
            return _ENROLLING
        draft = await self._handover.draft(view, seal=seal, enrolment=enrolment, step=step)
        await self._store(view.tip, len(links), Kind.HANDOFF, draft, step.digest)
        return None

    async def _change(self, view: View, link: LinkRecord) -> list[Coin]:
        """What is left of a mined link's change: enough for the next fee, as a rule."""
        return await alive(view, change_of(link.current, self._keyring.funding_scripts))

    async def _sign_again(
        self, view: View, index: int, digest: bytes, fee: Fee, coins: Sequence[Coin]
    ) -> None:
        """Sign another variant of a link: an opening on `coins`, an anchor with them for its fee.

        More coins are added if these do not suffice.
        """
        links = await self._book.links()
        link = links[index]
        if len(link.variants) >= limits.VARIANTS_MAX:
            raise Refused(f"link {index} was replaced {limits.VARIANTS_MAX} times already")
        if link.kind is Kind.RECOVERY:
            await self._book.save(index, climb(link, await self._book.ladder(), links[0]))
            return
        draft = await self._draft_again(view, index, digest, fee, coins)
        await self._store(view.tip, index, link.kind, draft, digest)

    async def _draft_again(
        self, view: View, index: int, digest: bytes, fee: Fee, coins: Sequence[Coin]
    ) -> Draft:
        links = await self._book.links()
        link = links[index]
        owner = self._keyring.of_seal(link.seal.output.script)
        if owner is None:
            raise Refused(f"link {index} cannot be signed again: the key of its seal is not here")
        purse = Purse(funding_script=owner.funding.script, seal_script=owner.seal.script)
        if link.kind is Kind.OPENING:
            record = await self._book.opening()
            assert record is not None
            return await purse.opening(
                view, opening=record.opening, digest=digest, coins=coins, fee=fee
            )
        seal = links[index - 1].seal
        if link.kind is not Kind.HANDOFF:
            return await purse.anchor(
                view, seal=seal, digest=digest, coins=coins, kind=link.kind, fee=fee
            )
        step = await self._handover.step_from(seal.output.script)
        enrolment = await self._handover.enrolment(view, step)
        if enrolment is None:
            raise Refused(_ENROLLING)
        return await self._handover.draft(
            view, seal=seal, enrolment=enrolment, step=step, before=coins, fee=fee
        )

    async def _broadcast(self, node: Bitcoind) -> None:
        """Step 5, parents first.

        Raises SealLost, NotFunded if the opening's coin is gone, or RpcError when the node takes
        no variant for another reason.
        """
        parent: bytes | None = None
        links = await self._book.links()
        first = links[0].current.txid if links else None
        for link in links:
            if link.mined is not None:
                parent = link.mined.txid
                continue
            if link.kind is Kind.RECOVERY:
                parent = first
            fitting = [
                variant
                for variant in link.variants
                if parent is None or variant.coins[0].outpoint.txid == parent
            ]
            if not fitting:
                return  # signed again once its parent is in a block
            if link.kind is Kind.HANDOFF:
                await self._handover.send_enrolment(node)
            parent = await offer(node, link.kind, fitting)

    # ---- records -------------------------------------------------------------------------------

    async def _store(self, tip: Tip, index: int, kind: Kind, draft: Draft, digest: bytes) -> None:
        """Sign a draft and write it down, before anybody else sees it."""
        transaction = self._keyring.sign(kind, draft)
        check_opinion(transaction)
        variant = Variant(
            transaction=transaction, digest=digest, coins=draft.coins, txid=transaction.txid
        )
        await self._book.add(index, kind, variant, tip)

    async def _status(self, tip: Tip | None, waiting: str | None) -> SealStatus:
        links = await self._book.links()
        wish = await self._book.wanted()
        wanted = None if wish is None else wish.digest
        if not links:
            opening = await self._book.opening()
            wanted = opening.digest if opening else None
        return SealStatus(
            links=tuple(link_status(link, tip) for link in links), wanted=wanted, waiting=waiting
        )

    async def _view(self) -> View:
        if self._node is None:
            raise NoBackend("no Bitcoin node is configured", hint=_CONFIGURE)
        return await self._node.view()
