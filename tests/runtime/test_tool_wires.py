"""Calls of tools in the formats of providers: offered, asked for, answered; whole and in pieces."""

import json
from dataclasses import replace

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.anthropic_wire import Anthropic
from runtime.core.chat import ModelRequest, Reach, ToolCall, ToolOffer, counted, without_tools
from runtime.core.errors import ModelFailed
from runtime.core.limits import REPLY_CALLS_MAX
from runtime.core.openai_wire import OpenAi
from runtime.core.wire import HALF, arguments_of
from runtime.endpoint import Endpoint
from tests.runtime.providers import streamer

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
CALLS = [
    ("c1", "read", '{"path": "a/long/path/of/owls.txt"}'),
    ("c2", "read", '{"path": "b"}'),
    ("c3", "list", "{}"),
]
REQUEST = ModelRequest(
    messages=(
        ("system", "Be brief."), ("user", "What is in a and b?"), ("assistant", "I look."),
        ("tool", "owls"), ("tool", "plovers"), ("user", "And now?"),
    ),
    max_tokens=50,
    before=10**6,
    reach=Reach.TRUSTED,
    offered=(ToolOffer(name="read", description="Reads.", schema=SCHEMA),),
    called={2: (ToolCall(id="7-0", name="read", arguments='{"path":"a"}'),
                ToolCall(id="7-1", name="read", arguments="{half"))},
    returned={3: "7-0", 4: "7-1"},
)  # fmt: skip
CODECS = {"openai": OpenAi(), "anthropic": Anthropic()}


class Seen:
    def __init__(self) -> None:
        self.text = ""

    def add(self, text: str) -> None:
        self.text += text

    def reset(self) -> None:
        self.text = ""


@pytest.fixture
async def server():
    async with streamer() as server:
        server.calls = list(CALLS)
        yield server


@pytest.fixture(params=CODECS)
async def link(request, server):
    async with aiohttp.ClientSession() as session:
        yield Endpoint(
            name=request.param, codec=CODECS[request.param], base_url=server.url, model="m",
            timeout_s=5, reach=Reach.TRUSTED, session=session,
        )  # fmt: skip


async def test_calls_come_whole_or_in_fragments_and_are_the_same(link, server):
    seen = Seen()
    whole, streamed = await link.reply(REQUEST), await link.reply(REQUEST, seen)
    assert whole == streamed
    assert [(c.id, c.name, json.loads(c.arguments)) for c in whole.calls] == [
        (id_, name, json.loads(arguments)) for id_, name, arguments in CALLS
    ]
    assert seen.text == "".join(server.words)


async def test_a_reply_of_calls_and_no_words_is_no_empty_reply(link, server):
    server.words = []
    for draft in (None, Seen()):
        reply = await link.reply(REQUEST, draft)
        assert (reply.text, len(reply.calls)) == ("", 3)
    server.calls = []
    for draft in (None, Seen()):
        with pytest.raises(ModelFailed, match="empty reply"):
            await link.reply(REQUEST, draft)


async def test_half_a_call_is_half_a_reply(link, server):
    server.behave, server.words = "half", []
    with pytest.raises(ModelFailed, match=HALF):
        await link.reply(REQUEST, Seen())


async def test_more_calls_than_anybody_means_are_refused(link, server):
    server.calls = [(f"c{n}", "read", "{}") for n in range(REPLY_CALLS_MAX + 1)]
    for draft in (None, Seen()):
        with pytest.raises(ModelFailed, match="more than 32 calls"):
            await link.reply(REQUEST, draft)


async def test_a_call_without_a_name_is_malformed(link, server):
    server.calls = [("c1", "", "{}")]
    for draft in (None, Seen()):
        with pytest.raises(ModelFailed, match="without its name"):
            await link.reply(REQUEST, draft)


async def test_a_name_that_no_provider_takes_back_is_made_one(link, server):
    server.calls = [("c1", "my tool!" + "x" * 80, "{}")]
    [call] = (await link.reply(REQUEST)).calls
    assert call.name == "my_tool_" + "x" * 56


async def test_openai_is_told_tools_calls_and_results(server):
    async with aiohttp.ClientSession() as session:
        await Endpoint(
            name="o", codec=OpenAi(), base_url=server.url, model="m", timeout_s=5,
            reach=Reach.TRUSTED, session=session,
        ).reply(REQUEST)  # fmt: skip
    [asked] = server.requests
    assert asked["tools"] == [
        {"type": "function",
         "function": {"name": "read", "description": "Reads.", "parameters": SCHEMA}}
    ]  # fmt: skip
    called, one, two = asked["messages"][2:5]
    assert called["content"] == "I look."
    assert [(c["id"], json.loads(c["function"]["arguments"])) for c in called["tool_calls"]] == [
        ("7-0", {"path": "a"}), ("7-1", {"malformed": "{half"}),
    ]  # fmt: skip
    assert one == {"role": "tool", "tool_call_id": "7-0", "content": "owls"}
    assert (two["tool_call_id"], two["content"]) == ("7-1", "plovers")


