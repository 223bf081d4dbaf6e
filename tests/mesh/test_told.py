"""What is said in the log once: by whom and why, for a day, in bounded memory."""

from itertools import product

import pytest

from mesh.core import limits
from mesh.core.told import REASONS_MAX, Told


def test_a_reason_is_said_once_whoever_repeats_it():
    told = Told()
    assert told.first("ada", "refused: 403", 0.0)
    assert not told.first("ada", "refused: 403", 1.0)
    assert told.first("ada", "unreachable", 2.0)
    assert told.first("bob", "refused: 403", 3.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dated 61 s from now", "dated 3599 s from now"),
        (f"the manifest here is {'ab' * 32}", f"the manifest here is {'cd' * 32}"),
        ("connect 10.0.0.5:51234", "connect 10.0.0.5:51236"),
        ("x" * 200 + "a", "x" * 200 + "b"),
    ],
)
def test_numbers_and_digests_make_no_other_reason(one, other):
    told = Told()
    assert told.first("ada", one, 0.0)
    assert not told.first("ada", other, 0.0)


def test_who_was_well_for_a_while_since_is_news_again():
    told, clean = Told(), limits.CLEAN_SECONDS
    assert told.first("ada", "dead", 0.0)
    told.well("ada", 1.0)
    assert not told.first("ada", "dead", 5.0), "who comes and goes"
    told.well("bob", 5.0 + clean)
    assert not told.first("ada", "dead", 6.0), "another one's health"
    told.well("ada", 5.0 + clean)
    assert not told.first("ada", "dead", 6.0 + clean)
    assert told.first("ada", "lies", 6.0 + clean)
    told.well("ada", 6.0 + 2 * clean)
    assert told.first("ada", "dead", 7.0 + 2 * clean)
    assert told.first("ada", "lies", 7.0 + 2 * clean)


def test_who_has_many_words_for_it_has_a_share_and_no_more():
    told = Told()
    words = ["".join(pair) for pair in product("ghijklmnop", repeat=3)]
    assert sum(told.first("liar", word, 0.0) for word in words) == REASONS_MAX
    assert told.left_out == len(words) - REASONS_MAX
    assert told.first("ada", "dead", 0.0), "nobody is hushed up for him"
    assert not told.first("liar", words[0], 1.0)


def test_it_is_said_again_after_a_day_or_once_all_was_well():
    told = Told()
    assert told.first("ada", "dead", 0.0)
    assert told.first("bob", "dead", 0.0)
    told.forget("ada")
    assert told.first("ada", "dead", 5.0)
    assert not told.first("bob", "dead", 86_399.0)
    assert told.first("bob", "dead", 86_400.0)
    assert not told.first("ada", "dead", 86_400.0)


def test_a_flood_of_names_is_no_flood_of_lines_and_ends_with_the_day():
    told = Told(most=10, seconds=60.0)
    said = [
        told.first(f"stranger {name}x", "no member", at / 10) for at, name in enumerate("abc" * 9)
    ]
    assert sum(said) == 3
    said = [told.first(f"{chr(65 + at)}-", "no member", 3.0) for at in range(50)]
    assert sum(said) == 10 - 3
    assert len(told._told) == 10
    assert told.first("somebody", "no member", 70.0)
