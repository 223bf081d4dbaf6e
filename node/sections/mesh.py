"""The tables of node.toml about other nodes: whose ledgers are copied, who may copy this one."""

import re
from typing import Annotated, Final, Literal

import msgspec

from mesh.core import nip19
from mesh.core.errors import InvalidIdentifier
from mesh.core.fleet.routing import LEASE_SECONDS_MIN
from mesh.core.limits import MIRROR_SOURCES_MAX
from node.sections.base import Section, Text
from node.sections.bus import BusSection

FLEET: Final = "fleet"
"""Among the ledgers to mirror: those of all members."""
Mirrored = Annotated[str, msgspec.Meta(pattern=f"^([0-9a-f]{{64}}|{FLEET})$")]

Able = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,32}$")]
"""Something that a node can do: a token of the bus's subjects."""
Ledger = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class PeerSection(Section, frozen=True):
    """One of [[mesh.peers]]"""

    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^/?#@]+$", max_length=300)]
    npub: Text


class MeshSection(Section, frozen=True):
    """[mesh]"""

    bus: BusSection
    route: bool
    answer: Literal["lease", "majority"]
    lease_seconds: Annotated[int, msgspec.Meta(ge=LEASE_SECONDS_MIN, le=3600)]
    members: Annotated[list[Text], msgspec.Meta(max_length=256)]
    able: Annotated[list[Able], msgspec.Meta(max_length=12)]
    watchers: Annotated[list[Text], msgspec.Meta(max_length=256)]
    hashes_for_all: bool
    mirror: Annotated[list[Mirrored], msgspec.Meta(max_length=64)]
    mirror_leaves: Annotated[list[Ledger], msgspec.Meta(max_length=64)]
    peers: Annotated[list[PeerSection], msgspec.Meta(max_length=MIRROR_SOURCES_MAX)]


def key_of(text: str) -> str:
    """Read a public key, 64 hexadecimal digits or an npub. Raises InvalidIdentifier."""
    if re.fullmatch(r"[0-9a-f]{64}", text.lower()):
        return text.lower()
    try:
        found = nip19.decode(text)
    except InvalidIdentifier:
        found = None
    if not isinstance(found, nip19.PublicKey):
        shown = "a secret key" if text.lower().startswith("nsec") else repr(text)
        raise InvalidIdentifier(f"{shown} is not a public key", hint="npub1... or hex")
    return found.pubkey


def check_mesh(mesh: MeshSection) -> None:
    """Refuse what cannot be meant. Raises InvalidIdentifier, the key's name first."""
    named = {"members": mesh.members, "watchers": mesh.watchers}
    named["peers: npub"] = [peer.npub for peer in mesh.peers]
    for where, keys in named.items():
        for key in keys:
            try:
                key_of(key)
            except InvalidIdentifier as error:
                raise InvalidIdentifier(f"{where}: {error}", hint=error.hint) from error
    if len({peer.url for peer in mesh.peers}) != len(mesh.peers):
        raise InvalidIdentifier("peers: two have one address", hint="name each one once")
    if mesh.route and FLEET not in mesh.mirror:
        raise InvalidIdentifier(
            "route: no copies of the other members' ledgers are kept",
            hint='mirror = ["fleet"]: a conversation goes on from them',
        )
    if both := set(mesh.mirror) & set(mesh.mirror_leaves):
        raise InvalidIdentifier(
            f"mirror_leaves: {min(both)} is in mirror, too",
            hint="a copy with its words holds the leaf hashes: name it there only",
        )
    named_ledgers = {*mesh.mirror, *mesh.mirror_leaves} - {FLEET}
    if named_ledgers and not mesh.peers and FLEET not in mesh.mirror:
        raise InvalidIdentifier(
            "mirror: there is no peer to copy from",
            hint='[[mesh.peers]], url = "http://host:8787", npub = "npub1..."',
        )
