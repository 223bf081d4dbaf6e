"""How a trial goes on: each measure at its bound and one beyond, beside rates as fractions."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.core.adopting.health import (
    CRASHES_MAX,
    DENIED_FREE,
    ERRORS_FREE,
    PRIOR_TURNS,
    RATE_FACTOR,
    SLOWER_FACTOR,
    SLOWER_FREE_MS,
    TIMES_MIN,
    WAIT_FACTOR,
    InvalidPlan,
    Plan,
    Step,
    Why,
    weigh,
)
from runtime.core.adoptions import Adoption, Arm, Stage, Version

BEFORE = Version(adoption=None, patch=None, tree=bytes(32), version=None, root=bytes(32))
GOOD = Arm(answered=20, times=(100,) * 20)
TRIAL = Adoption(
    staged=9, patch=7, stage=Stage.CANARY, base=bytes(32), root=b"r" * 32, tree=b"t" * 32,
    version=None, before=BEFORE, share=100, window_s=60, turns=20, reducers=bytes(32),
    since=1_000_000, candidate=GOOD, present=GOOD,
)  # fmt: skip
OVER = TRIAL.since + 60_000


def of(now_ms=OVER, stage=Stage.CANARY, other=GOOD, **counted):
    return weigh(
        replace(TRIAL, stage=stage, candidate=replace(GOOD, **counted), present=other), now_ms
    )


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.NODE])
def test_it_goes_on_after_its_time_and_its_answers(stage):
    assert of(stage=stage).step is Step.GO_ON
    assert of(OVER - 1, stage).step is Step.WAIT
    assert of(stage=stage, answered=19).step is Step.WAIT
    assert of(TRIAL.since - 10**9, stage).step is Step.WAIT  # a clock that went back
    assert "19 of 20 answers, 60 of 60 seconds" in of(stage=stage, answered=19).text


def test_a_canary_nobody_speaks_to_goes_on_and_a_node_waits():
    late = TRIAL.since + 60_000 * WAIT_FACTOR
    assert of(late - 1, answered=0).step is Step.WAIT
    assert of(late, answered=0).step is Step.GO_ON
    assert of(late * 10, Stage.NODE, answered=0).step is Step.WAIT


@pytest.mark.parametrize(
    ("why", "good", "bad"),
    [
        (Why.CRISIS, {}, {"crisis": 1}),
        (Why.CRASHES, {"crashes": CRASHES_MAX}, {"crashes": CRASHES_MAX + 1}),
        (Why.ERRORS, {"errors": ERRORS_FREE}, {"errors": ERRORS_FREE + 1}),
        (Why.PERMISSIONS, {"denied": DENIED_FREE}, {"denied": DENIED_FREE + 1}),
        (
            Why.LATENCY,
            {"times": (100 * SLOWER_FACTOR + SLOWER_FREE_MS,) * TIMES_MIN},
            {"times": (100 * SLOWER_FACTOR + SLOWER_FREE_MS + 1,) * TIMES_MIN},
        ),
    ],
)
def test_each_measure_at_its_bound_and_beyond(why, good, bad):
    assert of(**good).step is Step.GO_ON
    found = of(**bad)
    assert (found.step, found.why) == (Step.BACK, why)
    assert any(sign.isdigit() for sign in found.text)
    assert of(TRIAL.since, **bad).step is Step.BACK  # at once, not when the time is over


def test_what_cannot_be_compared_is_not():
    few = {"times": (10**6,) * (TIMES_MIN - 1)}
    assert of(**few).step is Step.GO_ON
    assert of(other=Arm(), times=(10**6,) * TIMES_MIN).step is Step.GO_ON


def test_a_bad_hour_that_both_feel_takes_nothing_back():
    bad = Arm(answered=10, errors=10, denied=10, times=(90_000,) * 10)
    same = {"answered": 20, "errors": 20, "denied": 20, "times": (90_000,) * 20}
    assert of(other=bad, **same).step is Step.GO_ON


def test_few_bad_turns_of_many_take_nothing_back_where_nothing_is_compared():
    assert of(other=Arm(), answered=997, errors=3).step is Step.GO_ON
    assert of(other=Arm(), answered=995, denied=5).step is Step.GO_ON
    assert of(other=Arm(), answered=80, errors=20).step is Step.GO_ON
    assert of(other=Arm(), answered=79, errors=20).why is Why.ERRORS
    assert of(other=Arm(), answered=0, errors=3).why is Why.ERRORS
    assert of(other=Arm(answered=1000), answered=400, errors=3).why is Why.ERRORS


@given(*[st.integers(0, 50)] * 4)
def test_rates_are_compared_exactly(bad, answered, bad_other, answered_other):
    other = Arm(answered=answered_other, errors=bad_other)
    found = of(other=other, answered=answered, errors=bad, times=())
    rate = Fraction(bad, max(1, bad + answered))
    before = Fraction(bad_other + 1, bad_other + answered_other + PRIOR_TURNS)
    assert (found.why is Why.ERRORS) == (bad > ERRORS_FREE and rate > RATE_FACTOR * before)


@pytest.mark.parametrize(
    "given", [{"share": 0}, {"share": 1001}, {"window_s": 0}, {"turns": 0}, {"turns": True}]
)
def test_a_plan_has_bounds(given):
    with pytest.raises(InvalidPlan, match="allowed"):
        Plan(**given)
    assert Plan().share == 100
