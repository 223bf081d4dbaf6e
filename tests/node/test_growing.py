"""What a home shows of an answer that grows: whole sentences, from the beginning, and bounded."""

import asyncio

import pytest

from node.fleet import growing
from node.fleet.growing import Growing
from runtime.drafts import Drafts


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(growing, "_BATCH_SECONDS", 0)


async def test_each_request_is_told_all_that_may_be_shown_so_far():
    drafts = Drafts()
    home = Growing(drafts=drafts)
    home.watch(3)
    home.watch(3)
    async with asyncio.timeout(60):
        drafts.sink(3).add("One owl. Two ow")
        assert await home.more(3) == "One owl. "
        drafts.sink(3).add("ls. Three")
        assert await home.more(3) == "One owl. Two owls. "
        drafts.sink(3).reset()
        drafts.sink(3).add("Another link says. ")
        assert await home.more(3) == "Another link says. "
    home.done(3)
    home.done(3)
    assert drafts.sink(3) is None, "nobody watches: no model is asked to stream"


async def test_of_too_many_the_oldest_is_watched_no_more():
    drafts = Drafts()
    home = Growing(drafts=drafts)
    for position in range(growing.WATCHED_MAX + 1):
        home.watch(position)
    assert drafts.sink(0) is None
    assert drafts.sink(1) is not None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await home.more(0)
