"""What a member that was taken out is told when it says, as before, that it is there.

Nobody sends it manifests any more, and it goes by an old one: it would wait for cosignatures that
it is refused, and do the fleet's runs. What it is shown is what the operator signed, up to the
manifest without it and no further: that convinces it, and our word would not.

Not covered: one that does not ask; one whose old fellows are all gone.
"""

from mesh.core.errors import RemovedMember
from mesh.core.fleet.joining import part_of
from mesh.core.fleet.presence import ledger_in, open_presence
from node.fleet.members import FleetNode
from node.open import now_ms


def parting(node: FleetNode, data: bytes, refused: RemovedMember) -> list[bytes]:
    """Return the manifests that it lacks, some of them at least: it asks again for those behind.

    `data` is its presence, signed by the key that it had as a member, and `refused` what is raised
    again of one that knows. Raises InvalidPresence.
    """
    assert node.fleet is not None
    removal = node.fleet.removed[ledger_in(data)]
    found = open_presence(data, removal.nostr, now_s=now_ms() // 1000)
    if found.number >= removal.number:
        raise refused
    return part_of(node.files.chain()[found.number + 1 : removal.number + 1])
