"""What is a quotation and what is not, at each bound; the longest one is named, and whose it is."""

import pytest

from ledger.core.quotation import Passages, Quote

SAID = "one two three four five six seven"


def quote(source, text):
    passages = Passages()
    passages.add(0, source)
    found = passages.find(text)
    return 0 if found is None else found.words


@pytest.mark.parametrize(
    ("source", "text", "words"),
    [
        (SAID, "three four five six seven", 5),
        (SAID, "four five six seven", 0),
        (SAID, "one two three four", 0),
        ("abcd efgh", "abcd efgh", 2),
        ("abcd efg", "abcd efg", 0),
        ("wanderer", "a wanderer came", 1),
        ("wander", "a wander", 0),
        ("it was 12345a then again as ever", "12345a", 1),
        ("it was 1234a then again as ever", "1234a", 0),
        (f"it was {'k' * 20} then again as ever", "k" * 20, 1),
        (f"it was {'k' * 19} then again as ever", "k" * 19, 0),
        ("", "", 0),
    ],
)
def test_a_quotation_is_as_long_as_the_bounds_say(source, text, words):
    assert quote(source, text) == words


def two_texts():
    passages = Passages()
    passages.add(3, "a b c d e f g h")
    passages.add(8, "p q r s t u v w")
    return passages


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a b c d e f g x p q r s t u", Quote(of=3, words=7)),
        ("p q r s t u x a b c d e f g", Quote(of=3, words=7)),
        ("p q r s t u v w x a b c d e", Quote(of=8, words=8)),
        ("p q r s t x a b c d e", Quote(of=8, words=5)),
    ],
)
def test_the_longest_is_named_and_of_equals_the_first(text, found):
    assert two_texts().find(text) == found


@pytest.mark.parametrize(("after", "found"), [(3, None), (4, 3), (8, 3), (None, 3)])
def test_a_text_repeats_only_what_stood_there_before(after, found):
    quote = two_texts().find("a b c d e f p q r s t u v", after=after)
    if after is None:
        assert quote == Quote(of=8, words=7)
    else:
        assert quote == (None if found is None else Quote(of=found, words=6))


def test_words_belong_to_the_text_that_had_them_first():
    passages = two_texts()
    passages.add(9, "x a b c d e f")
    assert passages.find("a b c d e f") == Quote(of=3, words=6)


def test_what_another_has_too_is_no_mark_of_this_one():
    passages = two_texts()
    passages.discount("b c d e f")
    assert passages.find("b c d e f") is None
    assert passages.find("a b c d e") == Quote(of=3, words=5)
    assert passages.find("c d e f g") == Quote(of=3, words=5)
    assert passages.find("p q r s t") == Quote(of=8, words=5)
