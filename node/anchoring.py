"""Anchoring wired to the ledger: heads go into Bitcoin, and the evidence comes back.

    open   the ledger names the coin that T_0 will spend; a head over that event is released; its
           note is kept in the ledger; T_0 commits to the note
    now    a head is released, its note kept in the ledger, the next transaction commits to it
    poll   what is mined is recorded (housekeeping), and its proof kept in <home>/anchors/proofs

A wish is durable before anything is signed; without a Bitcoin node it waits and nothing is lost.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog

from attest.anchorer import Anchorer
from attest.bitcoind import Bitcoind
from attest.core.errors import AnchorPending, AttestError
from attest.core.header import Network, network_by_name
from attest.core.proof import AnchorProof
from attest.core.signer import FundingSigner, SealSigner
from attest.core.taproot import p2tr_address, p2tr_script
from attest.state import FileState
from attest.status import SealStatus
from genesis.core.birth import Genesis
from genesis.core.keys import AgentKeys
from ledger.core import hashing, types
from ledger.core.bundle import Attachment
from ledger.core.checkpoint import SignedCheckpoint, open_checkpoint
from ledger.core.codec import decode, encode
from ledger.core.errors import Refused, TimmyError
from ledger.core.event import Draft, Event
from ledger.files import write_atomically
from ledger.log import Log
from ledger.release import Release
from node.config import AttestSection
from node.home import Home
from node.open import Reading
from node.verify_common import SEAL_ATTACHMENT

_PROOF_BYTES_MAX: Final = 1024 * 1024
"""A link with 100 headers is 10 kB."""
_FINAL: Final = 100

_log = structlog.get_logger("node.anchoring")


@dataclass(slots=True)
class Anchoring:
    """Anchors of one node."""

    home: Home
    log: Log
    release: Release
    genesis: Genesis
    anchorer: Anchorer
    network: Network
    funding: FundingSigner
    seal_sats: int
    poll_s: int
    _last: SealStatus | None = None

    async def run(self) -> None:
        """Look at the chain until cancelled; a node that is away is only a line in the log."""
        while True:
            try:
                await self.advance()
            except AttestError as error:
                _log.warning("anchoring waits", reason=str(error))
            await asyncio.sleep(self.poll_s)

    async def open(self) -> dict[str, Any]:
        """Name the opening in the ledger and ask for T_0. Again after a crash: goes on."""
        event = self._named()
        if event is None:
            opening = await self.anchorer.propose_opening(
                seal_sat=self.seal_sats,
                recovery_script=p2tr_script(self.genesis.recovery_output_key),
            )
            [event] = await self.log.append(
                Draft(
                    type=types.SEAL_OPENED.name,
                    stream=types.SEAL_STREAM,
                    payload={"opening": opening.to_value()},
                    idempotency_key=self._key(b"opening"),
                )
            )
        elif self._opened() is None:
            await self.anchorer.propose_opening(
                seal_sat=self.seal_sats,
                recovery_script=p2tr_script(self.genesis.recovery_output_key),
            )
        digest = self._opened() or await self._request(event, key=self._key(b"open"))
        await self.anchorer.open(digest)
        return await self.advance()

    async def now(self) -> dict[str, Any]:
        """Ask for an anchor of everything durable now."""
        if self._named() is None:
            raise Refused("the seal is not open", hint="open it first: timmy anchor open")
        await self.anchorer.anchor(await self._request(None, key=None))
        return await self.advance()

    async def advance(self) -> dict[str, Any]:
        """Do what can be done now, keep what was mined, and say where everything stands."""
        status = await self.anchorer.advance()
        for index, link in enumerate(status.links):
            if link.height is not None and link.block_hash is not None:
                await self._keep(index, link.digest, link.confirmations)
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
                        idempotency_key=self._key(b"mined", link.txid, link.block_hash),
                    )
                )
        self._last = status
        return self.show(status)

    def show(self, status: SealStatus) -> dict[str, Any]:
        """The status as a JSON-able map."""
        return {
            "network": self.network.name,
            "funding_address": p2tr_address(self.funding.output_key, self.network.address_hrp),
            "waiting": status.waiting,
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

    def _key(self, *parts: bytes) -> bytes:
        return hashing.digest(hashing.ANCHOR_KEY, self.log.ledger_id, *parts)[:16]

    def _named(self) -> Event | None:
        return self.log.find(self._key(b"opening"))

    def _opened(self) -> bytes | None:
        event = self.log.find(self._key(b"open"))
        return None if event is None else event.payload["digest"]

    async def _request(self, cause: Event | None, *, key: bytes | None) -> bytes:
        """Release a head and keep its note in the ledger; return the digest to commit to."""
        head = await asyncio.to_thread(self.release.head)
        digest = head.anchor_digest()
        await self.log.append(
            Draft(
                type=types.ANCHOR_REQUESTED.name,
                stream=types.SEAL_STREAM,
                payload={"size": head.size, "note": head.anchor_preimage(), "digest": digest},
                causes=() if cause is None else (cause.cause,),
                idempotency_key=key or self._key(b"request", digest),
            )
        )
        return digest

    async def _keep(self, index: int, digest: bytes, confirmations: int) -> None:
        """Keep a link's proof, with more headers as the chain grows, until it is final."""
        path = proof_path(self.home, index)
        kept = read_proof(path)
        if (
            kept is not None
            and kept.digest == digest
            and len(kept.proof.headers) >= min(confirmations, _FINAL)
        ):
            return
        try:
            proof = await self.anchorer.prove(index)
        except AnchorPending:
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = encode({"digest": digest, "proof": proof.to_value()})
        await asyncio.to_thread(write_atomically, path, data)


