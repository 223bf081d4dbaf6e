"""That a quorum of a fleet's voters agreed, as an event: what jobs may follow as its consensus.

What a fleet agrees on by signatures is its manifest. `fleet.agreed` says that one holds which as
many voters of the one before approved as that one asks for; one that needed nobody's yes and has
too few is the operator's alone, and none. Each member records it for itself when it takes the
manifest: a newcomer those of before, too, and who dies between file and event does not.
"""

from ledger.core import types
from ledger.core.event import Draft
from mesh.core.fleet.manifest import Fleet


def agreed(before: Fleet | None, fleet: Fleet) -> list[Draft]:
    """Return what records that voters of `before` made `fleet` what it is now; else nothing."""
    quorum = 0 if before is None else before.manifest.quorum
    approvals, manifest = len(fleet.newest.approvals), fleet.manifest
    if not 0 < quorum <= approvals:
        return []
    payload = {
        "fleet": fleet.fleet_id,
        "number": manifest.number,
        "digest": manifest.digest,
        "approvals": approvals,
        "quorum": quorum,
    }
    return [Draft(type=types.FLEET_AGREED.name, stream=types.NODE_STREAM, payload=payload)]
