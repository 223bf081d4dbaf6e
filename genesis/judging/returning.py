"""Holds what changed software folded against what is there, by way of what its proposal declares.

Each state is taken back in a cage of its own (`genesis.judging.refolding`); without a migration the
states must be the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from genesis.core.verdict import Outcome
from genesis.judging.refolding import BUSY, Cages, Fold, Told, Tried

_NAMED_MAX: Final = 5
"""Parts of a state that a reason names; the row has all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """The way back to `own`, the states that this process folded `told` to itself.

    `module`: the migration that is declared; None: none is, and there is nothing to take back.
    """

    cages: Cages
    module: bytes | None
    told: Told
    own: Sequence[Fold]

    async def surely(self, name: str, new: Sequence[Fold]) -> Tried:
        """Take states back, and once more what failed: once bad and once good says nothing."""
        first = await self.once(name, new)
        if first.outcome is Outcome.PASS:
            return first
        again = await self.once(f"{name}-again", new)
        return again if again.outcome is Outcome.FAIL and not (first.late or again.late) else BUSY

    async def once(self, name: str, new: Sequence[Fold]) -> Tried:
        """Hold `new`, what a subject folded the same to, against `own`."""
        differs = parts_apart(self.own, new)
        if self.module is None:
            if not differs:
                return Tried(outcome=Outcome.PASS)
            why = f"{_named(differs)} differs, and no migration is declared"
            return Tried(outcome=Outcome.FAIL, why=f"it changes a reducer silently: {why}")
        old: list[Fold] = []
        for number, fold in enumerate(new):
            tried = await self.cages.back(f"{name}-back-{number}", self.module, fold, self.told)
            if tried.outcome is not Outcome.PASS:
                return tried
            old += tried.folds
        if lost := parts_apart(self.own, old):
            way = f"the migration that it declares loses {_named(lost)}"
            return Tried(outcome=Outcome.FAIL, why=f"{way}: the old state is another one")
        return Tried(outcome=Outcome.PASS)


def parts_apart(before: Sequence[Fold], after: Sequence[Fold]) -> list[str]:
    """Return the parts that differ in one of the states, which were folded side by side."""
    pairs = zip(before, after, strict=True)
    return sorted({name for one, other in pairs for name in one.differs(other)})


def _named(parts: Sequence[str]) -> str:
    more = len(parts) - _NAMED_MAX
    return ", ".join(parts[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
