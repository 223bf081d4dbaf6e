"""The pure parts of the proxy: paths, headers, credentials, words, streams cut anywhere, the state."""

import base64
import gzip
import hashlib
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core import types
from ledger.core.event import Draft, seal
from ledger.core.state import State
from node.proxy.passage import Passage, Plain, unpack
from runtime.core.errors import ExchangeRefused
from runtime.core.limits import PROXY_BODY_BYTES_MAX, PROXY_RECORDED_BYTES_MAX
from runtime.core.proxied import open_requests, record_body, reduce_proxied, streams
from runtime.core.proxy_routes import Secrets, Upstream, end_to_end, request_headers, route
from runtime.core.proxy_words import Asked, Replied, ReplyStream, kind_of, read_reply, read_request

UPSTREAMS = (
    Upstream(name="one", base_url="https://one.example/api/v1", wire="openai"),
    Upstream(name="two", base_url="https://two.example/v1", wire="anthropic"),
)


@pytest.mark.parametrize(
    ("path", "headers", "name", "url"),
    [
        ("/v1/models", [], "default", "https://one.example/api/v1/models"),
        ("/v1/messages", [], "default", "https://two.example/v1/messages"),
        (
            "/v1/messages/count_tokens",
            [],
            "default",
            "https://two.example/v1/messages/count_tokens",
        ),
        ("/v1/messages_x", [], "default", "https://one.example/api/v1/messages_x"),
        ("/v1/models", [("anthropic-version", "1")], "default", "https://two.example/v1/models"),
        ("/a/x.y/v1/models", [("Timmy-Stream", "z")], "x.y", "https://one.example/api/v1/models"),
        ("/v1/models", [("Timmy-Stream", "z")], "z", "https://one.example/api/v1/models"),
        ("/u/two/v1/models", [], "default", "https://two.example/v1/models"),
        ("/a/x/u/two/v1/a%20b/...", [], "x", "https://two.example/v1/a%20b/..."),
    ],
)
def test_a_path_names_who_and_where(path, headers, name, url):
    found = route(path, headers, UPSTREAMS)
    assert (found.name, found.url) == (name, url)


@given(st.text("/.%2eEfF5cC\\va1u", max_size=40))
def test_whatever_is_taken_stays_below_its_base(text):
    try:
        found = route(f"/v1/{text}", [], UPSTREAMS)
    except ExchangeRefused:
        return
    from urllib.parse import unquote

    plain = unquote(unquote(found.url.removeprefix(found.upstream.base_url)))
    assert not {"..", "."} & set(plain.replace("\\", "/").split("/"))


def test_headers_of_one_connection_do_not_travel():
    given = [
        ("Connection", "close, X-One"), ("connection", "x-two"), ("X-One", "1"), ("X-Two", "2"),
        ("Keep-Alive", "5"), ("TE", "gzip"), ("Trailer", "x"), ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"), ("Proxy-Connection", "x"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"),
    ]  # fmt: skip
    assert end_to_end(given) == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    assert request_headers([("Host", "x"), ("Accept-Encoding", "br, zstd"), ("X", "y")]) == [
        ("X", "y"), ("Accept-Encoding", "identity"),
    ]  # fmt: skip
    assert request_headers([("Accept-Encoding", "gzip;q=1, *;q=0, Deflate")])[-1][1] == (
        "gzip;q=1, Deflate"
    )


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (("Authorization", "Bearer sk-0123/45+6789"), "sk-0123/45+6789"),
        (("Authorization", "Bearer sk-0123/45+6789"), r"sk-0123\/45+6789"),
        (("Authorization", "Basic " + base64.b64encode(b"me:secret-word").decode()), "secret-word"),
        (("x-api-key", "sk-ant-012345"), "sk-ant-012345"),
        (("X-Goog-Api-Key", "AIza0123456"), "AIza0123456"),
        (("Cookie", "a=12345678; session=abcdefgh"), "abcdefgh"),
    ],
)
def test_credentials_are_taken_out(header, text):
    secrets = Secrets([header, ("X-Other", "harmless-value")])
    data, count = secrets.mask(f"<{text}> harmless-value <{text}>".encode())
    assert (data, count) == (b"<[key]> harmless-value <[key]>", 2)
    assert text not in repr(secrets)
    assert Secrets([("Authorization", "Bearer ollama")]).mask(b"ollama")[1] == 0


ODD_KEY = "abcd+efgh/ijkl+mnop="


