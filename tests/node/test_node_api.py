"""Hostile HTTP and WebSocket clients: each is told what is wrong, and the node goes on answering."""

import asyncio
import json
import os
import socket
import struct

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from mesh.core import limits as mesh_limits
from node.api.app import _BODY_BYTES_MAX
from runtime.core.limits import NAME_CHARS_MAX, TEXT_BYTES_MAX

from .world import until

TEN_MEGABYTES = 10_000_000


@pytest.fixture(scope="module")
def home(lived_seed, tmp_path_factory):
    home = lived_seed.copy(tmp_path_factory.mktemp("api") / "home")
    yield home
    home.end()


@pytest.fixture(scope="module")
def node(home):
    with home.running() as node:
        yield node


@pytest.fixture(autouse=True)
def _goes_on_answering(node):
    """After each attack: the node lives, answers, and logged no bug of ours."""
    yield
    assert node.alive, node.stderr
    assert node.answer("are you there?", conversation="pulse")
    assert "Traceback" not in node.home.logged
    assert "request failed" not in node.home.logged


# ---- too large -----------------------------------------------------------------------------------


def test_ten_megabytes_are_refused_by_the_command_with_both_numbers(home, node):
    before = len(node.log("message.received"))
    done = home.run("say", "-", stdin=b"a" * TEN_MEGABYTES)
    done.refused(f"message of {TEN_MEGABYTES} bytes, at most {TEXT_BYTES_MAX}", "parts")
    assert len(node.log("message.received")) == before


def test_ten_megabytes_over_http_are_413_with_both_numbers(node):
    body = json.dumps({"text": "a" * TEN_MEGABYTES}).encode()
    answer = node.request("POST", "/v1/say", body)
    answer.refused(413, f"request of {len(body)} bytes, at most {_BODY_BYTES_MAX}", "in parts")


