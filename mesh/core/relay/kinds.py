"""What a relay does with an event because of its kind and tags (NIP-01, NIP-40, NIP-70).

Kinds that NIP-01 leaves unclassified (45-999 but for the named ones, 40000 and above) are
regular: all relays that were tried keep them so.
"""

from enum import Enum
from typing import TypeAlias

from mesh.core.nip01 import Event


class KindClass(Enum):
    """How long, and against what, an event is kept (NIP-01)."""

    REGULAR = "regular"
    REPLACEABLE = "replaceable"
    EPHEMERAL = "ephemeral"
    ADDRESSABLE = "addressable"


Address: TypeAlias = tuple[int, str, str]
"""Kind, author, `d`: of the events at one address only the newest is kept."""


def kind_class(kind: int) -> KindClass:
    """Return the class of a kind (NIP-01, "Kinds")."""
    if kind in {0, 3} or 10_000 <= kind < 20_000:
        return KindClass.REPLACEABLE
    if 20_000 <= kind < 30_000:
        return KindClass.EPHEMERAL
    if 30_000 <= kind < 40_000:
        return KindClass.ADDRESSABLE
    return KindClass.REGULAR


def first_value(event: Event, name: str) -> str | None:
    """Return the first value of the first tag called `name`, "" if it has none, or None."""
    for tag in event.tags:
        if tag[0] == name:
            return tag[1] if len(tag) > 1 else ""
    return None


def address(event: Event) -> Address | None:
    """Return where a replaceable or addressable event lives, or None for the others."""
    match kind_class(event.kind):
        case KindClass.REPLACEABLE:
            return event.kind, event.pubkey, ""
        case KindClass.ADDRESSABLE:
            return event.kind, event.pubkey, first_value(event, "d") or ""
        case _:
            return None


def supersedes(new: tuple[int, str], old: tuple[int, str]) -> bool:
    """Tell whether `new` replaces `old` at their address, each given as (created_at, id).

    The newer one wins, at the same second the lowest id (NIP-01): every relay ends up with the
    same event in whatever order they arrive.
    """
    return (-new[0], new[1]) < (-old[0], old[1])


def expiration(event: Event) -> int | None:
    """Return the Unix second from which the event is no longer served, or None (NIP-40).

    A value that is not a plain decimal number says nothing and is ignored.
    """
    value = first_value(event, "expiration")
    if value is None or not (value.isascii() and value.isdigit()) or len(value) > 15:
        return None
    return int(value)


def is_expired(event: Event, now: int) -> bool:
    """Tell whether the event's NIP-40 expiration has come."""
    until = expiration(event)
    return until is not None and until <= now


def is_protected(event: Event) -> bool:
    """Tell whether only its author may hand the event to a relay (NIP-70)."""
    return any(tag == ("-",) for tag in event.tags)