@pytest.mark.parametrize(
    "written",
    [
        r"abcd\u002Befgh/ijkl\u002bmnop=",
        r"abcd\u002Befgh\/ijkl+mnop\u003d",
        "".join(f"\\u{ord(c):04x}" for c in ODD_KEY),
        json.dumps(json.dumps({"key": ODD_KEY}).replace("+", "\\u002b"))[1:-1],
    ],
)
def test_credentials_are_taken_out_however_json_writes_them(written):
    secrets = Secrets([("Authorization", f"Bearer {ODD_KEY}")])
    data = rb'{"model": "%s", "messages": [{"role": "user", "content": "<%s> \u00e4 \n"}]}'
    body = data.replace(b"%s", written.encode())
    if not written.startswith("{"):
        asked = read_request("chat", body).masked(secrets.masked)
        assert (asked.model, asked.said) == ("[key]", "<[key]> ä \n")
    record = record_body(body, secrets, size=len(body), sha256=b"")
    assert record.data.count("[key]") == 2
    assert ODD_KEY not in json.dumps(json.loads(record.data))
    assert record.note == "2 credentials are masked"
    other = Secrets([("Authorization", "Bearer another-one")])
    assert record_body(body, other, size=1, sha256=b"").data.encode() == body


def test_credentials_in_json_of_any_characters_are_taken_out():
    secrets = Secrets([("Authorization", 'Bearer a"b\\c-long-enough')])
    assert secrets.mask(json.dumps({"x": 'a"b\\c-long-enough'}).encode())[1] == 1


@pytest.mark.parametrize("back", [0, 1, 12, 19, 20])
@pytest.mark.parametrize("before", [0, 9000])
def test_no_cut_halves_a_credential(back, before):
    passage = Passage("opaque", 0.0)
    passage.begin(200, "text/plain", "", None)
    key = ODD_KEY.encode()
    head = key * before
    passage.take(head + b"x" * (PROXY_RECORDED_BYTES_MAX - len(head) - back), 1.0)
    passage.take(key * 9000, 1.0)
    reply = passage.reply("whole", Secrets([("Authorization", f"Bearer {ODD_KEY}")]), 2.0)
    assert "abc" not in reply.body.data
    assert f"of {passage.size}" in reply.body.note
    assert len(reply.body.data) <= PROXY_RECORDED_BYTES_MAX


def test_only_what_was_said_last_is_new():
    def said(*messages, kind="chat"):
        return read_request(kind, json.dumps({"messages": list(messages)}).encode()).said

    user = {"role": "user", "content": "one"}
    parts = {"role": "user", "content": [{"type": "text", "text": "two"}, {"type": "image_url"}]}
    reply = {"role": "assistant", "content": "no"}
    result = {"role": "user", "content": [{"type": "tool_result", "content": "a tool's"}]}
    assert said(user) == "one"
    assert said(user, reply, parts, {"role": "tool", "content": "x"}, user) == "two\none"
    assert said(user, reply, result, kind="messages") == ""
    prefill = {"role": "assistant", "content": "{"}
    assert said(user, prefill) == said(user, prefill, prefill) == "one"
    assert said(user, prefill, {"role": "system", "content": "be brief"}) == "one"
    assert said(user, reply, parts, prefill) == "two"
    assert said(user, reply, {"role": "tool", "content": "x"}) == ""
    assert read_request("completions", b'{"prompt": ["a", "b"]}').said == "a\nb"
    items = {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}]}
    assert read_request("responses", json.dumps(items).encode()).said == "x"
    assert kind_of("openai", "/chat/completions/") == "chat"
    assert kind_of("openai", "//chat/%63ompletions") == "chat"
    assert kind_of("openai", "/chat/completions/7") == "opaque"


