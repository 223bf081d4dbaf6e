"""The official clients of OpenAI and Anthropic through the proxy: all as without it, and on record."""

import hashlib
import json

import anthropic
import openai
import pytest

from .conftest import KEY, exchanges
from .provider import CALL, TEXT

TOOL = {"name": "weather", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture
def chat(node):
    with openai.OpenAI(base_url=f"{node.base}/a/claude/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def claude(node):
    base = f"{node.base}/a/claude"
    with anthropic.Anthropic(base_url=base, api_key=KEY, max_retries=0) as client:
        yield client


def last(node, provider, outcome="whole"):
    """The newest exchange, its bytes compared with what the provider sent."""
    asked, said = exchanges(node)[-1]
    assert said["payload"]["outcome"] == outcome
    assert asked["payload"]["stream"] == "claude"
    assert asked["causes"] == []
    assert [cause["position"] for cause in said["causes"]] == [asked["position"]]
    sent = provider.requests[-1]["body"]
    assert asked["content"]["sha256"] == hashlib.sha256(sent).hexdigest()
    assert said["content"]["sha256"] == hashlib.sha256(provider.sent[-1]).hexdigest()
    assert (asked["payload"]["bytes"], said["payload"]["bytes"]) == (
        len(sent), len(provider.sent[-1]),
    )  # fmt: skip
    return asked, said


def test_a_chat_is_answered_and_recorded(node, provider, chat):
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "an old question"},
        {"role": "assistant", "content": "an old answer"},
        {"role": "user", "content": [{"type": "text", "text": "where is the owl?"}]},
    ]
    found = chat.chat.completions.create(model="m-1", messages=messages)
    assert found.choices[0].message.content == TEXT
    asked, said = last(node, provider)
    facts = asked["payload"]
    assert (facts["upstream"], facts["method"], facts["path"], facts["model"], facts["screen"]) == (
        "u0", "POST", "/v1/chat/completions", "m-1", "pass",
    )  # fmt: skip
    assert asked["content"]["said"] == "where is the owl?"
    assert json.loads(asked["content"]["request"])["messages"] == messages
    told = said["payload"]
    assert (told["status"], told["finish"], told["tokens_in"], told["tokens_out"]) == (
        200, "stop", 7, 4,
    )  # fmt: skip
    assert (told["model"], said["content"]["said"]) == ("m-1-2026", TEXT)
    assert said["content"]["reply"].encode() == provider.sent[-1]
    sent = dict(provider.requests[-1]["headers"])
    assert sent["Authorization"] == f"Bearer {KEY}"
    assert sent["User-Agent"].startswith("OpenAI/")
    assert sent["Via"].startswith("1.1 timmy-")


@pytest.mark.parametrize("model", ["m-1", "gzip", "no-done"])
def test_a_stream_passes_and_is_put_together(node, provider, chat, model):
    stream = chat.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "owl?"}], stream=True
    )
    words = [c.choices[0].delta.content for c in stream if c.choices]
    assert "".join(word or "" for word in words) == TEXT
    asked, said = last(node, provider)
    assert asked["payload"]["streamed"]
    assert said["payload"]["assembled"]
    assert said["payload"]["finish"] == "stop"
    assert said["payload"]["tokens_out"] == 4
    assert said["content"]["said"] == TEXT
    assembled = json.loads(said["content"]["reply"])
    assert assembled["choices"][0]["message"] == {"role": "assistant", "content": TEXT}
    assert said["payload"]["request_id"] == "req_7"


@pytest.mark.parametrize("stream", [False, True])
def test_calls_of_tools_pass(node, provider, chat, stream):
    asked = {
        "model": "m-1",
        "messages": [{"role": "user", "content": "weather?"}],
        "tools": [{"type": "function", "function": TOOL}],
    }
    if stream:
        with chat.chat.completions.stream(**asked) as events:
            found = events.get_final_completion().choices[0].message
    else:
        found = chat.chat.completions.create(**asked).choices[0].message
    assert [(c.function.name, c.function.arguments) for c in found.tool_calls] == [
        (CALL["name"], CALL["arguments"])
    ]
    _, said = last(node, provider)
    assert said["content"]["said"] == "(calls weather)"
    [call] = json.loads(said["content"]["reply"])["choices"][0]["message"]["tool_calls"]
    assert call["function"] == CALL
    assert said["payload"]["finish"] == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
def test_responses_pass(node, provider, chat, stream):
    if stream:
        events = list(chat.responses.create(model="m-1", input="owl?", stream=True))
        assert events[-1].response.output_text == TEXT
    else:
        assert chat.responses.create(model="m-1", input="owl?").output_text == TEXT
    asked, said = last(node, provider)
    assert (asked["content"]["said"], said["content"]["said"]) == ("owl?", TEXT)
    assert (said["payload"]["finish"], said["payload"]["tokens_in"]) == ("completed", 7)


