"""How a manifest that is proposed is shown to the person who is asked to approve it.

A thief of the operator's key writes the names in it. So a member is called by his name alone only
if that name has the same ledger and keys in the manifest that holds; else his npub stands beside
it. What decides, quorum and cosignatures, is shown as it would be.
"""

from typing import Any

from mesh.core.fleet.manifest import Manifest, Member, SignedManifest
from mesh.core.nip19 import npub


def shown(proposal: SignedManifest, now: Manifest) -> dict[str, Any]:
    """What of a proposal is told, beside the manifest that holds; JSON, but for its digest."""
    then = proposal.manifest
    names = {one.nostr: one.name for one in now.voters}
    return {
        "number": then.number,
        "digest": then.digest,
        "approved": [names[key] for key, _ in proposal.approvals],
        "quorum": now.quorum,
        "then": {"quorum": then.quorum, "needed": then.needed},
        "voters": [_called(one, now) for one in then.voters],
        "since": then.since,
        "witnesses": [_called(one, now) for one in then.witnesses],
        "members": [_called(one, now) for one in then.members],
    }


def _called(one: Member, now: Manifest) -> str:
    known = next((member for member in now.members if member.name == one.name), None)
    if known is not None and (known.ledger, known.nostr) == (one.ledger, one.nostr):
        if not (known.witness and one.witness) or known.witness == one.witness:
            return one.name
        return f"{one.name} (another witness key)"
    return f"{one.name} (new: {npub(one.nostr.hex())})"
