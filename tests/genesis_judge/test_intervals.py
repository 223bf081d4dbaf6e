"""The interval of a measure, beside a twin that throws every coin; and what a later try costs."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.core.judging.intervals import interval, kept, median
from genesis.judging.program import draws_of


def dumb_kept(pairs: int, tries: int) -> int:
    """Try every k from above: throw all coins, and count how often fewer than k show heads."""
    heads = [sum(throw) for throw in product((0, 1), repeat=pairs)]
    error = Fraction(1, 10 * tries * (tries + 1))
    for k in range(pairs // 2, 0, -1):
        beyond = 2 * sum(1 for count in heads if count < k)
        if Fraction(beyond, 2**pairs) <= error:
            return k
    return 0


@pytest.mark.parametrize("tries", [1, 2, 3, 7, 40])
def test_the_bounds_are_those_of_the_dumb_twin(tries):
    for pairs in range(14):
        assert kept(pairs, tries) == dumb_kept(pairs, tries), pairs


def test_bounds_of_the_tables():
    """Conover, table A3 (binomial, p = 1/2): at 95 %, n and how many are left out on each side."""
    assert [kept(n, 1) - 1 for n in (6, 9, 12, 15, 17, 20, 25)] == [0, 1, 2, 3, 4, 5, 7]
    assert [kept(n, 1) for n in (0, 1, 5)] == [0, 0, 0]


@given(st.lists(st.integers(-1000, 1000), max_size=40), st.integers(1, 50))
def test_the_interval_is_of_values_around_the_median(differences, tries):
    found = interval(differences, tries)
    if found is None:
        assert kept(len(differences), tries) == 0
        return
    low, high = found
    assert low <= median(differences) <= high
    assert {low, high} <= set(differences)
    wider = interval(differences, tries + 1)
    assert wider is None or (wider[0] <= low and high <= wider[1])


def test_no_values_have_no_median():
    with pytest.raises(ValueError, match="no values"):
        median([])


def test_all_later_tries_together_gain_no_more_than_the_first_one():
    """Each case lets a bad patch pass with one half: the worst that a coin can do."""
    assert [draws_of(n) for n in (1, 2, 3, 4, 5, 6, 10, 100)] == [1, 3, 4, 5, 5, 6, 7, 14]
    later = sum(Fraction(1, 2 ** draws_of(n)) for n in range(2, 3_000))
    assert later < Fraction(1, 2 ** draws_of(1))
    wrong = sum(Fraction(1, 10 * n * (n + 1)) for n in range(2, 3_000))
    assert wrong < Fraction(1, 20)
