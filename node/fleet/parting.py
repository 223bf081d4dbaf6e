"""What a member that was taken out is told when it says, as before, that it is there.

Nobody sends it manifests any more, and it goes by an old one: it would wait for cosignatures that
it is refused, and do the fleet's runs. What it is shown is what the operator signed, up to the
manifest without it and no further: that convinces it, and our word would not.

Not covered: one that does not ask; one whose old fellows are all gone.
"""

from itertools import accumulate
from typing import Final

from mesh.core.errors import RemovedMember
from mesh.core.fleet.joining import CHAIN_MAX
from mesh.core.fleet.presence import ledger_in, open_presence
from node.fleet.members import FleetNode
from node.open import now_ms

_PARTS_BYTES_MAX: Final = 1024 * 1024
"""Of one answer, beyond its first manifest; in hex it is twice as long, and who asks reads 4 MiB
(`node.fleet.members`)."""


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
    parts = node.files.chain()[found.number + 1 : removal.number + 1][:CHAIN_MAX]
    sizes = accumulate(map(len, parts[1:]), initial=0)
    return [one for one, size in zip(parts, sizes, strict=False) if size <= _PARTS_BYTES_MAX]