def test_models_embeddings_and_unknown_paths_pass(node, provider, chat):
    assert [model.id for model in chat.models.list()] == ["m-1"]
    asked, said = last(node, provider)
    assert (asked["payload"]["method"], asked["payload"]["screen"]) == ("GET", "unread")
    found = chat.embeddings.create(model="e-1", input="owl", encoding_format="float")
    assert found.data[0].embedding == [0.25, -1.5]
    _, said = last(node, provider)
    assert said["payload"]["model"] == "e-1"
    odd = chat.get("/odd/path%20here?after=7&api_key=hidden", cast_to=object)
    assert odd == {"path": "/v1/odd/path here", "query": "after=7&api_key=hidden"}
    assert provider.requests[-1]["path"] == "/v1/odd/path%20here?after=7&api_key=hidden"
    asked, _ = last(node, provider)
    assert asked["content"]["query"] == ["after", "api_key"]
    assert "hidden" not in json.dumps(asked)
    file = chat.files.create(file=("x.bin", b"\x00\xff\xfe" * 9), purpose="assistants")
    assert file.got > 27
    asked, _ = last(node, provider)
    assert bytes.fromhex(asked["content"]["request"]) == provider.requests[-1]["body"]


@pytest.mark.parametrize("tools", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_messages_pass(node, provider, claude, stream, tools):
    asked = {"model": "c-1", "max_tokens": 9, "messages": [{"role": "user", "content": "owl?"}]}
    if tools:
        asked["tools"] = [{"name": "weather", "input_schema": {"type": "object"}}]
    if stream:
        with claude.messages.stream(**asked) as events:
            found = events.get_final_message()
    else:
        found = claude.messages.create(**asked)
    block = found.content[0]
    assert block.input == {"place": "Leipzig"} if tools else block.text == TEXT
    asked_row, said = last(node, provider)
    assert asked_row["payload"]["upstream"] == "u1"
    assert asked_row["content"]["said"] == "owl?"
    assert said["content"]["said"] == ("(calls weather)" if tools else TEXT)
    assert said["payload"]["finish"] == ("tool_use" if tools else "end_turn")
    assert (said["payload"]["tokens_in"], said["payload"]["tokens_out"]) == (7, 4)
    [kept] = json.loads(said["content"]["reply"])["content"]
    assert kept["input"] == {"place": "Leipzig"} if tools else kept["text"] == TEXT
    sent = {name.lower(): value for name, value in provider.requests[-1]["headers"]}
    assert KEY in (sent.get("x-api-key"), sent.get("authorization", "").removeprefix("Bearer "))
    assert "anthropic-version" in sent


def test_tokens_are_counted(node, provider, claude):
    found = claude.messages.count_tokens(
        model="c-1", messages=[{"role": "user", "content": "owl?"}]
    )
    assert found.input_tokens == 11
    asked, _ = last(node, provider)
    assert asked["payload"]["path"] == "/v1/messages/count_tokens"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
def test_errors_of_the_upstream_arrive_as_they_are(node, provider, chat, status, error):
    with pytest.raises(error) as raised:
        chat.chat.completions.create(model=f"status-{status}", messages=[])
    assert raised.value.status_code == status
    assert raised.value.response.content == provider.sent[-1]
    assert raised.value.response.headers["x-request-id"] == "req_7"
    assert "Timmy-Proxy" not in raised.value.response.headers
    _, said = last(node, provider)
    assert (said["payload"]["status"], said["payload"]["finish"]) == (status, "error")
    assert said["content"]["said"] == f"no: {status}"


def test_each_retry_of_a_client_is_an_exchange(node, chat):
    with pytest.raises(openai.RateLimitError):
        chat.with_options(max_retries=2).chat.completions.create(model="status-429", messages=[])
    assert [said["payload"]["status"] for _, said in exchanges(node)[-3:]] == [429] * 3


def test_a_key_that_an_upstream_repeats_is_not_recorded(node, provider, chat):
    with pytest.raises(openai.AuthenticationError, match=KEY):
        chat.chat.completions.create(
            model="echo-key", messages=[{"role": "user", "content": f"my key is {KEY}, ok?"}]
        )
    asked, said = last(node, provider)
    assert asked["content"]["said"] == "my key is [key], ok?"
    assert said["content"]["said"] == "bad key [key]"
    assert (asked["payload"]["masked"], said["payload"]["masked"]) == (1, 1)
    assert "credentials are masked" in said["payload"]["note"]


def test_a_body_that_is_too_long_for_the_record_passes_whole(node, provider, chat):
    found = chat.chat.completions.create(
        model="big", messages=[{"role": "user", "content": "x" * 900_000}]
    )
    assert found.choices[0].message.content == "owl " * 400_000
    asked, said = last(node, provider)
    for row, name, body in (
        (asked, "request", provider.requests[-1]["body"]),
        (said, "reply", provider.sent[-1]),
    ):
        kept = row["content"][name].encode()
        assert (len(kept), body.startswith(kept)) == (768 * 1024, True)
        assert f"the first {len(kept)} bytes of {len(body)}" in row["payload"]["note"]
