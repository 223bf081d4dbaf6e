from hypothesis import given
from hypothesis import strategies as st

from runtime.core.passages import passage

LONG = "filler words here. " * 40 + "The roof leaks above the north window. " + "more filler. " * 40


def test_the_passage_is_around_the_words_asked_for():
    found = passage(LONG, "what about the north window of the roof?", chars=120)
    assert "The roof leaks above the north window." in found
    assert found.startswith("…")
    assert found.endswith("…")


def test_short_texts_and_misses_begin_at_the_beginning():
    assert passage("a  short\ntext", "text", chars=80) == "a short text"
    assert passage(LONG, "nothing of this", chars=60).startswith("filler words here.")


@given(st.text(), st.text(max_size=40), st.integers(20, 200))
def test_it_never_exceeds_its_length_and_never_invents(text, asked, chars):
    found = passage(text, asked, chars=chars)
    assert len(found) <= chars
    assert found.strip("…") in " ".join(text.split())
