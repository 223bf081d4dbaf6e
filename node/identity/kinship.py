"""Parent and children of this agent, for the trust graph: what is certified, and what was granted.

An edge is there only if its certificate verifies, by both signatures, at its place in this ledger;
of orders those that were signed, in turn. Whose the parent's key is, the parent's ledger shows.
"""

from collections.abc import Callable

from genesis.core.children.letters import Kind as LetterKind
from genesis.core.children.letters import Opened
from genesis.core.trust import Builder, Kind
from ledger.core.descent import PLACE, check_parent
from ledger.core.errors import InvalidCertificate
from ledger.core.event import Event
from ledger.core.lineage import Lineage
from mesh.core import nip19
from node.children.records import Child, Family, Ward
from node.open import Reading

_ORDERED = {
    LetterKind.GRANT: "granted {gate} to",
    LetterKind.NARROW: "took {gate} back from",
    LetterKind.RESET: "reset",
}
_ID_CHARS = 16


def add_kin(
    built: Builder,
    opened: Reading,
    instances: list[str],
    in_charge: Callable[[Lineage, Event], int],
) -> None:
    """Add parent, ancestors and children. `instances` are the ids of tenures, in their order."""
    _add_parent(built, opened, instances[0])
    for child in Family(opened.log).now().values():
        number = in_charge(opened.lineage, opened.log.read(child.position))
        try:
            _check(opened, child, number)
        except InvalidCertificate:
            continue
        _add_child(built, child, instances[number])


def _check(opened: Reading, child: Child, number: int) -> None:
    """Raise InvalidCertificate unless the keys of that tenure made the certificate, from here."""
    certificate, lineage = child.certificate, opened.lineage
    check_parent(
        certificate,
        ledger_id=opened.log.ledger_id,
        soul=lineage.genesis.soul.sha256,
        log_key=lineage.tenures[number].keys["log"],
        position=child.position,
    )
    if opened.log.tree.root(certificate.kept_size) != certificate.kept_root:
        raise InvalidCertificate("the certificate keeps another history than this one")


def _add_parent(built: Builder, opened: Reading, born: str) -> None:
    ward = Ward(opened.log).now()
    certificate = ward.certificate
    if certificate is None:
        return
    line = (certificate.parent, *certificate.ancestors)
    nodes = [built.node(Kind.PARENT, one.hex(), f"parent {one.hex()[:_ID_CHARS]}") for one in line]
    built.edge(nodes[0], born, "fathered", PLACE)
    for older, younger in zip(nodes[1:], nodes[:-1], strict=True):
        built.edge(older, younger, "is said to have fathered", PLACE)
    for position, order in ward.orders:
        _add_order(built, nodes[0], born, position, order)


def _add_child(built: Builder, child: Child, instance: str) -> None:
    node = built.node(Kind.CHILD, child.id.hex(), f"child {child.id.hex()[:_ID_CHARS]}")
    built.edge(instance, node, "fathered", child.position)
    npub = nip19.npub(child.certificate.child_keys["nostr"].hex())
    built.edge(node, built.node(Kind.KEY, npub, npub), "speaks as", child.position)
    for position, order in child.orders:
        _add_order(built, instance, node, position, order)


def _add_order(built: Builder, by: str, to: str, position: int, order: Opened) -> None:
    how = _ORDERED.get(order.kind)
    if how is not None:
        built.edge(by, to, how.format(gate=order.facts.get("gate", "")), position)
