"""Consensus-critical: a copy of the leaf hashes of one foreign log, as a state machine without I/O.

How heads are followed is `pursuit`'s. What is kept of an event is 32 bytes: enough to prove that
it stands in the log, that a newer head continues an older one, and, if two heads do not, to show
the leaf in which they part. Not a word of it; so nothing is there to be erased, and whether the
log keeps its own rules cannot be seen. Leaves come in runs, each proven by itself, and are stored
in order, as they come.
"""

from collections import deque
from dataclasses import dataclass, field

from mesh.core import limits
from mesh.core.mirrors.copying import Action, Ask, AskLeaves, Head, Kept, StoreLeaves
from mesh.core.mirrors.packages import Place, open_leaves, places
from mesh.core.mirrors.pursuit import Pursuit


@dataclass(slots=True)
class _Run:
    """Leaves that lie together: asked for, then proven, then stored."""

    place: Place
    leaves: list[bytes] = field(default_factory=list)
    asked: bool = False


class LeafReplica(Pursuit[Kept, _Run]):
    """The copying of a log's leaf hashes."""

    def _restart(self) -> None:
        self._runs: deque[_Run] = deque()

    def _plan(self, start: int, head: Head) -> None:
        self._runs += map(_Run, places(start, head.size, head.root, limits.LEAVES_EVENTS))

    @property
    def _busy(self) -> bool:
        return bool(self._runs)

    def _work(self) -> _Run | None:
        for at, run in enumerate(self._runs):
            if at >= limits.MIRROR_AHEAD_PACKAGES:
                break
            if not run.asked:
                run.asked = True
                return run
        return None

    def _ask(self, work: _Run, name: str, number: int) -> Ask:
        place = work.place
        start = max(place.base, min(place.start, self._own.size))
        return AskLeaves(source=name, number=number, start=start, size=place.size)

    def _give_back(self, work: _Run) -> None:
        work.asked = False

    def _take(self, work: _Run, data: bytes, ask: Ask) -> list[Action]:
        assert isinstance(ask, AskLeaves)
        place = work.place
        work.leaves = open_leaves(data, place, self._own.leaves(place.base, ask.start))
        leaves: list[bytes] = []
        while self._runs and self._runs[0].leaves:
            leaves += self._runs.popleft().leaves
        return [StoreLeaves(leaves=tuple(leaves))] if leaves else []
