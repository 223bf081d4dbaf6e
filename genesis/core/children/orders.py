"""Consensus-critical: what the orders of a parent come to: which gates a child has passed.

Gates are passed in one order and lost from the top. A fold over the orders, on both sides:

    grant G     the next gate, and no other
    narrow G    G and what is behind it are lost; G was passed
    reset       everything behind the first gate is lost, and what was done before counts no more
    guide, patch    change nothing here

What breaks these rules is refused, by the parent before it signs and by the child before it obeys.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from genesis.core.children.errors import InvalidLetter, OutOfTurn
from genesis.core.children.letters import ORDERS, Chain, Kind, Opened

GATES: Final = ("rite", "tools", "autonomy", "lineage")
"""The gates of the fourth seed, from birth on."""
KEPT_BY_RESET: Final = 1
"""The rite: that it was born, has a SOUL that others know, and has spoken, no order undoes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a child stands with its parent. `level` is how many of GATES are passed."""

    chain: Chain = field(default_factory=Chain)
    level: int = 0
    since_ms: int = 0
    """When the parent signed what `level` comes from."""
    resets: int = 0

    @property
    def gate(self) -> str:
        """The highest gate that is passed, or the empty text."""
        return GATES[self.level - 1] if self.level else ""

    @property
    def next(self) -> str | None:
        """The gate that it stands before."""
        return GATES[self.level] if self.level < len(GATES) else None

    def passed(self, gate: str) -> bool:
        """Tell whether a gate is passed."""
        return gate in GATES[: self.level]

    def take(self, opened: Opened) -> "Standing":
        """Return how it stands after the next order. Raises OutOfTurn, InvalidLetter."""
        if opened.kind not in ORDERS:
            raise InvalidLetter(f"{opened.kind.value} is no order")
        after = replace(self, chain=self.chain.take(opened))
        match opened.kind:
            case Kind.GRANT:
                return self._granted(after, opened)
            case Kind.NARROW:
                return self._narrowed(after, opened)
            case Kind.RESET:
                level = min(self.level, KEPT_BY_RESET)
                return replace(after, level=level, since_ms=opened.at_ms, resets=self.resets + 1)
        return after

    def _granted(self, after: "Standing", opened: Opened) -> "Standing":
        gate = opened.facts["gate"]
        if gate != self.next:
            raise OutOfTurn(f"gate {gate!r} is granted, the next is {self.next or 'none'}")
        return replace(after, level=self.level + 1, since_ms=opened.at_ms)

    def _narrowed(self, after: "Standing", opened: Opened) -> "Standing":
        gate = opened.facts["gate"]
        if not self.passed(gate):
            raise OutOfTurn(f"gate {gate!r} is taken back, and it was not passed")
        return replace(after, level=GATES.index(gate), since_ms=opened.at_ms)


def stand_after(orders: Iterable[Opened]) -> Standing:
    """Fold orders that were taken; one that does not fit is passed over, as it was refused."""
    found = Standing()
    for opened in orders:
        try:
            found = found.take(opened)
        except (OutOfTurn, InvalidLetter):
            continue
    return found
