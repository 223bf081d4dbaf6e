"""Anchoring wired to the ledger: heads go into Bitcoin, and the evidence comes back.

    open   the ledger names the coin that T_0 will spend; a head over that event is released; its
           note is kept in the ledger; T_0 commits to the note
    now    a head is released, its note kept in the ledger, the next transaction commits to it
    poll   what is mined is recorded (housekeeping), and its proof kept in <home>/anchors/proofs

A wish is durable before anything is signed; without a Bitcoin node it waits and nothing is lost.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from attest.address import p2tr_address
from attest.anchorer import Anchorer
from attest.bitcoind import Bitcoind
from attest.core.commitment import Kind
from attest.core.errors import AnchorPending, AttestError, SealAlreadyOpen
from attest.core.header import Network, network_by_name
from attest.core.proof import SealOpening
from attest.core.signer import FundingSigner, SealSigner
from attest.core.taproot import p2tr_script, seal_output_key
from attest.core.transaction import double_sha256
from attest.keyring import Keys
from attest.state import FileState
from attest.status import LinkStatus, SealStatus
from genesis.core.keys import AgentKeys
from genesis.keys import keystore
from ledger.core import types
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.codec import encode
from ledger.core.errors import Refused, TimmyError
from ledger.core.event import Draft, Event
from ledger.core.lineage import Cause, Lineage, Tenure
from ledger.files import write_atomically
from ledger.log import Log
from ledger.release import Release
from node.anchors import requests
from node.anchors.evidence import MOVES, Kept, proof_path, read_proof
from node.config import AttestSection
from node.home import Home
from node.open import now_ms

_FINAL: Final = 100
_ASIDE: Final = ".undone"
_DAY_MS: Final = 24 * 3600 * 1000
_LOOK_BACK: Final = 300
"""Events of the seal's stream among which the last request is: a reorganised link adds one each."""

_log = structlog.get_logger("node.anchors.anchoring")


