"""The tables of node.toml for gateways: webhooks, and what the node carries itself over Nostr."""

from typing import Annotated, Literal

import msgspec

from mesh.core.bridge import PEERS_MAX
from mesh.core.limits import INBOX_RELAYS_MAX
from node.sections.base import Key, Section
from runtime.core.limits import NAME_CHARS_MAX
from runtime.core.proxy_routes import NAME_PATTERN

RelayUrl = Annotated[str, msgspec.Meta(pattern="^wss?://[^/]", max_length=255)]


class HookSection(Section, frozen=True):
    """One of [[hooks]]"""

    name: Annotated[str, msgspec.Meta(pattern=f"^{NAME_PATTERN}$")]
    conversation: Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)] = ""
    job: Annotated[str, msgspec.Meta(max_length=2048)] = ""
    signature: Literal["github", "timmy"] = "github"


class NostrSection(Section, frozen=True):
    """[gateways.nostr]"""

    enabled: bool
    operator: Key
    people: Annotated[list[Key], msgspec.Meta(max_length=64)]
    agents: Annotated[list[Key], msgspec.Meta(max_length=64)]
    relays: Annotated[list[RelayUrl], msgspec.Meta(max_length=INBOX_RELAYS_MAX)]


class BridgeSection(Section, frozen=True):
    """[bridge]"""

    peers: Annotated[list[Key], msgspec.Meta(max_length=PEERS_MAX)]
    heartbeat_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)]


class GatewaysSection(Section, frozen=True):
    """[gateways]"""

    nostr: NostrSection