_KEYS = st.sampled_from(
    ["messages", "a", "role", "content", "type", "text", "choices", "delta", "tool_calls", "function",
     "index", "name", "arguments", "usage", "error", "message", "output", "input", "response",
     "content_block", "partial_json", "model", "prompt_tokens", "stop_reason", "finish_reason"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
KINDS = st.sampled_from(["chat", "completions", "responses", "messages", "opaque"])


@given(KINDS, JSON | st.binary(max_size=40))
def test_no_document_is_too_odd_to_be_read(kind, value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    assert isinstance(read_request(kind, data), Asked)
    assert isinstance(read_reply(kind, data), Replied)


EVENT_TYPES = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "message_delta", "x",
     "response.output_text.delta", "response.completed"]
)  # fmt: skip


@given(
    KINDS, st.lists(st.tuples(EVENT_TYPES, st.dictionaries(_KEYS, JSON, max_size=5)), max_size=5)
)
def test_no_stream_is_too_odd_to_be_put_together(kind, events):
    stream = ReplyStream(kind)
    for name, event in events:
        stream.feed(b"data: %s\n\n" % json.dumps(event | {"type": name}).encode())
    stream.feed(b"data: \xff\n\n")
    assert isinstance(read_reply(kind, stream.document()), Replied)


DEEP = b"[" * 990 + b"]" * 990
ODD_EVENTS = [
    ("chat", b'{"type": [], "choices": []}'),
    ("chat", b'{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": []}]}}]}'),
    ("chat", b'{"choices": [], "usage": %s}' % DEEP),
    ("messages", b'{"type": "content_block_start", "index": 0, "content_block": {"a": %s}}' % DEEP),
    ("messages", b'{"type": "content_block_start", "index": 0, "content_block": {"partial_json": 5}}'),
    ("messages", b'{"type": "content_block_start", "index": 0, "content_block": {"tool_calls": {"a": 1}}}'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "event"), ODD_EVENTS)
def test_an_event_of_any_shape_is_recorded(kind, event):
    passage, data = Passage(kind, 0.0), b"data: %s\n\ndata: [DONE]\n\n" % event
    passage.begin(200, "text/event-stream", "", None)
    passage.take(data, 1.0)
    reply = passage.reply("whole", Secrets([]), 2.0)
    assert reply.body.sha256 == hashlib.sha256(data).digest()
    assert reply.facts.get("assembled") or reply.body.data.encode() == data
    assert reply.facts.get("assembled") or "not read" in reply.body.note


@pytest.mark.parametrize("odd", [b"[]", b"{}", b"5", DEEP])
def test_a_part_of_any_shape_leaves_the_others_readable(odd):
    parts = b'[{"type": %s, "text": "x"}, {"type": "text", "text": "owl"}]' % odd
    asked = read_request("chat", b'{"messages": [{"role": "user", "content": %s}]}' % parts)
    said = read_reply("messages", b'{"content": %s}' % parts)
    assert (asked.said, said.said) == (("", "") if odd == DEEP else ("owl", "owl"))


def chunks_of(text):
    piece = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: %s\r\n\r\n" % json.dumps({"choices": [piece]}, ensure_ascii=False).encode()


@given(st.lists(st.text(min_size=1, max_size=5), max_size=6), st.lists(st.integers(0, 400)))
def test_a_stream_is_put_together_wherever_it_is_cut(words, cuts):
    try:
        data = b"".join(map(chunks_of, words)) + b"data: [DONE]\n\n"
    except UnicodeEncodeError:
        return
    passage, places = Passage("chat", 0.0), sorted({cut for cut in cuts if 0 < cut < len(data)})
    passage.begin(200, "text/event-stream", "", None)
    for start, stop in zip([0, *places], [*places, len(data)], strict=True):
        assert not passage.ended
        passage.take(data[start:stop], 1.0)
    assert passage.ended
    reply = passage.reply("whole", Secrets([]), 2.0)
    assert reply.read.said == "".join(words)
    assert reply.body.sha256 == hashlib.sha256(data).digest()
    assert (reply.facts["ms"], reply.facts["ms_first"]) == (2000, 1000)


def test_a_long_stream_is_read_to_its_end_and_recorded_in_part():
    passage = Passage("chat", 0.0)
    passage.begin(200, "text/event-stream", "", None)
    for _ in range(60):
        passage.take(chunks_of("owl " * 5000), 0.0)
    assert not passage.ended
    passage.take(b"data: [DONE]\n\n", 0.0)
    assert passage.ended
    reply = passage.reply("whole", Secrets([]), 0.0)
    assert f"more than {PROXY_RECORDED_BYTES_MAX} bytes" in reply.body.note
    assert len(reply.body.data) <= PROXY_RECORDED_BYTES_MAX + 1000


def test_a_line_without_an_end_is_not_held_and_not_read():
    stream, piece = ReplyStream("chat"), b"x" * 4096
    stream.feed(b"data: " + piece)
    for _ in range(255):
        stream.feed(piece)
    assert stream.trouble == "malformed: an event of more than 1048576 characters"
    stream.feed(b"\n\ndata: [DONE]\n\n")
    assert not stream.ended
    well = ReplyStream("chat")
    for _ in range(3):  # each event has the whole bound
        well.feed(b"data: ")
        for _ in range(200):
            well.feed(piece)
        well.feed(b"\r\n\r\n")
    well.feed(b"data: [DONE]\n\n")
    assert well.ended
    lines = ReplyStream("chat")
    for _ in range(200):
        lines.feed(b"data: " + piece + b"\n")
    lines.feed(b"data: " + piece * 100 + b"\n")
    assert "malformed" in lines.trouble


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw", "identity", ""])
def test_content_codings_are_read_byte_by_byte(coding):
    text = "äöü ☂ owl ".encode() * 50
    raw = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(text), "deflate": zlib.compress(text),
        "raw": raw.compress(text) + raw.flush(),
    }.get(coding, text)  # fmt: skip
    plain = Plain("deflate" if coding == "raw" else coding)
    if coding != "raw":  # without a header it is told by its first bytes: they come together
        assert b"".join(plain.feed(packed[i : i + 1]) for i in range(len(packed))) == text
    assert unpack(packed, "deflate" if coding == "raw" else coding) == (text, None)


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_every_member_of_a_gzip_body_is_read(step):
    packed = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two") + bytes(9)
    plain = Plain("gzip")
    parts = [plain.feed(packed[at : at + step]) for at in range(0, len(packed), step)]
    assert (b"".join(parts), plain.trouble) == (b"one two", None)
    assert unpack(b"", "gzip") == (b"", None)
    assert unpack(packed[:30], "gzip")[1] == "not what its content coding says"
    assert unpack(packed + b"no more of it", "gzip") == (
        b"one two",
        "not what its content coding says",
    )


