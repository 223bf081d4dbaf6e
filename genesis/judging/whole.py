"""The whole of a ledger, as a fork has it: what changed software folds of it is held to its state.

A judge of a bundle is given the newest events, and folds them from an empty state, so that two
homes find the same. A fork has every event, and the state that its parent has: a changed reducer is
first tried on a sample, beside known-bad ones, and then must come, from event 0 on, to that very
state, or be taken back to it. Each fold is one process, to which the ledger is told as it is read.

Not covered: more than once. That it folds to one state twice, it shows on the sample; here it is
held to the parent's state, which each fold must come to.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from genesis.core.constitution import Software
from genesis.core.verdict import Outcome
from genesis.judging.refolding import (
    BUSY,
    Bounds,
    Cages,
    Fold,
    Records,
    Told,
    Tried,
    folded_on,
)
from ledger.core.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Every record below the head, and the state there, which the caller knows to be the parent's.

    Neither is changed.
    """

    records: Records
    state: State


def told_whole(whole: Whole, sample: Told) -> tuple[Told, tuple[Fold, ...]]:
    """Return `sample` with all that stands before it, and what the parent has at its sizes.

    Nothing of the ledger is folded here but what was drawn behind it. Raises Unsound.
    """
    head = whole.state.size
    drawn = islice(sample.events, head - sample.first, None)
    own = folded_on(whole.state.copy(), drawn, sample.sizes)
    return replace(sample, older=whole.records, bounds=Bounds.of(own[-1])), own


async def tried_whole(
    cages: Cages, before: Software, after: Software, told: Told, own: tuple[Fold, ...]
) -> Tried:
    """Fold all with `after`; if that fails, once more, and with `before`, whose doing it may be."""
    first = await cages.once("candidate-whole", after, told)
    if first.outcome is Outcome.PASS:
        return first
    if first.late:
        return _late(told)
    again = await cages.once("candidate-whole-again", after, told)
    if again.outcome is Outcome.PASS or again.late:
        return BUSY
    control = await cages.once("parent-whole", before, told)
    if control.outcome is Outcome.PASS and control.folds == own:
        return again
    why = f"the software as it is: {control.why or 'it folds otherwise than what runs'}"
    return Tried(outcome=Outcome.NOT_RUN, why=why)


def _late(told: Told) -> Tried:
    why = f"the {told.count} events of the whole ledger were not folded in time"
    return Tried(outcome=Outcome.NOT_RUN, why=why, late=True)


async def both(
    one: Coroutine[Any, Any, Tried], other: Coroutine[Any, Any, Tried]
) -> tuple[Tried, Tried]:
    """Run two beside each other. What one raises is raised when both are done."""
    faults: list[Exception] = []

    async def attempt(work: Coroutine[Any, Any, Tried]) -> Tried:
        try:
            return await work
        except Exception as error:  # noqa: BLE001 - raised below, out of the group
            faults.append(error)
            return BUSY

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(attempt(work)) for work in (one, other)]
    if faults:
        raise faults[0]
    first, second = (task.result() for task in tasks)
    return first, second
