"""Which members of the fleet count as alive, as far as this node can tell, and who may what.

A member's lease runs from when it was last heard of *and* reached: one whose words come through
while nothing gets to it could answer nobody.
"""

from typing import Final

from node.fleet.members import FleetNode
from node.open import now_ms

GATEWAY: Final = "gateway"
HOME: Final = "home"


def leases(fleet: FleetNode) -> dict[bytes, int]:
    """Return until when each member counts as alive, in Unix seconds of our clock.

    Each begins with a lease from our start on: a node that comes back takes nobody's place before
    it has listened.
    """
    lease_s = fleet.times.lease_s
    found = {fleet.own.ledger: now_ms() // 1000 + lease_s}
    for one in () if fleet.fleet is None else fleet.fleet.manifest.members:
        heard_ms, reached_ms = (
            known.get(one.ledger, fleet.started_ms) for known in (fleet.heard_ms, fleet.reached_ms)
        )
        found.setdefault(one.ledger, min(heard_ms, reached_ms) // 1000 + lease_s)
    return found


def having(fleet: FleetNode, role: str) -> tuple[bytes, ...]:
    """Return the ledgers of the members with a role, in the manifest's order."""
    members = () if fleet.fleet is None else fleet.fleet.manifest.members
    return tuple(one.ledger for one in members if role in one.roles)
