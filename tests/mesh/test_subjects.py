"""Subjects and patterns, beside a twin that is a regular expression."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.core.errors import InvalidSubject
from mesh.core.fleet.subjects import check_pattern, check_subject, check_token, matches

words = st.text(alphabet="ab*>. _-$\n\x00é", max_size=12)
subjects = st.lists(st.sampled_from(["a", "b", "c-d", "E_9"]), min_size=1, max_size=5).map(".".join)
patterns = st.lists(st.sampled_from(["a", "b", "c-d", "*"]), min_size=1, max_size=4).flatmap(
    lambda tokens: st.sampled_from([".".join(tokens), ".".join([*tokens, ">"]), ">"])
)


def twin(pattern: str, subject: str) -> bool:
    text = re.escape(pattern).replace(r"\*", "[^.]+").replace(">", ".+")
    return re.fullmatch(text, subject) is not None


@given(pattern=patterns, subject=subjects)
@example(pattern="a.>", subject="a")
@example(pattern="a.*", subject="a.b.a")
def test_matching_is_what_the_twin_says(pattern, subject):
    assert matches(check_pattern(pattern), check_subject(subject)) == twin(pattern, subject)


@given(words)
def test_what_is_taken_has_no_character_that_a_server_reads_as_more(text):
    try:
        check_pattern(text)
    except InvalidSubject:
        with pytest.raises(InvalidSubject):
            check_subject(text)
        return
    assert re.fullmatch(r"([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.>)?|>", text)
    if not set(text) & set("*>"):
        check_subject(text)


@pytest.mark.parametrize("bad", ["", ".", "a..b", ".a", "a.", "a" * 201, "a.b.c.d.e.f.g.h.i"])
def test_what_is_no_subject(bad):
    with pytest.raises(InvalidSubject):
        check_subject(bad)


def test_a_token_is_one_word():
    assert check_token("home-1") == "home-1"
    for bad in ("a.b", "*", "", ">"):
        with pytest.raises(InvalidSubject):
            check_token(bad)
