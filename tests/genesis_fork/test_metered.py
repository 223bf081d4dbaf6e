"""A fork's live model: so many calls, tokens and seconds, of which each is at its bound here."""

import asyncio
from dataclasses import replace

import pytest

from genesis.core.errors import ForkError
from genesis.core.front import Budget as Allowed
from genesis.forking.metered import (
    CALLS_MAX,
    SECONDS_MAX,
    TOKENS_MAX,
    LiveBudget,
    LiveUse,
    Metered,
)
from runtime.core.chat import ModelRequest, Reach, Reply
from runtime.core.errors import ModelFailed

ASKED = ModelRequest(messages=(("user", "hello"),), max_tokens=9, before=1, reach=Reach.LOCAL)
SAID = Reply(text="hello", model="tiny", finish="stop", tokens_in=7, tokens_out=3)


class Clock:
    """Seconds that pass only while a model is asked."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Chain:
    """The other end: what it says, how long it takes, and how it fails is the test's to say."""

    def __init__(self, clock, *, reply=SAID, takes_s=0.0, fails=None, silent=False):
        self.clock, self.reply, self.takes_s = clock, reply, takes_s
        self.fails, self.silent, self.asked = fails, silent, 0
        self.free = []

    async def complete(self, request, draft=None):
        self.free.append(request.free)
        self.asked += 1
        self.clock.now += self.takes_s
        if self.silent:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails
        return self.reply


def metered(budget, **chain):
    clock = Clock()
    made = Chain(clock, **chain)
    return Metered(made, budget, clock), made


async def taken(live):
    """How often it answers before a bound is reached, and what is said then."""
    for number in range(100):
        try:
            await live.complete(ASKED)
        except ModelFailed as error:
            return number, str(error)
    raise AssertionError("no bound was reached")


async def test_calls_end_at_their_bound_and_nobody_is_asked_beyond():
    live, chain = metered(LiveBudget(tokens=TOKENS_MAX, calls=3))
    assert await taken(live) == (
        3,
        "the fork's model has had 3 of 3 calls, 30 of 1000000 tokens, 0 of 300 s",
    )
    assert (await taken(live))[0] == 0
    assert chain.asked == 3
    assert live.use == LiveUse(calls=3, tokens=30, seconds=0.0)


async def test_a_call_that_fails_is_one_too():
    live, chain = metered(LiveBudget(tokens=9, calls=2), fails=ModelFailed("it is down"))
    for words in ("it is down", "it is down", "2 of 2 calls"):
        with pytest.raises(ModelFailed, match=words):
            await live.complete(ASKED)
    assert (chain.asked, live.use.tokens) == (2, 0)


@pytest.mark.parametrize(("tokens", "calls"), [(10, 1), (11, 2), (20, 2)])
async def test_the_reply_that_passes_the_bound_of_tokens_is_the_last(tokens, calls):
    live, chain = metered(LiveBudget(tokens=tokens))
    assert (await taken(live))[0] == chain.asked == calls


async def test_tokens_that_no_provider_counted_end_at_the_bound_of_calls():
    live, _ = metered(
        LiveBudget(tokens=1, calls=4), reply=replace(SAID, tokens_in=None, tokens_out=None)
    )
    assert (await taken(live))[0] == 4


async def test_seconds_end_at_their_bound_over_all_calls():
    live, chain = metered(LiveBudget(tokens=TOKENS_MAX, seconds=5.0), takes_s=2.0)
    assert (await taken(live))[0] == 3  # the third began within it
    assert (chain.asked, live.use.seconds) == (3, 6.0)


async def test_a_model_that_says_nothing_ends_with_the_seconds():
    live, chain = metered(LiveBudget(tokens=1, seconds=0.01), silent=True)
    with pytest.raises(ModelFailed, match=r"0\.01 s of a live model are over"):
        await live.complete(ASKED)
    assert chain.asked == 1


async def test_a_chain_that_is_late_by_itself_says_so_itself():
    live, _ = metered(LiveBudget(tokens=1), fails=TimeoutError("of its own"))
    with pytest.raises(TimeoutError, match="of its own"):
        await live.complete(ASKED)


@pytest.mark.parametrize(
    ("name", "most"), [("tokens", TOKENS_MAX), ("calls", CALLS_MAX), ("seconds", SECONDS_MAX)]
)
def test_a_budget_has_bounds_itself(name, most):
    assert getattr(LiveBudget(**{"tokens": 1, name: most}), name) == most
    for bad in (0, -1, most + 1):
        with pytest.raises(ValueError, match=f"{name} is {bad}, above 0 and at most {most}"):
            LiveBudget(**{"tokens": 1, name: bad})


async def test_when_the_money_is_spent_only_what_is_free_is_asked():
    reply = replace(SAID, microusd=400_000)
    live, chain = metered(LiveBudget(tokens=TOKENS_MAX, calls=5, microusd=1_000_000), reply=reply)
    assert (await taken(live))[0] == 5
    assert chain.free == [False, False, False, True, True]  # what one costs is known afterwards
    assert live.use.microusd == 2_000_000
    live, chain = metered(LiveBudget(tokens=TOKENS_MAX, calls=1, microusd=0), reply=SAID)
    assert ((await taken(live))[0], chain.free) == (1, [True])
    live, chain = metered(LiveBudget(tokens=TOKENS_MAX, calls=2), reply=reply)
    assert ((await taken(live))[0], chain.free) == (2, [False, False])


def test_a_proposal_takes_away_and_adds_nothing():
    asked = LiveBudget(tokens=50, calls=9, seconds=20.0)
    assert asked.within(Allowed(seconds=600, tokens=1_000, usd=2)) == replace(
        asked, microusd=2_000_000
    )
    assert asked.within(Allowed(seconds=5, tokens=7)) == LiveBudget(
        tokens=7, calls=9, seconds=5, microusd=0
    )
    for nothing, name in ((Allowed(), "tokens"), (Allowed(tokens=1, seconds=0), "seconds")):
        with pytest.raises(ForkError, match=f"allows its evaluation no {name}"):
            asked.within(nothing)
