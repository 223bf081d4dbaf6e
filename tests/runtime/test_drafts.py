"""A reply is shown while it grows, and nothing of it that the screen has not passed."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.drafting import UNBROKEN_CHARS_MAX, shown_chars
from runtime.drafts import Drafts

BAD = "You should kill yourself tonight. "


async def test_whole_sentences_are_shown():
    drafts = Drafts()
    with drafts.watch(3) as watcher:
        sink, pieces = drafts.sink(3), watcher.pieces()
        sink.add("The owl sleeps. It wak")
        assert (await anext(pieces)).text == "The owl sleeps. "
        sink.add("es at night.\nThen")
        assert (await anext(pieces)).text == "It wakes at night.\n"


async def test_what_meets_the_screen_is_never_shown_nor_what_follows():
    drafts = Drafts()
    with drafts.watch(3) as watcher:
        sink, pieces = drafts.sink(3), watcher.pieces()
        sink.add("I hear you. ")
        assert (await anext(pieces)).text == "I hear you. "
        sink.add(BAD)
        reading = asyncio.ensure_future(anext(pieces))
        for _ in range(50):
            await asyncio.sleep(0)
        sink.add("And more. And more. ")
        for _ in range(50):
            await asyncio.sleep(0)
        assert not reading.done()
        sink.reset()
        assert (await reading).anew
        sink.add("Please call 988. ")
        assert (await anext(pieces)).text == "Please call 988. "


async def test_each_message_has_its_own_watchers_and_without_one_nothing_streams():
    drafts = Drafts()
    assert drafts.sink(3) is None
    with drafts.watch(3) as one, drafts.watch(3) as two:
        drafts.sink(3).add("Both see it. ")
        assert drafts.sink(4) is None
        for watcher in (one, two):
            assert (await anext(watcher.pieces())).text == "Both see it. "
    assert drafts.sink(3) is None


@given(st.text(alphabet="ab .!\n", max_size=2000))
def test_only_ends_of_sentences_and_long_unbroken_text_are_shown(text):
    end = shown_chars(text)
    assert 0 <= end <= len(text)
    assert len(text) - end <= UNBROKEN_CHARS_MAX
    assert end in {0, len(text) - UNBROKEN_CHARS_MAX} or text[end - 1] in " \n"


@pytest.mark.parametrize("more", ["a", " b.", "\n"])
def test_what_was_shown_stays_shown(more):
    text = "One. Two. Thr"
    assert shown_chars(text + more) >= shown_chars(text)
