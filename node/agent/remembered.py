"""What is remembered in a home whose node does not run: folded from its ledger, read only."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ledger.core.state import State
from ledger.log import Log
from node.agent.remembering import Remembered
from node.home import Home
from node.open import now_ms, reading
from runtime.core.agenda import reduce_agenda
from runtime.core.memories import reduce_memories
from runtime.core.skills import reduce_skills


def folded(log: Log) -> dict[str, Any]:
    """Return the entries of memories and skills, and what is withheld. Raises StoreDamaged."""
    state = State((reduce_agenda, reduce_memories, reduce_skills))
    for event in log.events():
        state.apply(event)
    return state.entries


@contextmanager
def remembered(home: Home) -> Iterator[Remembered]:
    """Open the view for reading, search caught up."""
    with reading(home) as opened:
        yield Remembered(log=opened.log, entries=folded(opened.log), now_s=now_ms() // 1000)