async def test_anthropic_is_told_tools_calls_and_results(server):
    async with aiohttp.ClientSession() as session:
        await Endpoint(
            name="a", codec=Anthropic(), base_url=server.url, model="m", timeout_s=5,
            reach=Reach.TRUSTED, session=session,
        ).reply(REQUEST)  # fmt: skip
    [asked] = server.requests
    assert asked["tools"] == [{"name": "read", "description": "Reads.", "input_schema": SCHEMA}]
    user, assistant, results = asked["messages"]
    assert user == {"role": "user", "content": "What is in a and b?"}
    assert assistant["content"] == [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "7-0", "name": "read", "input": {"path": "a"}},
        {"type": "tool_use", "id": "7-1", "name": "read", "input": {"malformed": "{half"}},
    ]
    assert results == {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "7-0", "content": "owls"},
        {"type": "tool_result", "tool_use_id": "7-1", "content": "plovers"},
        {"type": "text", "text": "And now?"},
    ]}  # fmt: skip


async def test_a_call_without_words_has_no_empty_text_for_anthropic():
    request = replace(REQUEST, messages=(*REQUEST.messages[:2], ("assistant", ""), ("tool", "x")),
                      called={2: REQUEST.called[2][:1]}, returned={3: "7-0"})  # fmt: skip
    body = Anthropic().body("m", request, stream=False)
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert OpenAi().body("m", request, stream=False)["messages"][2]["content"] is None


async def test_a_server_that_refuses_tools_is_asked_once_more_without(link, server):
    server.behave, server.calls = "toolless", []
    for draft in (None, Seen()):
        server.requests.clear()
        assert (await link.reply(REQUEST, draft)).text == "".join(server.words)
        assert [("tools" in asked) for asked in server.requests] == [True, False]
    server.behave = "overflow"
    with pytest.raises(ModelFailed, match="context overflow"):
        await link.reply(REQUEST)
    plain = replace(REQUEST, offered=())
    server.requests.clear()
    with pytest.raises(ModelFailed, match="context overflow"):
        await link.reply(plain)
    assert len(server.requests) == 1


async def test_a_link_that_is_said_to_know_no_tools_is_told_none(link, server):
    server.calls = []
    plain = Endpoint(
        **{name: getattr(link, name) for name in link.__slots__ if name != "tools"}, tools=False
    )
    await plain.reply(REQUEST)
    [asked] = server.requests
    assert "tools" not in asked
    assert "tool_calls" not in str(asked)


def test_a_model_that_knows_no_tools_is_told_in_words():
    plain = without_tools(REQUEST)
    assert (plain.offered, plain.called, plain.returned) == ((), {}, {})
    assert plain.messages[2:5] == (
        ("assistant", 'I look.\n[called read with {"path":"a"}]\n[called read with {half]'),
        ("user", "owls"),
        ("user", "plovers"),
    )
    assert "tools" not in OpenAi().body("m", plain, stream=False)


def test_calls_and_schemas_count_among_the_tokens():
    reply = OpenAi().whole(
        b'{"choices":[{"message":{"tool_calls":[{"function":{"name":"read",'
        b'"arguments":{"path":"x"}}}]}}]}', "m"
    )  # fmt: skip
    bare = replace(REQUEST, offered=(), called={}, returned={})
    assert counted(REQUEST, reply).tokens_in > counted(bare, reply).tokens_in
    assert counted(REQUEST, reply).tokens_out == 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}), ("  \n", {}), ("{}", {}), ('{"a": [1]}', {"a": [1]}), ("[]", None), ("null", None),
        ("{", None), ('{"a": 1} x', None), ('{"a": "\\ud800"}', None), ("[" * 5000, None),
    ],
)  # fmt: skip
def test_arguments_are_an_object_or_nothing(text, value):
    assert arguments_of(text) == value


PIECES = st.lists(
    st.tuples(st.integers(0, 3), st.text(max_size=3), st.text(max_size=3), st.text(max_size=8)),
    max_size=12,
)


@given(PIECES)
def test_fragments_of_calls_add_up_however_they_are_mixed(pieces):
    stream, twin = OpenAi().stream("m"), {}
    for index, id_, name, arguments in pieces:
        call = {"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}
        assert stream.take(json.dumps({"choices": [{"delta": {"tool_calls": [call]}}]})) == ""
        old = twin.get(index, ("", "", ""))
        twin[index] = (old[0] or id_, old[1] or name, old[2] + arguments)
    stream.take(json.dumps({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}))
    try:
        calls = stream.reply().calls
    except ModelFailed:
        assert not twin or any(not name for _, name, _ in twin.values())
    else:
        told = [twin[index] for index in sorted(twin)]
        assert [(c.id, c.arguments) for c in calls] == [(i, a) for i, _, a in told]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "index", "delta", "content_block", "id", "name", "input", "choices",
                         "partial_json", "tool_calls", "function", "arguments", "message"]),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(list(CODECS)), st.lists(JSON, max_size=4))
def test_whatever_a_provider_streams_is_a_reply_or_a_failure(name, events):
    stream = CODECS[name].stream("m")
    try:
        for event in events:
            stream.take(json.dumps(event))
        stream.reply()
    except ModelFailed:
        pass
