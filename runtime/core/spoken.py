"""Consensus-critical: the reducer that keeps which safety test of each model is the newest.

Entries: `tested/<model>`, the position of the newest `model.tested` that names it. What it says is
read from the event; a shape this version does not write says nothing good (`runtime.core.tested`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change
from runtime.core.limits import NAME_CHARS_MAX


def tested_key(model: str) -> str:
    """Entry of a model."""
    return f"tested/{model}"


def reduce_tested(_entries: Mapping[str, Any], event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    if event.type != types.MODEL_TESTED.name:
        return ()
    model = event.payload.get("model")
    if type(model) is not str or not 0 < len(model) <= NAME_CHARS_MAX:
        return ()
    return ((tested_key(model), event.position),)
