"""SOUL attestation wired to the ledger: an identity as a file, on relays, and as a git tag.

chain    genesis, every handoff and recovery, the seal chain: one file, which verifies itself
attest   the same, or what of it an event holds, recorded and published under the npub
tag      a git tag of SOUL.md, signed by an SSH key that the ledger names
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attest.core.delegation import Segment
from genesis.core import sshsig
from genesis.core.soultag import SoulTag, TagSigner, allowed_signers
from ledger.core import types
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.event import Draft
from ledger.core.keys import Signer
from ledger.core.lineage import Lineage
from ledger.log import Log
from mesh.core import nip19
from mesh.core.nip01 import NostrSigner
from mesh.pool.port import Pool
from mesh.relay.server import Relay
from mesh.souls import FILE_BYTES_MAX, SoulAttestation, mint_soul
from node.anchors.evidence import anchored_size, parse_segment
from node.commands.prove import make_proof
from node.fleet.witnessed import Witnessed
from node.home import Home
from node.open import Reading, now_ms, reading


@dataclass(slots=True)
class Souls:
    """Attests one node's identity."""

    home: Home
    log: Log
    witnessed: Witnessed
    """Who has to have signed a head before strangers see it."""
    lineage: Lineage
    signer: Signer
    nostr: NostrSigner
    relay: Relay | None
    pool: Pool
    kind: int
    _last: int | None = None

    async def attest(self, receipts: Sequence[bytes] = ()) -> dict[str, Any]:
        """Record and publish the chain as it stands now; `receipts` are as `make_chain` has them.

        As it stands in the newest head that as many witnesses signed as have to. Raises Refused
        for one that is no receipt, or of one link only, and where there is no such head.
        """
        numbered = enumerate(receipts, start=1)
        segments = [parse_segment(data, f"receipt {number}") for number, data in numbered]
        head = await self.witnessed.agreed()
        data = await asyncio.to_thread(self._read_chain, segments, head)
        digest = hashlib.sha256(data).digest()
        [event] = await self.log.append(
            Draft(
                type=types.SOUL_ATTESTED.name,
                stream=types.NODE_STREAM,
                payload={"sha256": digest, "bytes": len(data), "size": head.size},
            )
        )
        published = mint_soul(
            self.nostr,
            SoulAttestation(
                ledger=self.log.ledger_id.hex(),
                soul=self.lineage.genesis.soul.sha256.hex(),
                digest=digest.hex(),
                size=head.size,
                data=data,
            ),
            kind=self.kind,
            now=now_ms() // 1000,
            last=self._last,
        )
        self._last = published.created_at
        if self.relay is not None:
            await self.relay.publish(published)
        await self.pool.publish(published, item="soul")
        return {
            "position": event.position,
            "sha256": digest,
            "bytes": len(data),
            "size": head.size,
            "nostr": published.id,
            "in_event": bool(published.content),
        }

    async def tag(self, commit: str, name: str) -> dict[str, Any]:
        """Sign a tag of `commit` and name the key in the ledger. Raises InvalidSoul."""
        genesis = self.lineage.genesis
        npub = nip19.npub(self.nostr.public.hex())  # of birth, unless its keystore was lost
        tag = SoulTag(
            commit=commit,
            name=name,
            agent=genesis.name,
            npub=npub,
            soul_sha256=genesis.soul.sha256,
            soul_blake3=genesis.soul.blake3,
            ledger_id=self.log.ledger_id,
            at_s=now_ms() // 1000,
        )
        signer = TagSigner(seed=sshsig.derive_seed(self.signer.secret))
        signed = signer.sign(tag)
        [event] = await self.log.append(
            Draft(
                type=types.SOUL_TAGGED.name,
                stream=types.NODE_STREAM,
                payload={"commit": commit, "name": name, "key": signer.public, "tag": signed},
            )
        )
        return {
            "position": event.position,
            "name": name,
            "tag": signed,
            "key": signer.public,
            "fingerprint": sshsig.fingerprint(signer.seed),
            "allowed_signers": allowed_signers(npub, signer.public),
        }

    def _read_chain(self, receipts: Sequence[Segment], head: SignedCheckpoint) -> bytes:
        with reading(self.home) as opened:
            return make_published(opened, receipts, head=head)


def make_chain(
    opened: Reading, receipts: Sequence[Segment] = (), *, head: SignedCheckpoint | None = None
) -> bytes:
    """Return the file that shows who this agent is: a proof of event 0 with everything after it.

    `receipts` are those of aggregators for the parts of the seal chain that were delegated; without
    them these are left out. `head` is as `make_proof` has it.
    """
    known = None if head is None else head.size
    size = anchored_size(opened, alone=not receipts, size=known)
    to = max(0, size - 1)
    return make_proof(opened, 0, anchored=size > 0, anchored_to=to, receipts=receipts, head=head)


def make_published(
    opened: Reading,
    receipts: Sequence[Segment] = (),
    *,
    head: SignedCheckpoint | None = None,
    bytes_max: int = FILE_BYTES_MAX,
) -> bytes:
    """Return what of the chain fits an event on a relay: a month of daily anchors is too much.

    All of it, else the seal chain to where the seal moved last (its opening, if it never moved),
    else no seal chain. Who the agent is, and every key that was in charge, is in each.
    """
    data = make_chain(opened, receipts, head=head)
    known = None if head is None else head.size
    if len(data) > bytes_max and anchored_size(opened, size=known):
        data = make_proof(opened, 0, anchored=True, receipts=receipts, head=head)
    if len(data) > bytes_max:
        data = make_proof(opened, 0, anchored=False, head=head)
    return data
