"""Consensus-critical: the reducer that adds up what models cost on the newest day, and its bound.

Entry `spent`: [day, tokens, millionths of a US dollar]; a day is 86,400,000 ms of event time since
1970, UTC. What a reply cost is a fact of `model.replied`, by the price that held then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change

SPENT: Final = "spent"
DAY_MS: Final = 86_400_000
_COUNT_MAX: Final = 2**48
"""No reply has as many tokens or costs as much; a day of them fits an integer of the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Of one day."""

    day: int
    tokens: int = 0
    microusd: int = 0


def spent_on(entries: Mapping[str, Any], ts_ms: int) -> Spent:
    """What was spent on the day of `ts_ms`."""
    day = ts_ms // DAY_MS
    known = entries.get(SPENT)
    if known is None or known[0] != day:
        return Spent(day=day)
    return Spent(day=day, tokens=known[1], microusd=known[2])


def reduce_spending(entries: Mapping[str, Any], event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    if event.type != types.MODEL_REPLIED.name:
        return ()
    before = spent_on(entries, event.ts_ms)
    tokens = _count(event, "tokens_in") + _count(event, "tokens_out")
    return (
        (
            SPENT,
            [
                before.day,
                min(_COUNT_MAX, before.tokens + tokens),
                min(_COUNT_MAX, before.microusd + _count(event, "microusd")),
            ],
        ),
    )


def _count(event: Event, name: str) -> int:
    value = event.payload.get(name)
    return value if type(value) is int and 0 <= value < _COUNT_MAX else 0
