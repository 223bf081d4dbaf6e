"""Providers' formats over real HTTP, whole and streamed, and in every way a stream can fail."""

import re

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.chain import Chain
from runtime.core.anthropic_wire import Anthropic
from runtime.core.chat import ModelRequest, Reach, Tried
from runtime.core.errors import ModelFailed
from runtime.core.limits import REPLY_BYTES_MAX, STREAM_BYTES_MAX
from runtime.core.openai_wire import OpenAi
from runtime.core.sse import Events
from runtime.core.wire import HALF
from runtime.endpoint import Endpoint
from tests.runtime.providers import streamer

REQUEST = ModelRequest(
    messages=(
        ("system", "Be brief."), ("system", "Be kind."), ("assistant", "Hello."),
        ("user", "Where are"), ("user", "the owls?"), ("assistant", "In the"), ("user", "barn?"),
    ),
    max_tokens=50,
    before=10**6,
    reach=Reach.TRUSTED,
)  # fmt: skip
TEXT = "One owl sat. Two owls sat."
CODECS = {"openai": OpenAi(), "anthropic": Anthropic()}


class Seen:
    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.resets = 0

    def add(self, text: str) -> None:
        self.pieces.append(text)

    def reset(self) -> None:
        self.pieces, self.resets = [], self.resets + 1


@pytest.fixture
async def server():
    async with streamer() as server:
        yield server


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(params=CODECS)
def link(request, server, session):
    return Endpoint(
        name=request.param, codec=CODECS[request.param], base_url=server.url, model="m",
        timeout_s=5, reach=Reach.TRUSTED, key="sk-secret", session=session,
    )  # fmt: skip


async def test_a_reply_comes_whole_or_in_pieces_and_is_the_same(link, server):
    whole, seen = await link.reply(REQUEST), Seen()
    streamed = await link.reply(REQUEST, seen)
    assert whole == streamed
    assert (whole.text, whole.tokens_in, whole.tokens_out) == (TEXT, 7, 4)
    assert (whole.model, whole.finish) in {("o-1", "stop"), ("a-1", "end_turn")}
    assert seen.pieces == server.words
    assert [asked["stream"] for asked in server.requests] == [False, True]
    assert "sk-secret" in str(server.headers[0].values())
    assert "sk-secret" not in repr(link)


async def test_a_link_that_cannot_stream_is_asked_for_the_whole(link, server):
    seen = Seen()
    plain = Endpoint(
        **{name: getattr(link, name) for name in link.__slots__ if name != "streams"}, streams=False
    )
    assert (await plain.reply(REQUEST, seen)).text == TEXT
    assert seen.pieces == [TEXT]
    assert server.requests[0]["stream"] is False


async def test_anthropic_has_one_system_text_and_roles_in_turn(server, session):
    link = Endpoint(
        name="a", codec=Anthropic(), base_url=server.url, model="m", timeout_s=5,
        reach=Reach.TRUSTED, key="sk-secret", session=session,
    )  # fmt: skip
    await link.reply(REQUEST)
    [asked], [headers] = server.requests, server.headers
    assert asked["system"] == "Be brief.\n\nBe kind."
    assert [said["role"] for said in asked["messages"]] == [
        "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip
    assert asked["messages"][2]["content"] == "Where are\n\nthe owls?"
    assert (headers["x-api-key"], headers["anthropic-version"]) == ("sk-secret", "2023-06-01")
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        ("half", HALF),
        ("error", "failed in the middle of a stream"),
        ("broken", "half a reply: the connection broke"),
    ],
)
async def test_half_a_stream_is_no_reply_and_is_taken_back(link, server, session, behave, reason):
    server.behave = behave
    async with streamer() as other:
        good = Endpoint(
            name="good", codec=OpenAi(), base_url=other.url, model="m", timeout_s=5,
            reach=Reach.LOCAL, session=session,
        )  # fmt: skip
        seen = Seen()
        reply = await Chain([link, good]).complete(REQUEST, seen)
    assert (reply.link, reply.tried) == ("good", (Tried(link.name, reason, failed=True),))
    assert (seen.resets, "".join(seen.pieces)) == (1, TEXT)


async def test_a_context_overflow_is_told_apart_and_tells_nothing_of_the_prompt(link, server):
    server.behave = "overflow"
    with pytest.raises(ModelFailed, match=r"^context overflow \(status 400\)$") as failed:
        await link.reply(REQUEST, Seen())
    assert not failed.value.counts


@pytest.mark.parametrize(
    ("status", "retry_after", "wait_s"),
    [
        ("429", "7", 7.0), ("429", None, 30.0), ("429", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("401", None, 300.0), ("402", None, 300.0), ("503", "90", 90.0), ("500", None, None),
        ("529", None, None),
    ],
)  # fmt: skip
async def test_a_refusal_says_how_long_to_stay_away(link, server, status, retry_after, wait_s):
    server.behave, server.retry_after = status, retry_after
    with pytest.raises(ModelFailed) as failed:
        await link.reply(REQUEST)
    assert failed.value.wait_s == wait_s
    assert failed.value.counts


# ---- server-sent events --------------------------------------------------------------------------


def reference(text: str) -> list[str]:
    """Events by the book, of a whole text."""
    found, data = [], []
    *lines, _unfinished = re.split("\r\n|\n|\r", text)
    for line in lines:
        if not line:
            found += ["\n".join(data)] if data else []
            data = []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line == "data":
            data.append("")
    return found


LINES = st.sampled_from(
    ["data: a", "data:b", "data", "data:  two", ": note", "event: x", "id: 1", "", "", "datax: no"]
)
TEXTS = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r"])), max_size=30)


@given(TEXTS, st.integers(1, 7))
def test_events_are_the_same_however_they_are_cut(lines, size):
    text = "".join(line + end for line, end in lines) + "\n"
    events, data = Events(), text.encode()
    got = [one for at in range(0, len(data), size) for one in events.feed(data[at : at + size])]
    assert got == reference(text)


def test_streams_are_bounded_and_in_utf8():
    with pytest.raises(ModelFailed, match="a stream of more than"):
        for _ in range(STREAM_BYTES_MAX // 2**20 + 1):
            list(Events().feed(b"x" * (STREAM_BYTES_MAX + 1)))
    with pytest.raises(ModelFailed, match="not UTF-8"):
        list(Events().feed(b"data: \xff\n\n"))


@pytest.mark.parametrize("codec", CODECS.values())
def test_a_streamed_reply_is_bounded(codec):
    stream = codec.stream("m")
    long = "x" * (REPLY_BYTES_MAX // 2)
    openai = f'{{"choices": [{{"delta": {{"content": "{long}"}}}}]}}'
    anthropic = f'{{"type": "d", "delta": {{"type": "text_delta", "text": "{long}"}}}}'
    data = openai if isinstance(codec, OpenAi) else anthropic
    stream.take(data)
    stream.take(data)
    with pytest.raises(ModelFailed, match="a reply of"):
        stream.take(data)


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda data: data.decode("latin-1")))
@pytest.mark.parametrize("codec", CODECS.values())
def test_anything_in_a_stream_is_words_or_a_failure(codec, data):
    stream = codec.stream("m")
    for one in (data, f'{{"type": {data!r}}}', f'{{"choices": [{data}]}}'):
        try:
            stream.take(one)
            stream.reply()
        except ModelFailed:
            pass
