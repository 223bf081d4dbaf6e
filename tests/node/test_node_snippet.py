"""The words that a search shows around a match: short, marked, and in time whatever the text."""

import time

import pytest

from ledger.core.snippet import SCAN_CHARS_MAX, folded_words, snippet

LONG = " ".join(f"w{number}" for number in range(100))

CASES = [
    ("the roof leaks", "roof", "the [roof] leaks"),
    ("the Roofer, the roof!", "ROOF", "the [Roofer], the [roof]"),
    ("das Dach läßt Wasser durch", "lasst", "das Dach [läßt] Wasser durch"),
    ("ein schöner Tag", "schon", "ein [schöner] Tag"),
    ("nothing here", "roof", "nothing here"),
    ('roof*("OR")', "roof OR", '[roof]*("[OR]'),
    ("", "roof", ""),
    ("!!! ... ???", "roof", "!!! ... "),
]


@pytest.mark.parametrize(("text", "query", "shown"), CASES)
def test_words_that_begin_as_asked_are_marked(text, query, shown):
    assert snippet(text, folded_words(query), words=8) == shown


def test_a_match_in_the_middle_is_shown_with_what_stands_around_it():
    shown = snippet(LONG, ("w50",), words=8)
    assert shown == "…w48 w49 [w50] w51 w52 w53 w54 w55…"


def test_a_match_behind_the_part_that_is_scanned_shows_the_beginning():
    shown = snippet("x " * SCAN_CHARS_MAX + "roof", ("roof",), words=3)
    assert shown == "x x x…"


def test_a_question_with_one_word_often_asks_for_it_once():
    assert folded_words("Roof roof ROOF tiles") == ("roof", "tiles")


def test_a_megabyte_of_one_word_costs_what_a_scanned_part_of_it_costs():
    assert snippet("again " * 200_000, ("again",), words=2) == "[again] [again]…"
    assert _cost_ns("again " * 200_000) < 10 * _cost_ns(
        ("again " * SCAN_CHARS_MAX)[:SCAN_CHARS_MAX]
    )


def _cost_ns(text: str) -> int:
    """CPU time of the least of a few tries: what it costs, on any machine, busy or not."""
    tries = []
    for _ in range(4):
        began = time.thread_time_ns()
        snippet(text, ("again",), words=2)
        tries.append(time.thread_time_ns() - began)
    return min(tries)
