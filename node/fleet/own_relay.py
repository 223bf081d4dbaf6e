"""The node's own relay, and who may write there: its fleet.

That is this node, who is in `relay.writers` of node.toml, and the members of the newest manifest,
for as long as this node is one of them. A member that is removed may write no more, on connections
that are open too.
"""

from dataclasses import replace
from importlib.metadata import version

from mesh.core.fleet.manifest import Fleet
from mesh.core.nip01 import NostrSigner
from mesh.core.nip11 import RelayInfo
from mesh.core.relay.policy import WritePolicy
from mesh.relay.server import Relay
from mesh.relay.sqlite import SqliteEventStore
from mesh.witnesses import equivocations
from node.config import public_key
from node.fleet.members import FleetNode
from node.open import now_ms
from node.opened import Opened


def make_relay(opened: Opened, signer: NostrSigner, node: FleetNode) -> Relay | None:
    """Make it as node.toml has it, open to the fleet as it is and as it changes; None if off."""
    home, config, section = opened.home, opened.config, opened.config.relay
    if not section.enabled:
        return None
    own = frozenset({signer.pubkey, *(public_key(text) for text in section.writers)})
    bits = {"fleet": None, "work": section.work_bits, "public": 0}
    kept = frozenset({config.publish.checkpoint_kind, equivocations.KIND})
    relay = Relay(
        SqliteEventStore(home.relay, kept_kinds=kept),
        WritePolicy(
            authors=own,
            strangers_work_bits=bits[section.write],
            inbox_work_bits=bits[section.inbox],
        ),
        RelayInfo(
            name=opened.lineage.genesis.name, pubkey=signer.pubkey, version=version("timmy-node")
        ),
        lambda: now_ms() // 1000,
        urls=section.urls,
        connections_max=section.connections_max,
    )
    admit_members(relay, node, own)
    return relay


def admit_members(relay: Relay, node: FleetNode, own: frozenset[str]) -> None:
    """Let `own` and the members write, now and whenever a manifest settles. Keys in hex."""

    def admit(fleet: Fleet) -> None:
        of_it = fleet.manifest.member(node.own.ledger) is not None
        members = {one.nostr.hex() for one in fleet.manifest.members} if of_it else set()
        relay.adopt(replace(relay.policy, authors=own | members))

    node.on_settled = admit
    if node.fleet is not None:
        admit(node.fleet)
