"""Whether a trial goes on, is over, or is taken back: decided from counted turns and a clock.

What is compared is what the ledger counted (`runtime.core.adoptions`): the turns of the candidate
in this stage, and those of the architecture of before since the trial began. Bad ones are compared
as rates, so that a bad hour of the machine, which both feel, takes nothing back; what the screens
and the sandbox catch is not compared with anything.

Not covered: answers that are well-formed and wrong. People read those, and roll back by hand. Whose
fault it is that no model replied: it may be down, or refuse what the candidate asks, and a record
of either looks the same. So it counts as a failed turn.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from genesis.core.errors import GenesisError
from runtime.core.adoptions import SHARE_OF, Adoption, Arm, Stage

CRASHES_MAX: Final = 1
"""One bad end may be the machine's: a full memory, a killed process. A second is the tree's."""
ERRORS_FREE: Final = 2
"""Turns that may fail before rates are compared: fewer say nothing about a rate."""
DENIED_FREE: Final = 4
"""Refused calls that are not compared: a model may try a door twice, in two conversations."""
RATE_FACTOR: Final = 2
"""A candidate that does worse by no more than this may be unlucky: a window has few turns."""
PRIOR_TURNS: Final = 10
"""Turns that the architecture of before is credited with, one of them bad: where it had none, all
conversations being in the share, what is bad in more than a fifth of its turns goes back, and not
three turns of a thousand. Beside a few dozen turns of its own they say next to nothing."""
TIMES_MIN: Final = 8
"""Answers of each that a median needs to be worth comparing."""
SLOWER_FACTOR: Final = 2
SLOWER_FREE_MS: Final = 1_000
"""What nobody minds, whatever it was before."""
WAIT_FACTOR: Final = 24
"""A canary whose share nobody speaks in goes on after so many windows: the node's stage is watched
as well, and there it waits for turns as long as it takes."""

WINDOW_S_MAX: Final = 30 * 86_400
"""A month: longer is no trial any more."""
TURNS_MAX: Final = 1_000
STARTS_MAX: Final = 3
"""Starts in a row that a process may fail: a broken tree needs no fourth."""


class InvalidPlan(GenesisError):
    """A trial was asked for that no trial is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How an architecture is tried, in each of both stages. Raises InvalidPlan.

    `share`: of SHARE_OF conversations that try it first. Defaults: a tenth, an hour, twenty
    answers. What fails one turn in three is found with 98 % by then, by a tenth of the people.
    """

    share: int = SHARE_OF // 10
    window_s: int = 3_600
    turns: int = 20

    def __post_init__(self) -> None:
        for name, least, most, unit in (
            ("share", 1, SHARE_OF, f"of {SHARE_OF} conversations"),
            ("window_s", 1, WINDOW_S_MAX, "seconds"),
            ("turns", 1, TURNS_MAX, "answers"),
        ):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise InvalidPlan(
                    f"{name} of {value!r:.20} {unit}, {least} to {most} allowed",
                    hint="timmy patch apply --help",
                )


class Step(StrEnum):
    """What comes next."""

    WAIT = "wait"
    GO_ON = "go on"
    BACK = "back"


class Why(StrEnum):
    """Why an adoption was rolled back."""

    CRISIS = "crisis"
    CRASHES = "crashes"
    CRASH_LOOP = "crash-loop"
    ERRORS = "errors"
    PERMISSIONS = "permissions"
    LATENCY = "latency"
    DAMAGED = "damaged"
    SOFTWARE = "software"
    STATE = "state"
    DISAPPROVED = "disapproved"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The next step, why (of a step back), and in words, with the numbers."""

    step: Step
    why: Why | None
    text: str


def weigh(trial: Adoption, now_ms: int) -> Health:
    """Decide how a trial goes on. `now_ms`: the clock that stamps the ledger's events."""
    one, other = trial.candidate, trial.present
    for why, text in (_crisis(one), _crashes(one), _errors(one, other), _denied(one, other),
                      _slow(one, other)):  # fmt: skip
        if text:
            return Health(step=Step.BACK, why=why, text=text)
    passed_s = max(0, now_ms - trial.since) // 1000
    text = (
        f"{one.answered} of {trial.turns} answers, {passed_s} of {trial.window_s} seconds, "
        f"{one.errors} failed, {one.crashes} crashed"
    )
    enough = one.answered >= trial.turns and passed_s >= trial.window_s
    nobody = trial.stage is Stage.CANARY and passed_s >= trial.window_s * WAIT_FACTOR
    step = Step.GO_ON if enough or nobody else Step.WAIT
    return Health(step=step, why=None, text=text)


def _crisis(one: Arm) -> tuple[Why, str]:
    """A false alarm costs a trial, a missed one perhaps a life."""
    bad = one.crisis
    return Why.CRISIS, f"the crisis screen replaced {bad} of its answers" if bad else ""


def _crashes(one: Arm) -> tuple[Why, str]:
    bad = one.crashes
    text = f"{bad} of its turns ended with the process, at most {CRASHES_MAX} allowed"
    return Why.CRASHES, text if bad > CRASHES_MAX else ""


def _errors(one: Arm, other: Arm) -> tuple[Why, str]:
    text = f"{one.errors} of {one.ended} turns failed, before it {other.errors} of {other.ended}"
    return Why.ERRORS, text if _worse(one.errors, one, other.errors, other, ERRORS_FREE) else ""


def _denied(one: Arm, other: Arm) -> tuple[Why, str]:
    text = (
        f"{one.denied} calls were refused in {one.ended} turns, before it {other.denied} in "
        f"{other.ended}"
    )
    worse = _worse(one.denied, one, other.denied, other, DENIED_FREE)
    return Why.PERMISSIONS, text if worse else ""


def _worse(bad: int, one: Arm, bad_other: int, other: Arm, free: int) -> bool:
    """Whether bad / ended is more than RATE_FACTOR times that of the other; exact, in integers."""
    if bad <= free:
        return False
    turns, bad_before = other.ended + PRIOR_TURNS, bad_other + 1
    return bad * turns > RATE_FACTOR * bad_before * max(1, one.ended)


def _slow(one: Arm, other: Arm) -> tuple[Why, str]:
    if min(len(one.times), len(other.times)) < TIMES_MIN:
        return Why.LATENCY, ""
    mine, before = _median(one.times), _median(other.times)
    slow = mine > SLOWER_FACTOR * before + SLOWER_FREE_MS
    return Why.LATENCY, f"half of its answers take {mine} ms, before it {before} ms" if slow else ""


def _median(times: tuple[int, ...]) -> int:
    return sorted(times)[len(times) // 2]