@dataclass(slots=True, kw_only=True)
class Anchoring:
    """Anchors of one node."""

    home: Home
    log: Log
    release: Release
    lineage: Lineage
    anchorer: Anchorer
    network: Network
    funding: FundingSigner
    seal_sats: int
    poll_s: int
    every: str = "never"
    past_funding: dict[int, FundingSigner] = field(default_factory=dict)
    _last: SealStatus | None = None
    _trouble: AttestError | None = None
    _handed_over: bool = False
    _looked: set[int] = field(default_factory=set)

    async def run(self) -> None:
        """Look at the chain until cancelled; a node that is away is only a line in the log."""
        while True:
            try:
                await self.advance()
                await self._daily()
            except AttestError as error:
                _log.warning("anchoring waits", reason=str(error))
            await asyncio.sleep(self.poll_s)

    async def open(self) -> dict[str, Any]:
        """Name the opening in the ledger and ask for T_0. Again after a crash: goes on.

        If the coin that was named is gone for good before a block had T_0, another is named.
        """
        event = self._named()
        if event is None or await self._came_to_nothing(event):
            event = await self._name(event)
        digest = self.opened or await self.head(event, key=requests.open_key(self.log))
        await self.anchorer.open(digest)
        return await self.advance()

    async def _came_to_nothing(self, event: Event) -> bool:
        opening = SealOpening.from_value(event.payload["opening"])
        if not await self.anchorer.reopens(opening):
            return False
        if requests.opened_in_block(self.log):
            raise SealAlreadyOpen(
                "the opening was in a block that was abandoned, and its coin is spent elsewhere: "
                "proofs of that block may be in others' hands, so no other opening is named",
                hint="dates can still be had: timmy aggregate submit, timmy anchor stamp",
            )
        return True

    async def _name(self, before: Event | None) -> Event:
        """Name an opening in the ledger, in the place of one that came to nothing if need be."""
        opening = await self.anchorer.propose_opening(
            seal_sat=self.seal_sats,
            recovery_script=p2tr_script(self.lineage.genesis.recovery_output_key),
        )
        replaces = {} if before is None else {"replaces": before.position}
        [event] = await self.log.append(
            Draft(
                type=types.SEAL_OPENED.name,
                stream=types.SEAL_STREAM,
                payload={"opening": opening.to_value(), **replaces},
                causes=() if before is None else (before.cause,),
                idempotency_key=requests.opening_key(self.log, before),
            )
        )
        return event

    async def now(self) -> dict[str, Any]:
        """Ask for an anchor of everything durable now."""
        if self._named() is None:
            raise Refused("the seal is not open", hint="open it first: timmy anchor open")
        if requests.delegation(self.log) is not None:
            raise Refused(
                "this ledger's anchors are its aggregator's: an anchor of its own ends that",
                hint="timmy aggregate return, if that is meant",
            )
        await self.anchorer.anchor(await self.head())
        return await self.advance()

    async def head(self, cause: Event | None = None, *, key: bytes | None = None) -> bytes:
        """Release a head and keep its note in the ledger; return the digest to commit to."""
        head = await asyncio.to_thread(self.release.head)
        return await self.keep_note(head, cause, key=key)

    async def bump(self) -> dict[str, Any]:
        """Replace the pending transaction by one that pays more; say where everything stands.

        An anchor then commits to a newer head, if anything was said since it was asked for.
        """
        await self.anchorer.bump(digest=await self._fresher())
        return await self.advance()

    async def _fresher(self) -> bytes | None:
        """The digest of a newer head for the anchor that waits; None if there is nothing newer."""
        links = (await self.anchorer.advance()).links
        if not links or links[-1].kind is not Kind.ANCHOR or links[-1].height is not None:
            return None
        own = self.log.stream(types.SEAL_STREAM, last=_LOOK_BACK)
        asked = [e for e in own if e.payload.get("digest") == links[-1].digest]
        if not asked or not self._said_since(asked[0].position):
            return None
        return await self.head()

    def _said_since(self, position: int) -> bool:
        return any(event.type not in types.HOUSEKEEPING for event in self.log.events(position))

    async def fund(self) -> dict[str, Any]:
        """Where money goes, how much is there, and what a year of daily anchors costs now."""
        found = self.show(self._last) if self._last else await self.advance()
        return found | asdict(await self.anchorer.budget())

    async def _daily(self) -> None:
        """Ask for the day's anchor, if the seal is open and something was said since the last."""
        if self.every != "daily" or self.opened is None or self._last is None:
            return
        if requests.delegation(self.log) is not None:
            return
        own = self.log.stream(types.SEAL_STREAM, last=_LOOK_BACK)
        asked = [
            event.position
            for event in own
            if event.type == types.ANCHOR_REQUESTED.name and "handed_in" not in event.payload
        ]
        last = max(asked, default=0)
        if now_ms() - self.log.read(last).ts_ms < _DAY_MS:
            return
        if self._said_since(last):
            await self.now()

    async def advance(self) -> dict[str, Any]:
        """Do what can be done now, keep what was mined, and say where everything stands."""
        await self._want_handoffs()
        try:
            status = await self.anchorer.advance()
        except AttestError as error:
            self._trouble = error
            raise
        self._trouble = None
        for index, link in enumerate(status.links):
            if link.height is None:
                self._set_aside(index)
            if link.height is not None and link.block_hash is not None:
                await self._keep(index, link, link.block_hash)
                await self.log.append(
                    Draft(
                        type=types.ANCHORED.name,
                        stream=types.SEAL_STREAM,
                        payload={
                            "link": index,
                            "digest": link.digest,
                            "txid": link.txid,
                            "height": link.height,
                            "block": link.block_hash,
                        },
                        idempotency_key=self.key(b"mined", link.txid, link.block_hash),
                    )
                )
        self._last = status
        await self._forget(status)
        return self.show(status)

    def summary(self) -> str:
        """One line for the node's status: what is wrong, or where the newest link stands."""
        if self._trouble is not None:
            return f"{type(self._trouble).__name__}: {self._trouble}"
        if self._last is None or not self._last.links:
            return "no seal" if self._last is None else self._last.waiting or "no seal"
        newest = self._last.links[-1]
        kind, standing = newest.kind.name.lower(), newest.standing.name.lower()
        told = f"{len(self._last.links)} links, the newest ({kind}) {standing}"
        return told if self._last.waiting is None else f"{told}; {self._last.waiting}"

    def show(self, status: SealStatus) -> dict[str, Any]:
        """The status as a JSON-able map."""
        return {
            "network": self.network.name,
            "funding_address": p2tr_address(self.funding.output_key, self.network.address_hrp),
            "waiting": status.waiting,
            "hint": status.hint,
            "wanted": status.wanted,
            "links": [
                {
                    "kind": link.kind.name.lower(),
                    "txid": link.txid[::-1],
                    "digest": link.digest,
                    "height": link.height,
                    "confirmations": link.confirmations,
                    "standing": link.standing.name.lower(),
                    "fee_sat": link.fee_sat,
                }
                for link in status.links
            ],
        }

    async def _want_handoffs(self) -> None:
        """Have the seal follow the log's handoffs: those since it was opened, or recovered."""
        if self._handed_over:
            return
        for old, new in requests.takeovers(self.lineage):
            if new.cause is Cause.RECOVERY:
                continue  # the kit's key signs that: node.identity.recovering
            request = self.log.find(requests.takeover_key(self.log, new))
            if request is not None:
                await self.anchorer.hand_over(
                    request.payload["digest"], old=self._script(old), new=self._script(new)
                )
        self._handed_over = True

    def _script(self, tenure: Tenure) -> bytes:
        soul = self.lineage.genesis.soul.sha256
        return p2tr_script(seal_output_key(tenure.keys["seal"], soul))

    async def _forget(self, status: SealStatus) -> None:
        """Delete keystores of earlier tenures that nothing has to be signed with any more.

        The seal has left them 100 blocks ago, or never was theirs, and no coin is at their address.
        """
        for number, path in keystore.past_paths(self.home.path).items():
            tenures = [one for one in self.lineage.tenures if one.number == number + 1]
            if number in self._looked or not tenures or not self._has_left(tenures[0], status):
                continue
            self._looked.add(number)  # once a start: looking for coins takes minutes on mainnet
            funding = self.past_funding.get(number)
            if funding is None or await self.anchorer.holds_coins(funding.script):
                _log.info("an old keystore is kept: coins may be at its address", path=str(path))
                continue
            path.unlink(missing_ok=True)
            _log.info(
                "an old keystore is deleted: its seal and its coins have moved", path=str(path)
            )

    def _has_left(self, tenure: Tenure, status: SealStatus) -> bool:
        """Whether the seal is this tenure's, or a later one's, for good."""
        if not requests.wants_seal(self.log, tenure):
            return True
        request = self.log.find(requests.takeover_key(self.log, tenure))
        wanted = None if request is None else request.payload["digest"]
        moved = [link for link in status.links if link.kind in MOVES]
        final = [link for link in moved if link.confirmations >= _FINAL]
        return any(link.digest == wanted or link.kind is Kind.RECOVERY for link in final)

    def key(self, *parts: bytes) -> bytes:
        """An idempotency key of this ledger's anchoring, 16 bytes."""
        return requests.anchor_key(self.log.ledger_id, *parts)

    def _named(self) -> Event | None:
        return requests.named(self.log)

    @property
    def opened(self) -> bytes | None:
        """What the opening of the seal commits to, None before it is asked for."""
        event = self.log.find(requests.open_key(self.log))
        return None if event is None else event.payload["digest"]

    async def keep_note(
        self, head: SignedCheckpoint, cause: Event | None = None, *, key: bytes | None = None
    ) -> bytes:
        """Keep the note of a released head in the ledger; return its anchor digest."""
        digest = head.anchor_digest()
        causes = () if cause is None else (cause.cause,)
        await self.log.append(requests.request(head, key or self.key(b"request", digest), *causes))
        return digest

    async def hand_in(self, head: SignedCheckpoint) -> None:
        """Keep the note of a head that an aggregator gets: no wish for an anchor of our own."""
        key = self.key(b"handed in", head.anchor_digest())
        await self.log.append(requests.request(head, key, handed_in=True))

    def _set_aside(self, index: int) -> None:
        """No block has a link, or has it any more: its proof is of a chain that does not stand.

        It is not deleted: a node that is catching up says so of every block, and a pruned one
        could not give this one's transactions again.
        """
        path = proof_path(self.home, index)
        if path.exists():
            path.replace(path.with_suffix(_ASIDE))

    async def _keep(self, index: int, link: LinkStatus, block: bytes) -> None:
        """Keep a link's proof, with more headers as the chain grows, until it is final.

        One in a block that a reorganisation undid is collected again, however deep it was.
        """
        path, digest = proof_path(self.home, index), link.digest
        aside = path.with_suffix(_ASIDE)
        if not path.exists() and _is_of(read_proof(aside), digest, block):
            aside.replace(path)
        kept = read_proof(path)
        depth = len(kept.proof.headers) if kept is not None else 0
        if _is_of(kept, digest, block) and depth >= min(link.confirmations, _FINAL):
            return
        try:
            proof = await self.anchorer.prove(index)
        except AnchorPending:
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = encode({"digest": digest, "proof": proof.to_value()})
        await asyncio.to_thread(write_atomically, path, data)


