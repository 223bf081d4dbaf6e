"""Which link is asked: how far words may travel, what a link is for, and who rests."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.chain import Chain
from runtime.core.breaker import FAILURES_MAX, REST_FIRST_S, REST_MAX_S, Breaker
from runtime.core.chat import ModelRequest, Price, Reach, Reply, Tried
from runtime.core.errors import ModelFailed
from runtime.core.privacy import Privacy


class Scripted:
    """A link that fails as often as told, then replies."""

    def __init__(self, name, reach=Reach.LOCAL, tasks=(), fails=0, **failure):
        self.name, self.reach, self.tasks = name, reach, frozenset(tasks)
        self.identity, self.price = f"{name}@there", None
        self.fails, self.failure, self.asked = fails, failure, 0

    async def reply(self, request, draft=None):
        self.asked += 1
        if self.asked <= self.fails:
            raise ModelFailed("down", **self.failure)
        return Reply(text="yes", model=self.name, finish="stop")


def request(reach=Reach.TRUSTED, task="chat"):
    return ModelRequest(messages=(("user", "hi"),), max_tokens=5, before=1, reach=reach, task=task)


def last():
    return Scripted("last")


@pytest.mark.parametrize("words", Reach)
@pytest.mark.parametrize("model", Reach)
async def test_words_go_no_further_than_they_may(words, model):
    link = Scripted("there", reach=model)
    reply = await Chain([link, last()]).complete(request(words))
    assert (reply.link == "there") is (model <= words)
    if model > words:
        assert link.asked == 0
        assert reply.tried == (
            Tried("there", f"{model.word}, and these words are {words.word}", failed=False),
        )


async def test_a_link_for_other_tasks_is_passed_over():
    link = Scripted("coder", tasks=["code"])
    chain = Chain([link, last()])
    assert (await chain.complete(request())).tried == (
        Tried("coder", "not for chat", failed=False),
    )
    assert (await chain.complete(request(task="code"))).link == "coder"


async def test_a_link_that_keeps_failing_rests_and_is_tried_again():
    now = [0.0]
    link = Scripted("shaky", fails=FAILURES_MAX + 1)
    chain = Chain([link, last()], clock=lambda: now[0])
    for _ in range(FAILURES_MAX):
        assert (await chain.complete(request())).tried == (Tried("shaky", "down", failed=True),)
    resting = await chain.complete(request())
    assert resting.tried == (
        Tried("shaky", f"resting for {REST_FIRST_S:g} s after failures", failed=False),
    )
    assert link.asked == FAILURES_MAX
    now[0] = REST_FIRST_S
    assert (await chain.complete(request())).tried == (Tried("shaky", "down", failed=True),)
    now[0] += 2 * REST_FIRST_S - 1
    assert "resting" in (await chain.complete(request())).tried[0].reason
    now[0] += 1
    assert (await chain.complete(request())).link == "shaky"
    assert chain.standings[0].failures == 0


async def test_a_provider_says_when_to_come_back():
    now = [0.0]
    link = Scripted("limited", fails=1, wait_s=7.0)
    chain = Chain([link, last()], clock=lambda: now[0])
    await chain.complete(request())
    assert [standing.rests_s for standing in chain.standings] == [7.0, 0.0]
    now[0] = 7.0
    assert (await chain.complete(request())).link == "limited"


async def test_a_prompt_that_is_too_long_does_not_speak_against_the_link():
    link = Scripted("small", fails=10, counts=False)
    chain = Chain([link, last()])
    for _ in range(5):
        assert (await chain.complete(request())).tried == (Tried("small", "down", failed=False),)


@given(st.lists(st.none() | st.floats(0, 1e9), min_size=1, max_size=40))
def test_a_rest_is_bounded_and_a_reply_ends_it(waits):
    breaker, now = Breaker(), 100.0
    for wait_s in waits:
        breaker.failed(now, wait_s)
        assert 0 <= breaker.rests_s(now) <= REST_MAX_S
    assert (breaker.rests_s(now) > 0) or len(waits) < FAILURES_MAX
    breaker.succeeded()
    assert breaker.rests_s(now) == 0


def test_the_least_pattern_that_fits_holds():
    privacy = Privacy(
        default=Reach.TRUSTED,
        conversations=(
            ("*", Reach.PUBLIC), ("health*", Reach.LOCAL), ("health-blog", Reach.PUBLIC),
        ),
    )  # fmt: skip
    assert privacy.of("health-blog") is Reach.LOCAL
    assert privacy.of("blog") is Reach.PUBLIC
    assert privacy.of("Health") is Reach.PUBLIC
    assert privacy.of(None) is Reach.TRUSTED
    assert Privacy().of("anything") is Reach.TRUSTED


async def test_a_request_without_money_goes_to_links_that_cost_nothing():
    dear, near = Scripted("dear"), Scripted("near")
    dear.price = Price(into_microusd=1, out_microusd=1)
    chain = Chain([dear, near, last()])
    assert (await chain.complete(request())).link == "dear"
    reply = await chain.complete(replace(request(), free=True))
    assert (reply.link, dear.asked) == ("near", 1)
    assert reply.tried == (Tried("dear", "costs money, and no more may be spent", failed=False),)
