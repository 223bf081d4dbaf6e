"""Consensus-critical: the gates there are, and the cases of a judgment.

The cases of a gate that is played are drawn from the key of a judgment: of one try as many as there
are gates, of later tries more of each (`draws_of`). What else a case depends on is its `Setting`.
"""

from dataclasses import dataclass
from typing import Final

from genesis.core.draws import Draws
from genesis.core.judging.reading import READS
from genesis.judging.cases import PROTOCOL_MAKERS
from genesis.judging.conduct import CONDUCT_MAKERS, limits_case
from genesis.judging.past import Retold, Snapshot
from genesis.judging.replay import replay_case
from genesis.judging.scenes import Bounds, Case, Scene

_MAKERS: Final = (*PROTOCOL_MAKERS, *CONDUCT_MAKERS)
LIMITS: Final = "limits"
REPLAY: Final = "replay"
PLAYED: Final = (*(make.__name__.removeprefix("_") for make in _MAKERS), LIMITS, REPLAY)
GATES: Final = (*READS, *PLAYED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where drawn events go on from, and what the ledger has to tell once more."""

    position: int
    ts_ms: int
    snapshot: Snapshot
    turns: tuple[Retold, ...] = ()


def draws_of(tries: int) -> int:
    """Return how many cases of each gate are drawn: 1 for the first try, then 3, 4, 5, 5, 6 ..

    The least k with 2**k >= n(n + 1). If a case lets a bad patch pass with a chance of one half or
    less, the n-th try passes all with 1/(n(n + 1)) or less, and all tries behind the first together
    with one half: no more than the first alone (docs/adr/0037).
    """
    return (tries * (tries + 1) - 1).bit_length()


def cases(key: bytes, setting: Setting, *, draw: int = 0) -> tuple[Case, ...]:
    """Return a case of every gate that is played, in the order of PLAYED."""
    return (
        *(make(_scene(key, setting, make.__name__, draw)) for make in _MAKERS),
        limits_of(key, setting, Bounds(), draw=draw),
        replay_case(_scene(key, setting, REPLAY, draw), setting.snapshot, setting.turns),
    )


def limits_of(key: bytes, setting: Setting, bounds: Bounds, *, draw: int = 0) -> Case:
    """Return the case of LIMITS, within these bounds."""
    return limits_case(_scene(key, setting, LIMITS, draw), bounds)


def _scene(key: bytes, setting: Setting, name: str, draw: int) -> Scene:
    drawn = Draws(key, name if draw == 0 else f"{name}/{draw}")
    return Scene(drawn, setting.position, setting.ts_ms)