def test_ten_megabytes_in_chunks_are_413_with_the_bound(node):
    """No Content-Length: the bound holds while the body arrives."""
    head = (
        f"POST /v1/say HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {node.home.token}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    answer = node.raw(head.encode() + chunk * 160 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert f"more than {_BODY_BYTES_MAX} bytes".encode() in answer


def test_a_message_just_over_the_bound_is_refused_and_one_at_it_is_kept(node):
    over = node.request("POST", "/v1/say", {"text": "a" * (TEXT_BYTES_MAX + 1)})
    over.refused(422, f"message of {TEXT_BYTES_MAX + 1} bytes, at most {TEXT_BYTES_MAX}", "parts")
    text = "é" * (TEXT_BYTES_MAX // 2)
    said = node.say(text, conversation="long")
    assert said["message"]["content"]["text"] == text
    assert said["answer"] is not None


def test_one_word_twenty_thousand_times_holds_up_nobody(node):
    assert node.answer("again " * 20_000, conversation="echo")
    found = node.request("GET", "/v1/search?q=again", timeout=10)
    assert found.status == 200
    assert all(len(row["snippet"]) < 1000 for row in found.json)


# ---- not text ------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"caf\xe9", b"\xff\xfeh\x00i\x00", b"\xed\xa0\x80"], ids=["latin-1", "utf-16", "surrogate"])  # fmt: skip
def test_standard_input_that_is_not_utf8_is_refused_with_its_byte(home, node, data):
    before = len(node.log("message.received"))
    home.run("say", "-", stdin=data).refused("standard input is not UTF-8 at byte", "UTF-8")
    assert len(node.log("message.received")) == before


@pytest.mark.parametrize("language", ["C", "C.UTF-8"])
def test_a_chat_that_is_not_utf8_ends_with_an_error(home, node, language):
    done = home.run("chat", stdin=b"hello\nca\xe9\n", env={"LANG": language, "LC_ALL": language})
    assert done.code == 2
    assert "what was typed is not UTF-8" in done.err
    assert "Traceback" not in done.err


def test_words_that_are_not_utf8_are_refused(home, node):
    home.run("say", os.fsdecode(b"ca\xe9")).refused("argument 2 is not UTF-8 at character 2")


@pytest.mark.parametrize("text", ["", "  \n\t", "\u2028"])
def test_a_blank_message_is_refused(home, node, text):
    home.run("say", "-", stdin=text.encode()).refused("the message is blank", "timmy say")
    node.request("POST", "/v1/say", {"text": text}).refused(422, "the message is blank")


BODIES = {
    "nothing": (b"", "the request is not JSON"),
    "not JSON": (b"{", "the request is not JSON"),
    "not UTF-8": (b'{"text": "\xff"}', "the request is not UTF-8"),
    "CBOR": (b"\xa1\x64text\x65hello", "the request is not"),
    "CBOR bomb": (b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", "the request is not UTF-8"),
    "NaN for text": (b'{"text": NaN}', "field 'text' is not of type str"),
    "a list": (b'["text"]', "not a JSON object"),
    "a number": (b"1" * 5000, "the request is not"),
    "deep arrays": (b"[" * 100_000, "the request is not JSON"),
    "deep objects": (b'{"text":' * 100_000, "the request is not JSON"),
    "unknown field": (b'{"text": "x", "admin": true}', "unknown field 'admin'"),
    "missing field": (b'{"author": "x"}', "field 'text' is missing"),
    "number for text": (b'{"text": 1}', "field 'text' is not of type str"),
    "null for text": (b'{"text": null}', "field 'text' is not of type str"),
    "true for seconds": (b'{"text": "x", "wait_s": true}', "field 'wait_s' is not of type int"),
    "float for seconds": (b'{"text": "x", "wait_s": 1e400}', "field 'wait_s' is not of type int"),
    "key is not hex": (b'{"text": "x", "key": "zz"}', "key is not hex"),
    "key is too short": (b'{"text": "x", "key": "00"}', "key"),
    "half a surrogate": (b'{"text": "\\ud800"}', "half a surrogate pair"),
    "author half a surrogate": (b'{"text": "x", "author": "\\ud800"}', "half a surrogate pair"),
    "author with controls": (b'{"text": "x", "author": "a\\u001b[2J"}', "author of 5 characters"),
    "author too long": (
        json.dumps({"text": "x", "author": "a" * 5000}).encode(),
        f"author of 5000 characters, 1 to {NAME_CHARS_MAX}",
    ),
    "conversation empty": (b'{"text": "x", "conversation": ""}', "conversation of 0 characters"),
}


@pytest.mark.parametrize(("body", "named"), BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_message_is_refused_and_not_recorded(node, body, named):
    before = node.status()["events"]
    answer = node.request("POST", "/v1/say", body)
    assert answer.status == (422 if " characters" in named or named == "key" else 400), answer
    assert named in answer.json["error"]
    assert answer.json["hint"]
    recorded = node.log(last=node.status()["events"] - before)
    assert not [row for row in recorded if row["type"] == "message.received"]


def test_an_idempotency_key_is_one_message_and_another_body_is_409(node):
    key = os.urandom(16).hex()
    first = node.say("only once", key=key)
    assert node.say("only once", key=key)["message"]["id"] == first["message"]["id"]
    node.request("POST", "/v1/say", {"text": "something else", "key": key}).refused(
        409, f"belongs to event {first['message']['position']}"
    )


# ---- who may ask ---------------------------------------------------------------------------------

ROUTES = [
    ("GET", "/v1/status"), ("GET", "/v1/head"), ("GET", "/v1/log"), ("GET", "/v1/events/0"),
    ("GET", "/v1/search?q=roof"), ("POST", "/v1/say"), ("POST", "/v1/release"),
    ("POST", "/v1/redact"), ("POST", "/v1/anchor"), ("GET", "/metrics"), ("GET", "/v1/nowhere"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_the_token_nothing_is_answered(node, method, path):
    before = node.asked_for()
    right = node.home.token
    for token in ("", "wrong", right[:-1], right + "x", right.swapcase()):
        node.request(method, path, token=token).refused(401, "a bearer token is needed")
    for value in (right, f"Basic {right}", f"Bearer  {right}", "Bearer \xff\xfe"):
        answer = node.request(method, path, token="", headers={"Authorization": value})
        assert answer.status == 401, value
    assert right not in str(node.request(method, path, token="").body)
    assert node.asked_for() == before


def test_a_token_in_the_address_counts_for_nothing(node):
    node.request("GET", f"/v1/status?token={node.home.token}", token="").refused(401)


def test_health_needs_no_token_and_tells_nothing(node):
    assert node.request("GET", "/healthz", token="").json == {"ok": True}


QUESTIONS = {
    "/v1/events/999999": (404, "there is no event 999999"),
    "/v1/events/zz": (404, "there is no event zz"),
    "/v1/events/-1": (404, "there is no event -1"),
    "/v1/events/%00": (404, "there is no event"),
    "/v1/events/%ff%fe": (404, "there is no event"),
    "/v1/events/" + "9" * 5000: (404, "there is no event"),
    "/v1/events/..%2f..%2fSOUL.md": (404, "there is no event"),
    "/v1/log?last=x": (400, "last is not a number: 'x'"),
    "/v1/log?last=-1": (400, "last is not a number"),
    "/v1/log?last=%D9%A3": (400, "last is not a number"),
    "/v1/log?from=1e9": (400, "from is not a number"),
    "/v1/log?last=" + "9" * 100: (400, "last is not a number"),
    "/v1/search?limit=x": (400, "limit is not a number"),
    "/v1/nowhere": (404, "not found"),
    "/v1/say": (405, "method not allowed"),
}


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path[:30])
def test_a_question_that_makes_no_sense_is_refused(node, path):
    status, named = QUESTIONS[path]
    node.request("GET", path).refused(status, named)


SEARCHES = [
    '"', '""""', "roof*", "roof OR 1", "NEAR(roof tiles)", "text:roof", "-roof", "'; drop table event",
    "%00", "%ff", "(", "^roof", "{a b}:c", "%", "_", "a" * 5000, "+".join(["w"] * 2000), "", "!!!",
    "%F0%9F%90%A2",
]  # fmt: skip


@pytest.mark.parametrize("query", SEARCHES, ids=lambda query: query[:12] or "nothing")
def test_no_search_is_syntax(home, node, query):
    answer = node.request("GET", "/v1/search?q=" + query.replace(" ", "%20").replace('"', "%22"))
    assert answer.status == 200, answer
    assert isinstance(answer.json, list)


HTTP = {
    "noise": os.urandom(2000),
    "no line end": b"GET / HTTP/1.1",
    "a header of a megabyte": b"GET / HTTP/1.1\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "ten thousand headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    "an address of a megabyte": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
    "HTTP/9": b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
    "two lengths": b"POST /v1/say HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": b"POST /v1/say HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length below zero": b"POST /v1/say HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "a length beyond numbers": b"POST /v1/say HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 400 + b"\r\n\r\n",
    "chunks of nonsense": b"POST /v1/say HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    "a body that never comes": b"POST /v1/say HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a proxy": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
    "folders above": b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "a smuggled line": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\nY: b\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("data", HTTP.values(), ids=HTTP)
def test_hostile_http_is_answered_or_closed(node, data):
    answer = node.raw(data)
    assert b" 500 " not in answer.split(b"\r\n")[0], answer[:500]
    assert b"Traceback" not in answer
    assert b"passwd" not in answer
    assert b"root:" not in answer


def test_a_client_that_sends_nothing_holds_up_nobody(node):
    idle = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(100)]
    try:
        for sock in idle[::2]:
            sock.sendall(b"GET /v1/status HTTP/1.1\r\nHost")
        assert node.answer("are you there?", conversation="pulse")
    finally:
        for sock in idle:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()


def test_a_redaction_of_what_is_no_word_is_refused(node):
    before = node.asked_for()
    for body, named in (
        ({"positions": [0]}, "has no content to redact"),
        ({"positions": [10**6]}, "there is no event"),
        ({"positions": []}, "not a list of event positions"),
        ({"positions": [True]}, "not a list of event positions"),
        ({"positions": ["4"]}, "not a list of event positions"),
        ({"positions": [-1]}, "there is no event -1"),
        ({}, "field 'positions' is missing"),
    ):
        answer = node.request("POST", "/v1/redact", body)
        assert 400 <= answer.status < 500, answer
        assert named in answer.json["error"]
    assert node.asked_for() == before


def test_a_release_of_nobody_is_refused(node):
    body = {"conversation": "main", "author": "mallory"}
    node.request("POST", "/v1/release", body).refused(422, "mallory is not held", "timmy status")


# ---- the relay -----------------------------------------------------------------------------------

DEEP = "[" * 100_000
FRAMES = {
    "not JSON": "hello",
    "empty": "",
    "no message": "[]",
    "unknown verb": '["SHOUT", "x"]',
    "wrong types": '["REQ", 1, 2]',
    "a filter that is none": '["REQ", "x", "y"]',
    "an unknown filter": '["REQ", "x", {"search": "roof", "limit": -1}]',
    "an event that is none": '["EVENT", {"id": "zz"}]',
    "an event of others": json.dumps(
        ["EVENT", {"id": "0" * 64, "pubkey": "1" * 64, "created_at": 1, "kind": 1, "tags": [],
                   "content": "spam", "sig": "2" * 128}]
    ),
    "deep": DEEP,
    "deep in a filter": '["REQ", "x", {"ids": ' + DEEP,
    "binary": b"\x00\xff\x00",
}  # fmt: skip


async def _attack(node, frame):
    """Send a frame until the relay has had enough, at most thirty times; return what it said."""
    told = []
    async with connect(f"ws://127.0.0.1:{node.port}/", max_size=None) as socket_:
        try:
            async with asyncio.timeout(120):
                for _ in range(30):
                    await socket_.send(frame)
                    told.append(await socket_.recv())
        except ConnectionClosed:
            pass
    return told


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
async def test_a_hostile_frame_is_answered_or_ends_the_connection(node, frame):
    told = await _attack(node, frame)
    for text in told:
        assert json.loads(text)[0] in {"NOTICE", "CLOSED", "OK", "EOSE"}, text
    stored = await _ask(node)
    assert "spam" not in stored


async def _ask(node) -> str:
    """What the relay has, as a well-behaved client sees it."""
    texts = []
    async with (
        asyncio.timeout(120),
        connect(f"ws://127.0.0.1:{node.port}/") as socket_,
    ):
        await socket_.send('["REQ", "all", {}]')
        async for text in socket_:
            texts.append(text)
            if json.loads(text)[0] == "EOSE":
                return "\n".join(texts)
    raise AssertionError("no EOSE")


async def test_a_frame_larger_than_the_bound_ends_that_connection_only(node):
    async with connect(f"ws://127.0.0.1:{node.port}/", max_size=None) as socket_:
        with pytest.raises(ConnectionClosed) as closed:
            await socket_.send("x" * (mesh_limits.FRAME_BYTES_MAX + 1))
            async with asyncio.timeout(120):
                await socket_.recv()
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    assert "EOSE" in await _ask(node)


def test_broken_websocket_bytes_end_that_connection_only(node):
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    for frame in (
        b"\xff" * 14,  # reserved bits, a length of 2^63
        b"\x81\x05hello",  # not masked
        b"\x89\xff" + b"\xff" * 12,  # a ping of 2^64 bytes
        b"\x80\x80aaaa",  # a continuation of nothing
        b"\x81\x82aaaa\x9e\x9f",  # text that is not UTF-8
        os.urandom(4096),
    ):
        node.raw(upgrade + frame)
        answer = node.raw(upgrade + frame, timeout=2, then_end=False)
        assert b" 101 " in answer.split(b"\r\n")[0]
    node.raw(upgrade.replace(b"13", b"99"))
    node.raw(upgrade.replace(b"AAAAAAAA", b""))


async def test_more_connections_than_the_bound_are_refused_and_room_comes_back(home, node):
    opened = []
    try:
        for _ in range(210):
            try:
                opened.append(await connect(f"ws://127.0.0.1:{node.port}/"))
            except InvalidHandshake:
                break
        assert len(opened) == 200
        assert node.status()["relay_connections"] == 200
        assert home.run("say", "hello").good()
    finally:
        for socket_ in opened:
            socket_.transport.abort()
    await asyncio.to_thread(
        until, lambda: not node.status()["relay_connections"], 120, "all connections are gone"
    )
    assert "EOSE" in await _ask(node)


async def test_subscriptions_without_end_are_bounded(node):
    async with connect(f"ws://127.0.0.1:{node.port}/") as socket_, asyncio.timeout(120):
        for number in range(mesh_limits.SUBSCRIPTIONS_MAX + 5):
            await socket_.send(f'["REQ", "s{number}", {{"kinds": [1]}}]')
        refused = 0
        while refused < 5:
            refused += json.loads(await socket_.recv())[0] == "CLOSED"
    assert refused == 5


def test_the_ledger_is_good_after_all_that(home, node):
    assert home.run("verify").good()
    assert home.run("replay").good()
