"""The trust graph of a home: read from its ledger, and what lies beside it (`standing`)."""

from attest.core.delegation import Delegation
from attest.core.transaction import display
from genesis.core.trust import Builder, Graph, Kind
from ledger.core import types
from ledger.core.event import Event
from ledger.core.lineage import Cause, Lineage
from mesh.core import nip19
from node.identity import changes
from node.identity.kinship import add_kin
from node.identity.standing import EVENTS, Standing
from node.open import Reading

_HOW = {
    Cause.BIRTH: "was born as",
    Cause.HANDOFF: "handed over to",
    Cause.EPOCH: "began a new epoch as",
    Cause.RECOVERY: "was recovered as",
}
_SEALS = frozenset(
    kind.name
    for kind in (types.SEAL_DELEGATED, types.ANCHOR_REQUESTED, types.AGGREGATED, types.ANCHORED)
)


def trust_graph(opened: Reading) -> Graph:
    """Return the graph of what this ledger shows, oldest first."""
    built = Builder.empty()
    lineage = opened.lineage
    instances = _instances(built, lineage)
    anchors: dict[bytes, str] = {}
    others, patches = Standing(built, opened, instances), changes.Changes(built, opened)
    for event in opened.log.events():
        if event.type in _SEALS:
            _add_anchor(built, event, instances[_in_charge(lineage, event)], anchors)
        elif event.type == types.SOUL_TAGGED.name:
            _add_tag(built, event, instances[_in_charge(lineage, event)])
        elif event.type in changes.EVENTS:
            patches.add_event(event, instances[_in_charge(lineage, event)])
        elif event.type in EVENTS:
            others.add_event(event, instances[_in_charge(lineage, event)])
    others.add_files()
    add_kin(built, opened, instances, _in_charge)
    return built.graph()


def root_of(graph: Graph) -> str:
    """The id of the soul, where every tree begins."""
    return next(node.id for node in graph.nodes if node.kind is Kind.SOUL)


def _instances(built: Builder, lineage: Lineage) -> list[str]:
    """Add SOUL, operator and one node a tenure; return the latters' ids, by tenure."""
    genesis = lineage.genesis
    soul = built.node(Kind.SOUL, genesis.soul.sha256.hex(), f"SOUL.md of {genesis.name}")
    operator = built.node(Kind.OPERATOR, genesis.keys["operator"].hex(), "operator")
    recovery = built.node(
        Kind.KEY, genesis.recovery_key_digest.hex(), "recovery key (off the node)"
    )
    found: list[str] = []
    for index, tenure in enumerate(lineage.tenures):
        label = f"key set {tenure.number}, epoch {tenure.epoch}"
        instance = built.node(Kind.INSTANCE, f"{lineage.ledger_id.hex()[:16]}/{index}", label)
        built.edge(found[-1] if found else soul, instance, _HOW[tenure.cause], tenure.position)
        if tenure.cause in (Cause.EPOCH, Cause.RECOVERY):
            built.edge(recovery, instance, "signed", tenure.position)
        if tenure.cause is Cause.HANDOFF:
            digest = lineage.tenures[index - 1].next_key_digest.hex()
            key = built.node(Kind.KEY, digest, "next key (off the node)")
            built.edge(key, instance, "signed", tenure.position)
        found.append(instance)
    built.edge(soul, operator, "was given to", 0)
    npub = nip19.npub(genesis.keys["nostr"].hex())
    built.edge(found[0], built.node(Kind.KEY, npub, npub), "speaks as", 0)
    built.edge(soul, recovery, "announced", 0)
    return found


def _in_charge(lineage: Lineage, event: Event) -> int:
    """Which tenure wrote an event: the last one that had begun."""
    begun = [n for n, tenure in enumerate(lineage.tenures) if tenure.position <= event.position]
    return begun[-1]


def _add_anchor(built: Builder, event: Event, instance: str, anchors: dict[bytes, str]) -> None:
    """Add what closes heads into Bitcoin; `anchors` are nodes by what a link commits to."""
    payload, at = event.payload, event.position
    if event.type == types.ANCHOR_REQUESTED.name:
        label = f"head of {payload['size']} events"
        digest = payload["digest"]
        anchors[digest] = built.node(Kind.ANCHOR, digest.hex(), label)
        built.edge(instance, anchors[digest], "signed", at)
    elif event.type == types.AGGREGATED.name:
        root, label = payload["root"], f"round of {payload['ledgers']} ledgers"
        anchors[root] = built.node(Kind.ANCHOR, root.hex(), label)
        if payload["digest"] in anchors:
            built.edge(anchors[payload["digest"]], anchors[root], "has a slot in", at)
    elif event.type == types.SEAL_DELEGATED.name:
        name = Delegation.from_value(payload["delegation"]).aggregator.hex()
        aggregator = built.node(Kind.AGGREGATOR, name, f"aggregator {name[:16]}")
        built.edge(instance, aggregator, "delegated its anchors to", at)
    else:
        block = built.node(Kind.BLOCK, display(payload["block"]), f"block {payload['height']}")
        if payload["digest"] in anchors:
            built.edge(anchors[payload["digest"]], block, "is in", at)


def _add_tag(built: Builder, event: Event, instance: str) -> None:
    """Add a tag of SOUL.md."""
    payload = event.payload
    key = built.node(Kind.KEY, payload["key"].split()[-1][-16:], "ssh key of git tags")
    built.edge(instance, key, f"tagged {payload['name']} with", event.position)
