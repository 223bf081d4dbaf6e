"""What a search shows of a text, word for word."""

import pytest

from ledger.core.snippet import SCAN_CHARS_MAX, folded_words, snippet

NUMBERS = " ".join(f"w{n}" for n in range(30))


def test_words_are_folded_and_named_once():
    assert folded_words("Über uber, ÜBER! Straße") == ("uber", "strasse")
    assert folded_words("...") == ()


@pytest.mark.parametrize(
    ("text", "starts", "words", "shown"),
    [
        ("the roof leaks", ("roof",), 8, "the [roof] leaks"),
        ("the Roofs, and roofers!", ("roof",), 8, "the [Roofs], and [roofers]"),
        ("Über den Dächern", ("uber", "dach"), 8, "[Über] den [Dächern]"),
        # a quarter of the words stands before the first match
        (NUMBERS, ("w20",), 8, "…w18 w19 [w20] w21 w22 w23 w24 w25…"),
        (NUMBERS, ("w2",), 4, "…w1 [w2] w3 w4…"),
        (NUMBERS, ("w1",), 4, "w0 [w1] w2 w3…"),
        (NUMBERS, ("w29",), 8, "…w27 w28 [w29]"),
        (NUMBERS, ("w26",), 6, "…w25 [w26] w27 w28 w29"),
        (NUMBERS, ("w25",), 6, "…w24 [w25] w26 w27 w28 w29"),
        (NUMBERS, ("nowhere",), 3, "w0 w1 w2…"),
        (NUMBERS, (), 3, "w0 w1 w2…"),
        ("  -- one, two", ("two",), 8, "one, [two]"),
        ("", ("x",), 8, ""),
        ("--- ... ---", ("x",), 5, "--- ."),
        ("one", ("one",), 0, ""),
    ],
)
def test_what_is_shown(text, starts, words, shown):
    assert snippet(text, starts, words=words) == shown


def test_a_long_text_is_looked_at_up_to_a_bound():
    before = "a" * (SCAN_CHARS_MAX - 6)
    assert snippet(f"{before} roofs", ("roof",), words=4) == f"{before} [roofs]"
    assert snippet(f"{before} roofs again", ("again",), words=4) == f"{before} roofs…"
    assert snippet("one " + "-" * SCAN_CHARS_MAX, ("one",), words=2) == "[one]…"
