"""What answers a conversation in a fleet, put together: the gateway's part and the home's."""

from functools import partial

from ledger.core.checkpoint import SignedCheckpoint
from ledger.release import Release
from mesh.core.nip01 import NostrSigner
from node.agent.hosts import Hosts
from node.fleet.duties import FleetDuty
from node.fleet.following import Following
from node.fleet.growing import Growing
from node.fleet.homing import Homing
from node.fleet.majority import Majority
from node.fleet.members import FleetNode
from node.fleet.mirroring import Mirroring
from node.fleet.routing import Routing
from node.nostr.broadcast import Broadcast
from node.opened import Opened
from runtime.drafts import Drafts
from runtime.forwarding import Forwarding
from runtime.gateway import Gateway
from runtime.journal import Journal


def make_routing(
    opened: Opened,
    journal: Journal,
    fleet: FleetNode,
    mirroring: Mirroring,
    signer: NostrSigner,
    duty: FleetDuty,
    drafts: Drafts,
) -> Routing:
    """Make this node's part as a gateway."""
    following = Following(
        journal=journal,
        log=opened.log,
        mirrors=lambda: {of: one for of, one in mirroring.copies().items() if fleet.is_member(of)},
    )
    section = opened.config.mesh
    return Routing(
        fleet=fleet,
        forwarding=Forwarding(journal),
        following=following,
        majority=Majority(fleet=fleet, duty=duty, log=opened.log, on=section.answer == "majority"),
        drafts=drafts,
        log=opened.log,
        signer=signer,
        wanted=section.route,
    )


def make_homing(
    routing: Routing,
    gateway: Gateway,
    host: Hosts,
    journal: Journal,
    broadcast: Broadcast,
    release: Release,
) -> Homing:
    """Make its part as a home."""
    return Homing(
        fleet=routing.fleet,
        following=routing.following,
        majority=routing.majority,
        growing=Growing(drafts=routing.drafts),
        gateway=gateway,
        host=host,
        journal=journal,
        log=routing.log,
        signer=routing.signer,
        head=partial(_signed, broadcast, release),
    )


async def _signed(broadcast: Broadcast, release: Release) -> SignedCheckpoint:
    """Sign a head of what there is, where heads may be released; return the newest."""
    await broadcast.step()
    return release.newest
