"""Consensus-critical: the reducer that knows how far each gateway has delivered answers.

A gateway keeps nothing of its own: what it delivered it says, and that is an event. Entries:

    gateways                names of gateways that ever delivered, in order
    delivered/<name>        position of the newest answer it delivered; all before it are, too
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change

Entries: TypeAlias = Mapping[str, Any]
_NAMES: Final = "gateways"


def delivered_key(name: str) -> str:
    """Entry of a gateway."""
    return f"delivered/{name}"


def names(entries: Entries) -> list[str]:
    """Return the gateways that ever delivered."""
    return list(entries.get(_NAMES, ()))


def delivered(entries: Entries, name: str) -> int:
    """Return the position of the newest answer a gateway delivered; -1 if it never did."""
    found = entries.get(delivered_key(name))
    return -1 if found is None else found


def reduce_delivered(entries: Entries, event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    if event.type != types.GATEWAY_DELIVERED.name:
        return ()
    name, position = event.payload.get("gateway"), event.payload.get("position")
    if type(name) is not str or type(position) is not int:
        return ()
    if position <= delivered(entries, name):
        return ()
    changes: list[Change] = [(delivered_key(name), position)]
    if delivered_key(name) not in entries:
        changes.append((_NAMES, [*names(entries), name]))
    return changes
