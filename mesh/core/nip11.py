"""The relay information document (NIP-11)."""

from dataclasses import dataclass

import msgspec

from mesh.core import limits
from mesh.core.relay.policy import WritePolicy

SUPPORTED_NIPS = (1, 5, 9, 11, 13, 40, 42, 45, 62, 65, 67, 70, 77)
"""Those that are wholly implemented."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayInfo:
    """What the operator says of the relay. `pubkey` is the node's own key in hex."""

    name: str
    pubkey: str
    version: str
    description: str = ""
    contact: str = ""
    software: str = "timmy-node"


def document(info: RelayInfo, policy: WritePolicy) -> bytes:
    """Return the JSON document: who runs this relay, and its bounds."""
    return msgspec.json.encode(
        {
            "name": info.name,
            "description": info.description,
            "pubkey": info.pubkey,
            "self": info.pubkey,
            "contact": info.contact,
            "supported_nips": SUPPORTED_NIPS,
            "software": info.software,
            "version": info.version,
            "limitation": {
                "max_message_length": limits.FRAME_BYTES_MAX,
                "max_content_length": limits.EVENT_BYTES_MAX,
                "max_event_tags": limits.TAGS_MAX,
                "max_subscriptions": limits.SUBSCRIPTIONS_MAX,
                "max_filters": limits.FILTERS_MAX,
                "max_limit": limits.FILTER_LIMIT_MAX,
                "default_limit": limits.FILTER_LIMIT_MAX,
                "max_subid_length": limits.SUBSCRIPTION_ID_CHARS_MAX,
                "created_at_upper_limit": limits.FUTURE_SECONDS_MAX,
                "auth_required": False,
                "payment_required": False,
                "restricted_writes": policy.restricted,
                "min_pow_difficulty": policy.work_bits,
            },
        }
    )
