"""Holds what changed software folded against what is there, by way of what its proposal declares.

Each state is taken back in a cage of its own (`genesis.judging.refolding`); without a migration the
states must be the same.
"""

from collections.abc import Sequence
from typing import Final

from genesis.core.verdict import Outcome
from genesis.judging.refolding import BUSY, Cages, Fold, Told, Tried

_NAMED_MAX: Final = 5
"""Parts of a state that a reason names; the row has all of them."""


async def surely_back(
    cages: Cages,
    name: str,
    module: bytes | None,
    told: Told,
    own: Sequence[Fold],
    new: Sequence[Fold],
) -> Tried:
    """Take states back, and once more what failed: once bad and once good says nothing."""
    first = await taken_back(cages, name, module, told, own, new)
    if first.outcome is Outcome.PASS:
        return first
    again = await taken_back(cages, f"{name}-again", module, told, own, new)
    return again if again.outcome is Outcome.FAIL and not (first.late or again.late) else BUSY


async def taken_back(
    cages: Cages,
    name: str,
    module: bytes | None,
    told: Told,
    own: Sequence[Fold],
    new: Sequence[Fold],
) -> Tried:
    """Hold `new`, what `told` was folded to, against `own`, which this process folded itself."""
    differs = parts_apart(own, new)
    if module is None:
        if not differs:
            return Tried(outcome=Outcome.PASS)
        why = f"{_named(differs)} differs, and no migration is declared"
        return Tried(outcome=Outcome.FAIL, why=f"it changes a reducer silently: {why}")
    old: list[Fold] = []
    for number, fold in enumerate(new):
        tried = await cages.back(f"{name}-back-{number}", module, fold, told)
        if tried.outcome is not Outcome.PASS:
            return tried
        old += tried.folds
    if lost := parts_apart(own, old):
        why = f"the migration that it declares loses {_named(lost)}: the old state is another one"
        return Tried(outcome=Outcome.FAIL, why=why)
    return Tried(outcome=Outcome.PASS)


def parts_apart(before: Sequence[Fold], after: Sequence[Fold]) -> list[str]:
    """Return the parts that differ in one of the states, which were folded side by side."""
    pairs = zip(before, after, strict=True)
    return sorted({name for one, other in pairs for name in one.differs(other)})


def _named(parts: Sequence[str]) -> str:
    more = len(parts) - _NAMED_MAX
    return ", ".join(parts[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