def make_anchoring(
    home: Home,
    section: AttestSection,
    log: Log,
    release: Release,
    genesis: Genesis,
    keys: AgentKeys,
    node: Bitcoind | None,
    state: FileState,
) -> Anchoring:
    """Wire an Anchorer to this node's keys and state."""
    network = network_by_name(genesis.network)
    funding = FundingSigner(secret=keys.funding.secret)
    anchorer = Anchorer(
        network=network,
        node=node,
        state=state,
        seal=SealSigner(secret=keys.seal.secret, soul_digest=genesis.soul.sha256),
        funding=funding,
        mainnet_allowed=section.i_understand_that_mainnet_costs_money,
    )
    return Anchoring(
        home, log, release, genesis, anchorer, network, funding, section.seal_sats, section.poll_s
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


# ---- evidence, without a node --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A link's proof as it is kept on disk."""

    digest: bytes
    proof: AnchorProof


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a proof needs from Bitcoin: the anchored heads in order, and the chain's attachment."""

    heads: list[SignedCheckpoint]
    opened_at: int
    attachment: Attachment


def proof_path(home: Home, index: int) -> Path:
    """Where the proof of link `index` is kept."""
    return home.anchors / "proofs" / f"{index:06d}.cbor"


def read_proof(path: Path) -> Kept | None:
    """Return a kept proof; None if there is none or it is damaged (it is collected again)."""
    try:
        value = decode(path.read_bytes(), bytes_max=_PROOF_BYTES_MAX)
        return Kept(digest=value["digest"], proof=AnchorProof.from_value(value["proof"]))
    except (OSError, TimmyError, KeyError, TypeError):
        return None


def evidence(home: Reading, position: int) -> Evidence:
    """Return the chain from its opening to the first anchor that covers `position`."""
    opened = [event for event in _own(home) if event.type == types.SEAL_OPENED.name]
    notes = {
        event.payload["digest"]: event.payload["note"]
        for event in _own(home)
        if event.type == types.ANCHOR_REQUESTED.name
    }
    heads, links = [], []
    for kept in _kept(home.home):
        head = open_checkpoint(notes[kept.digest], home.genesis.keys["log"])
        heads.append(head)
        covers = head.size > position
        # Depth is counted over the link that matters; of the others one header is enough.
        shown = kept.proof if covers else replace(kept.proof, headers=kept.proof.headers[:1])
        links.append(shown.to_value())
        if covers:
            break
    if not opened or not heads or heads[-1].size <= position:
        raise Refused(
            f"no anchor in a block covers event {position} yet",
            hint="timmy anchor now, then wait for a block: timmy anchor status",
        )
    if len({head.checkpoint.epoch for head in heads}) > 1 or heads[-1].checkpoint.epoch:
        raise Refused("a proof over anchors of a recovered log is not built yet")
    value = {"links": links, "sizes": [head.size for head in heads]}
    return Evidence(
        heads=heads,
        opened_at=opened[0].position,
        attachment=Attachment(name=SEAL_ATTACHMENT, value=value),
    )


def _own(home: Reading) -> list[Event]:
    return home.log.stream(types.SEAL_STREAM, last=home.log.size)


def _kept(home: Home) -> Iterator[Kept]:
    index = 0
    while (kept := read_proof(proof_path(home, index))) is not None:
        yield kept
        index += 1
