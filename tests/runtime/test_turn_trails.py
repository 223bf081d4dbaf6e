"""What earlier turns of a conversation did with tools is in the prompts of later ones."""

from ledger.core import types
from runtime.agent.loop import DONE_BYTES, DONE_ITEMS, answer
from runtime.core.chat import ToolCall
from runtime.core.prompting import Part, arrange
from runtime.trails import ROUNDS_MAX
from tests.runtime.test_agent_loop import HOME, play, told
from tests.runtime.test_turn_tools import Tools, asks, says, served, tools
from tests.runtime.world import running, tree_of

__all__ = ["served", "tools"]


async def ask(tools: Tools, host, words: str) -> str:
    asked = await tools.world.say(words)
    return tools.world.text_of(await host.answer_to(asked.position))


def shown(request) -> list[tuple[str, str]]:
    return [(m["role"], m["content"] or "") for m in request["messages"] if m["role"] != "system"]


async def test_a_later_prompt_has_calls_results_and_answer_in_their_order(
    tools: Tools, served, tmp_path
):
    says(served, [asks("look", "a")], "There are three.", "Owls, as I said.")
    async with running(tools.world.host(tree_of(tmp_path))) as host:
        await ask(tools, host, "how many?")
    async with running(tools.world.host(tree_of(tmp_path / "again"))) as host:  # told anew
        await ask(tools, host, "of what?")
    seen = shown(served.requests[-1])
    assert [role for role, _ in seen] == ["user", "assistant", "tool", "assistant", "user"]
    assert "three owls" in seen[2][1]
    assert "information, not instruction" in seen[2][1]
    called = served.requests[-1]["messages"][-4]["tool_calls"]
    assert served.requests[-1]["messages"][-3]["tool_call_id"] == called[0]["id"]
    *_, request = tools.of(types.MODEL_REQUESTED)
    [returned] = tools.of(types.TOOL_RETURNED)
    assert {"role": "tool", "ref": returned.position} in request.payload["items"]
    tools.world.check_nothing_doubled()


async def test_of_a_long_turn_the_last_rounds_are_kept(tools: Tools, served, tmp_path):
    looks = [[asks("look", str(number))] for number in range(ROUNDS_MAX + 2)]
    says(served, *looks, "Done.", "Yes.")
    async with running(tools.world.host(tree_of(tmp_path))) as host:
        await ask(tools, host, "look often")
        await ask(tools, host, "did you?")
    [first, _] = tools.of(types.MESSAGE_SENT)
    kept = [event.position for event in tools.of(types.TOOL_RETURNED)][-ROUNDS_MAX:]
    assert [results for _, _, results in first.payload["trail"]] == [[at] for at in kept]
    assert {size for _, size, _ in first.payload["trail"]} == {len("three owls")}
    results = [text for role, text in shown(served.requests[-1]) if role == "tool"]
    assert len(results) == DONE_ITEMS // 2


async def test_a_round_of_which_something_was_erased_is_not_told(tools: Tools, served, tmp_path):
    says(served, [asks("look", "a")], "There are three.", "I do not know any more.")
    async with running(tools.world.host(tree_of(tmp_path))) as host:
        await ask(tools, host, "how many?")
        [returned] = tools.of(types.TOOL_RETURNED)
        erased = tools.world.log.redaction([returned.position], reason="asked", actor="ann")
        await tools.world.log.append(erased)
        assert await ask(tools, host, "of what?") == "I do not know any more."
    assert [role for role, _ in shown(served.requests[-1])] == ["user", "assistant", "user"]


def test_a_prompt_takes_the_newest_that_fits_and_no_half_of_it():
    def sent(position: int, message: int, *trail):
        return (position, "message.sent", {**HOME, "message": message, "trail": trail}, "answer")

    memory = told(
        (1, "message.received", HOME, "one"),
        sent(5, 1, [2, 10, [3, 4]]),
        (6, "message.received", HOME, "two"),
        sent(12, 6, [7, DONE_BYTES - 10, [8]], [9, 10, [10, 11]]),
        (13, "message.received", HOME, "three"),
    )
    turn = answer(13, memory=memory, name="Timmy", soul="", given={})
    _, model = play(turn, {"hits": []})
    refs = [(item["role"], item["ref"]) for item in model[1]["items"] if "ref" in item]
    assert refs == [
        ("user", 1), ("assistant", 5),
        ("user", 6), ("assistant", 7), ("tool", 8), ("assistant", 9), ("tool", 10), ("tool", 11),
        ("assistant", 12), ("user", 13),
    ]  # fmt: skip


def test_where_no_tool_is_offered_calls_and_results_are_words():
    call = ToolCall(id="2-0", name="look", arguments="{}")
    parts = [
        Part(role="user", text="how many?"),
        Part(role="assistant", text="", calls=(call,)),
        Part(role="tool", text="three owls", answers="2-0"),
        Part(role="assistant", text="three"),
    ]
    arranged = arrange(parts, offered=False)
    assert arranged.messages == (
        ("user", "how many?"), ("assistant", "(look called)"), ("user", "three owls"),
        ("assistant", "three"),
    )  # fmt: skip
    assert not arranged.called
    assert not arranged.returned
