"""Requests to delete (NIP-09) and to vanish (NIP-62), and what they reach.

A deletion (kind 5) names events by id or address. It reaches those of its author, a version at an
address up to the deletion's own time; and gift wraps that its author receives, if it says `k` 1059:
their authors are keys that nobody holds any more. No request reaches another deletion.

A request to vanish (kind 62) reaches everything of its author up to its own time, deletions
included, and the gift wraps sent to him by then.

A relay may have kinds whose events it keeps against deletions: a checkpoint is a statement that
others rely on, and whoever signed two that contradict each other would ask for one of them back. A
request to vanish reaches those too; it is itself signed, and stays.

Both stay, and keep out what they reach, in whatever order events come. They are requests to a
cache: who was told before has the events still, and nothing here touches a ledger.
"""

from typing import Final

from mesh.core.nip01 import Event, is_hex32
from mesh.core.relay.kinds import Address, KindClass, address, kind_class
from mesh.core.relay.privacy import receivers

DELETION_KIND: Final = 5
VANISH_KIND: Final = 62
GIFT_WRAP_KIND: Final = 1059
ALL_RELAYS: Final = "ALL_RELAYS"

NONE_KEPT: Final[frozenset[int]] = frozenset()

_REQUESTS: Final = frozenset({DELETION_KIND, VANISH_KIND})


def named_ids(deletion: Event) -> frozenset[str]:
    """Return the ids in the `e` tags."""
    return frozenset(
        tag[1] for tag in deletion.tags if len(tag) > 1 and tag[0] == "e" and is_hex32(tag[1])
    )


def named_addresses(deletion: Event) -> frozenset[Address]:
    """Return the addresses in the `a` tags, as far as they are the author's own."""
    found = (
        _own_address(tag[1], deletion.pubkey)
        for tag in deletion.tags
        if tag[0] == "a" and len(tag) > 1
    )
    return frozenset(one for one in found if one is not None)


def _own_address(value: str, author: str) -> Address | None:
    """Read `kind:pubkey:d`; the last colon of a replaceable one is often left out."""
    kind, _, rest = value.partition(":")
    pubkey, _, d = rest.partition(":")
    if pubkey != author or not (kind.isascii() and kind.isdigit() and len(kind) <= 5):
        return None
    match kind_class(int(kind)):
        case KindClass.ADDRESSABLE:
            return int(kind), pubkey, d
        case KindClass.REPLACEABLE:
            return int(kind), pubkey, ""
        case _:
            return None


def reaches_wraps(deletion: Event) -> bool:
    """Tell whether a deletion is also about gift wraps that its author receives."""
    return ("k", str(GIFT_WRAP_KIND)) in {tag[:2] for tag in deletion.tags}


def deletes(deletion: Event, event: Event, *, kept_kinds: frozenset[int] = NONE_KEPT) -> bool:
    """Tell whether a deletion reaches an event, on a relay that keeps some kinds against it."""
    if event.kind in _REQUESTS | kept_kinds:
        return False
    named = event.id in named_ids(deletion)
    if event.pubkey != deletion.pubkey:
        received = event.kind == GIFT_WRAP_KIND and deletion.pubkey in receivers(event)
        return named and received and reaches_wraps(deletion)
    at = address(event)
    return named or (
        at is not None
        and at in named_addresses(deletion)
        and event.created_at <= deletion.created_at
    )


def vanishes(request: Event, event: Event) -> bool:
    """Tell whether a request to vanish reaches an event."""
    if event.created_at > request.created_at or event.id == request.id:
        return False
    received = event.kind == GIFT_WRAP_KIND and request.pubkey in receivers(event)
    return received or event.pubkey == request.pubkey


def reaches(request: Event, event: Event, *, kept_kinds: frozenset[int] = NONE_KEPT) -> bool:
    """Tell whether `request`, of whatever kind, asks `event` away."""
    if request.kind == DELETION_KIND:
        return deletes(request, event, kept_kinds=kept_kinds)
    return request.kind == VANISH_KIND and vanishes(request, event)


def vanish_relays(request: Event) -> tuple[str, ...]:
    """Return the relays that a request to vanish is for: addresses, or ALL_RELAYS."""
    return tuple(tag[1] for tag in request.tags if len(tag) > 1 and tag[0] == "relay")
