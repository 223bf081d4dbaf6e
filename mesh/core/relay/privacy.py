"""Who may read what: direct messages are for their two ends (NIP-04, NIP-17, NIP-59).

A gift wrap is signed by a key that is used once, so it shows nobody who wrote; but to whom, when
and how much is in the open. It is therefore given only to a key that a connection has proved to
hold (NIP-42): the author's, or one that a `p` tag names. The same holds for the old kind 4. It
holds for stored and live events, for counts, and for reconciliation, where an id would already
tell that something came.

A filter that names such a kind is refused without authentication, so that its sender learns what to
do; one that names no kinds just does not meet them.
"""

from collections.abc import Iterable
from typing import Final

from mesh.core.nip01 import Event
from mesh.core.relay.filter import Filter

LIVE_WRAP: Final = 21059
"""NIP-59: ephemeral, so it is handed on and not kept."""

GIFT_WRAPS: Final = frozenset({1059, LIVE_WRAP})
"""NIP-59: kept, and ephemeral."""

PRIVATE_KINDS: Final = GIFT_WRAPS | {4}


def receivers(event: Event) -> frozenset[str]:
    """Return the keys that the `p` tags of an event name."""
    return frozenset(tag[1] for tag in event.tags if len(tag) > 1 and tag[0] == "p")


def may_read(event: Event, keys: frozenset[str]) -> bool:
    """Tell whether a client that holds `keys` may have the event."""
    if event.kind not in PRIVATE_KINDS:
        return True
    return event.pubkey in keys or not keys.isdisjoint(receivers(event))


def refusal(filters: Iterable[Filter], keys: frozenset[str]) -> str | None:
    """Return why filters are not answered, in the words of a CLOSED message, or None (NIP-42)."""
    for one in filters:
        if one.kinds is None or one.kinds.isdisjoint(PRIVATE_KINDS):
            continue
        if not keys:
            return "auth-required: direct messages are for those who wrote or receive them"
        if one.kinds <= PRIVATE_KINDS and _of_others(one, keys):
            return "restricted: these direct messages are for others"
    return None


def _of_others(one: Filter, keys: frozenset[str]) -> bool:
    receiving = dict(one.tags).get("p")
    to_others = receiving is not None and receiving.isdisjoint(keys)
    if one.kinds is not None and one.kinds <= GIFT_WRAPS:  # nobody asks as their author
        return to_others
    return to_others and one.authors is not None and one.authors.isdisjoint(keys)
