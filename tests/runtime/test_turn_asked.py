"""A call of a tool is one that a reply of its turn asked for; any other is refused, on record."""

import json

import pytest

from ledger.core import types
from runtime.asked_for import ALREADY, NOT_ASKED
from tests.runtime.test_turn_services import begin
from tests.runtime.test_turn_tools import (  # noqa: F401 - fixtures
    Tools,
    asks,
    model,
    says,
    served,
    tools,
    use,
)


async def asked(kit: Tools, server, *calls):
    """A turn whose first reply asks for these calls: the turn, and what the agent is told of them."""
    says(server, list(calls), "x")
    turn = await begin(kit.world)
    me = {"role": "user", "ref": turn.message.position}
    return turn, (await turn.call(0, "model", model([me])))["calls"]


async def test_what_a_reply_asked_for_is_made_with_or_without_its_id(tools, served):  # noqa: F811
    turn, [one, two] = await asked(tools, served, asks("look", "a"), asks("look", "b"))
    assert (await turn.call(1, "tool", one))["outcome"] == "done"
    unnamed = {"name": two["name"], "arguments": two["arguments"]}
    assert (await turn.call(2, "tool", unnamed))["outcome"] == "done"
    assert tools.desk.done == [("look", "a"), ("look", "b")]


OTHER = json.dumps({"path": "/etc/passwd"})


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": OTHER},
        {"name": "put"},
        {"id": "0-0"},
        {"id": "999999-0"},
        {"arguments": OTHER, "id": None},
        {"name": "put", "id": None},
    ],
)
async def test_what_no_reply_asked_for_is_refused_and_on_record(tools, served, change):  # noqa: F811
    turn, [one] = await asked(tools, served, asks("look", "a"))
    call = {key: value for key, value in {**one, **change}.items() if value is not None}
    value = await turn.call(1, "tool", call)
    assert (value["outcome"], value["text"]) == ("refused", NOT_ASKED)
    assert tools.desk.done == []
    [returned] = tools.of(types.TOOL_RETURNED)
    assert returned.payload["outcome"] == "refused"
    [decided] = tools.of(types.TOOL_DECIDED)
    assert (decided.payload["effect"], decided.payload["by"]) == ("deny", "rule")
    assert (await turn.call(2, "tool", one))["outcome"] == "done"  # and what was asked still can be


async def test_a_call_before_any_reply_is_refused(tools, served):  # noqa: F811
    turn = await begin(tools.world)
    value = await turn.call(0, "tool", use("look"))
    assert (value["outcome"], tools.desk.done) == ("refused", [])


@pytest.mark.parametrize("named", [True, False])
async def test_a_call_is_made_as_often_as_it_was_asked_for(tools, served, named):  # noqa: F811
    twice = asks("look", "a"), asks("look", "a", "c2")
    turn, calls = await asked(tools, served, *twice)
    if not named:
        calls = [{"name": one["name"], "arguments": one["arguments"]} for one in calls]
    first = await turn.call(1, "tool", calls[0])
    again = await turn.call(2, "tool", calls[0])
    assert (again["outcome"], again["text"]) == (
        ("refused", ALREADY) if named else ("done", first["text"])
    )
    assert [one.payload["effect"] for one in tools.of(types.TOOL_DECIDED)] == [
        "allow",
        "deny" if named else "allow",
    ]
    last = await turn.call(3, "tool", calls[1])
    assert last["outcome"] == ("done" if named else "refused")
    assert (await turn.call(4, "tool", calls[1]))["text"] == ALREADY
    assert await turn.call(1, "tool", calls[0]) == first  # a step given again is no second call
    assert len(tools.desk.done) == 2


async def test_a_reply_of_another_turn_asked_for_nothing_here(tools, served):  # noqa: F811
    _, [one] = await asked(tools, served, asks("look", "a"))
    says(served, "x")
    other = await begin(tools.world)
    value = await other.call(0, "tool", one)
    assert (value["outcome"], tools.desk.done) == ("refused", [])
