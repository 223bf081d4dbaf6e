"""Consensus-critical: the reducer that keeps where each conversation's list of things to do is.

A list is written whole, as one event; the newest stands. An event with a shape this version does
not write is passed over, never an error.

    todo/<conversation>   position of its newest `todo.set`
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change


def todo_key(conversation: str) -> str:
    """Entry of a conversation."""
    return f"todo/{conversation}"


def reduce_todos(_entries: Mapping[str, Any], event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    conversation = event.payload.get("conversation")
    if event.type != types.TODO_SET.name or not isinstance(conversation, str):
        return ()
    return ((todo_key(conversation), event.position),)