@pytest.mark.parametrize("members", [1, 40])
def test_what_a_request_becomes_is_bounded(members):
    most = PROXY_BODY_BYTES_MAX
    whole = gzip.compress(bytes(most // members))
    plain, trouble = unpack(whole * members, "gzip")
    assert (len(plain), trouble) == (most // members * members, None)
    plain, trouble = unpack(whole * members + gzip.compress(bytes(most)), "gzip")
    assert (len(plain), trouble) == (most, f"of more than {most} bytes")


def test_what_cannot_be_decoded_is_said():
    assert unpack(b"xyz", "br") == (b"xyz", "of a content coding that is not read: br")
    assert unpack(b"not gzip", "gzip") == (b"", "not what its content coding says")


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_a_body_is_cut_between_characters(size):
    plain = b"x" * (PROXY_RECORDED_BYTES_MAX - size) + "☂".encode() * 4
    body = record_body(plain, Secrets([]), size=len(plain), sha256=b"")
    assert isinstance(body.data, str)
    assert set(body.data) <= {"x", "☂"}
    assert len(body.data.encode()) > PROXY_RECORDED_BYTES_MAX - 3
    assert f"of {len(plain)};" in body.note
    assert isinstance(record_body(b"\xff" + plain, Secrets([]), size=1, sha256=b"").data, bytes)


def event(position, kind, payload, stream=b"s" * 16):
    draft = Draft(type=kind, stream=stream, payload=payload)
    return seal(draft, position=position, stream_sequence=0, ts_ms=1, salts=bytes(64))


def test_the_state_knows_streams_and_what_is_open():
    state = State((reduce_proxied,))
    asked, said = types.PROXY_REQUESTED.name, types.PROXY_REPLIED.name
    for at, (kind, payload, stream) in enumerate(
        [
            (asked, {"stream": "a", "screen": "pass"}, b"a" * 16),
            (asked, {"stream": "b", "screen": "crisis"}, b"b" * 16),
            (asked, {"stream": "a"}, b"x" * 16),
            (said, {"request": 0}, b"a" * 16),
            (said, {"request": 0}, b"a" * 16),  # the second end of one is none
            (said, {"request": "0"}, b"a" * 16),
            (asked, {"stream": 7}, b"a" * 16),
            (said, {"request": 99}, b"a" * 16),
        ]
    ):
        state.apply(event(at, kind, payload, stream))
    found = [
        (one.name, one.stream, one.exchanges, one.crises, one.newest)
        for one in streams(state.entries)
    ]
    assert found == [("a", b"a" * 16, 2, 0, 2), ("b", b"b" * 16, 1, 1, 1)]
    assert open_requests(state.entries) == [1, 2]
    for at, request in ((8, 1), (9, 2)):
        state.apply(event(at, said, {"request": request}))
    assert open_requests(state.entries) == []
    assert "proxied.open" not in state.entries
