"""The next manifest: how it is made, and shown to the person who is asked to approve it.

A thief of the operator's key writes the names in it. So a member is called by his name alone only
if that name has the same ledger and keys in the manifest that holds; else his npub stands beside
it. What decides, quorum and cosignatures, is shown as it would be.
"""

from typing import Any, Final

from ledger.core.limits import NOTE_SIGNATURES_MAX
from mesh.core.errors import Refused
from mesh.core.fleet.manifest import VOTER, WITNESS, Manifest, Member, SignedManifest
from mesh.core.nip19 import npub

_COSIGNATURES_MAX: Final = NOTE_SIGNATURES_MAX - 1
"""What a note has room for under the log's own line."""


def next_manifest(
    manifest: Manifest,
    *,
    add: list[Member],
    remove: set[bytes],
    since: int = 0,
    quorum: int | None = None,
    needed: int | None = None,
) -> Manifest:
    """The manifest after one, with some taken in and some removed.

    `since`: from when on its voters decide, if they are others.
    `quorum`, `needed`: how many voters a change takes, how many cosignatures a head; None leaves
    them, as far as they are possible with these members. Raises Refused for one that is not.
    """
    added = {one.ledger: one for one in add}
    kept = [m for m in manifest.members if m.ledger not in remove | added.keys()]
    members = (*kept, *added.values())
    voters = sum(VOTER in one.roles for one in members)
    witnesses = sum(WITNESS in one.roles for one in members)
    least = voters // 2 + 1 if voters else 0
    most = min(witnesses, _COSIGNATURES_MAX)
    if quorum is None:
        quorum = max(min(manifest.quorum, voters), least)
    if needed is None:
        needed = min(manifest.needed, most)
    if not least <= quorum <= voters:
        raise Refused(
            f"a quorum of {quorum}, and {voters} vote", hint=f"--quorum {least} to {voters}"
        )
    if not 0 <= needed <= most:
        raise Refused(
            f"{needed} cosignatures needed, and {witnesses} are witnesses",
            hint=f"--needed 0 to {most}",
        )
    changes = {"quorum": quorum, "needed": needed}
    made = manifest.following(members=members, **changes)
    if made.electorate == manifest.electorate:
        return made
    return manifest.following(members=members, **changes, since=max(since, manifest.since))


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