def _is_of(kept: Kept | None, digest: bytes, block: bytes) -> bool:
    """Whether a kept proof is of this digest, in this block."""
    return (
        kept is not None and kept.digest == digest and double_sha256(kept.proof.headers[0]) == block
    )


def make_anchoring(
    home: Home,
    section: AttestSection,
    log: Log,
    release: Release,
    lineage: Lineage,
    keys: AgentKeys,
    past: Mapping[int, AgentKeys],
    node: Bitcoind | None,
    state: FileState,
) -> Anchoring:
    """Wire an Anchorer to this node's keys and state; `past` are keys of earlier tenures."""
    genesis = lineage.genesis
    network = network_by_name(genesis.network)
    soul = genesis.soul.sha256
    mine = anchor_keys(keys, soul)
    older = {number: anchor_keys(past[number], soul) for number in sorted(past, reverse=True)}
    anchorer = Anchorer(
        network=network,
        node=node,
        state=state,
        seal=mine.seal,
        funding=mine.funding,
        past=list(older.values()),
        mainnet_allowed=section.i_understand_that_mainnet_costs_money,
    )
    return Anchoring(
        home=home,
        log=log,
        release=release,
        lineage=lineage,
        anchorer=anchorer,
        network=network,
        funding=mine.funding,
        seal_sats=section.seal_sats,
        poll_s=section.poll_s,
        every=section.every,
        past_funding={number: each.funding for number, each in older.items()},
    )


def anchor_keys(keys: AgentKeys, soul: bytes) -> Keys:
    """The two of an agent's keys that sign Bitcoin transactions, under its SOUL's SHA-256."""
    return Keys(
        seal=SealSigner(secret=keys.seal.secret, soul_digest=soul),
        funding=FundingSigner(secret=keys.funding.secret),
    )


def bitcoind(section: AttestSection) -> Bitcoind | None:
    """Return the configured Bitcoin node's client, or None for backend none."""
    if section.backend == "none":
        return None
    given = section.rpc_cookie_file or section.rpc_credentials_file
    if not given:
        raise TimmyError(
            "attest.backend is bitcoind, and no credentials are named",
            hint="set attest.rpc_cookie_file to bitcoind's .cookie",
        )
    return Bitcoind(
        url=section.rpc_url,
        credentials=Path(given).expanduser(),
        network=network_by_name(section.network),
    )
