"""Money and tokens: what is counted, what is passed over, what ends a turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core import types
from ledger.core.event import Draft
from runtime.budget import Budget, BudgetLimits
from runtime.chain import Chain
from runtime.core.chat import ModelRequest, Price, Reach, Reply, Tried, counted
from runtime.core.errors import StepRefused
from runtime.core.spending import DAY_MS, SPENT, reduce_spending, spent_on
from runtime.journal import Journal
from runtime.trial import try_chain
from tests.runtime.test_chain_choice import Scripted, last, request
from tests.runtime.test_turn_services import ask, begin
from tests.runtime.world import World, new_log

PRICE = Price(into_microusd=2_000_000, out_microusd=10_000_000)


def replied(**more):
    payload = {"turn": bytes(16), "tokens_in": 10, "tokens_out": 5, "microusd": 70} | more
    return Draft(type=types.MODEL_REPLIED.name, stream=bytes(16), payload=payload)


async def test_a_priced_link_is_passed_over_when_the_day_is_spent_until_the_next():
    now = [5 * DAY_MS]
    journal = Journal(new_log(clock=lambda: now[0]))
    budget = Budget(journal, BudgetLimits(day_microusd=100), lambda: now[0])
    dear = Scripted("dear")
    dear.price = PRICE
    chain = Chain([dear, last()], refuses=budget.refuses)
    assert (await chain.complete(request())).link == "dear"
    await journal.append(replied())
    assert (await chain.complete(request())).link == "dear"
    await journal.append(replied())
    assert budget.today.microusd == 140
    reply = await chain.complete(request())
    assert (reply.link, reply.tried) == (
        "last",
        (Tried("dear", "the day's 0.00 dollars are spent", failed=False),),
    )
    now[0] = 6 * DAY_MS
    assert budget.today.microusd == 0
    assert (await chain.complete(request())).link == "dear"
    await journal.append(replied())
    assert (budget.today.tokens, budget.today.microusd) == (15, 70)


async def test_a_test_of_the_chain_asks_no_link_whose_money_is_spent():
    journal = Journal(new_log(clock=lambda: 5 * DAY_MS))
    budget = Budget(journal, BudgetLimits(day_microusd=100), lambda: 5 * DAY_MS)
    dear = Scripted("dear")
    dear.price = PRICE
    assert (await try_chain([dear, last()], refuses=budget.refuses)).good
    await journal.append(replied(), replied())
    asked = dear.asked
    spent = await try_chain([dear, last()], refuses=budget.refuses)
    assert not spent.good
    assert spent.alone[0].reason == "does not speak: the day's 0.00 dollars are spent"
    assert [fall.answered_by for fall in spent.falls] == ["last", "last"]
    assert dear.asked == asked == 2


async def test_a_turn_has_so_many_tokens(world: World):
    world.change(budget=Budget(world.journal, BudgetLimits(turn_tokens=20), lambda: 0))
    turn = await begin(world)
    prompt = ask({"role": "user", "ref": turn.message.position})
    await turn.call(0, "model", prompt)
    await turn.call(1, "model", prompt)
    with pytest.raises(StepRefused, match="this turn has used 28 tokens, at most 20"):
        await turn.call(2, "model", prompt)
    other = await begin(world, "another")
    await other.call(0, "model", ask({"role": "user", "ref": other.message.position}))


def test_a_price_is_rounded_up_and_in_whole_numbers():
    assert PRICE.of(1, 0) == 2
    assert PRICE.of(1000, 100) == 3000
    assert Price(into_microusd=1, out_microusd=0).of(1, 0) == 1
    assert Price(into_microusd=1, out_microusd=0).of(0, 0) == 0


def test_tokens_that_nobody_told_are_estimated_and_said_to_be():
    asked = ModelRequest(messages=(("user", "x" * 30),), max_tokens=1, before=0, reach=Reach.LOCAL)
    told = Reply(text="y" * 10, model="m", finish="stop", tokens_in=3, tokens_out=4)
    assert counted(asked, told) is told
    guessed = counted(asked, Reply(text="y" * 10, model="m", finish="stop"))
    assert (guessed.tokens_in, guessed.tokens_out, guessed.estimated) == (10, 4, True)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "tokens_in": st.integers(-5, 2**50) | st.none() | st.text(max_size=2),
                "microusd": st.integers(0, 2**50) | st.booleans(),
            }
        ),
        max_size=8,
    )
)
def test_whatever_is_on_record_adds_up_to_something_a_ledger_can_hold(payloads):
    journal = Journal(new_log(clock=lambda: 3 * DAY_MS))
    for payload in payloads:
        journal.log.append_now(replied(**payload))
    spent = spent_on(journal.state.entries, 3 * DAY_MS + 5)
    expected = sum(
        one["microusd"] for one in payloads
        if type(one["microusd"]) is int and one["microusd"] < 2**48
    )  # fmt: skip
    assert spent.microusd == min(2**48, expected)
    assert 0 <= spent.tokens <= 2**48
    assert spent_on(journal.state.entries, 4 * DAY_MS).tokens == 0


def test_other_events_change_nothing():
    log = new_log()
    assert reduce_spending({}, log.read(0)) == ()
    assert SPENT not in Journal(log).state.entries
