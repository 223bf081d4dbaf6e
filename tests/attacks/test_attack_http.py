"""A web page, or another user of the machine, at the node's port: no token, no answer."""

import base64
import socket

import pytest

from tests.node.world import Home

ORIGIN = "Host: evil.example\r\nOrigin: http://evil.example\r\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("attacked")).configure()
    home.run("init").good()
    with home.running() as node:
        yield node
    home.end()


def sent(node, data):
    """Send bytes and return what comes until the node closes, half a second is silent, or enough."""
    answer = b""
    with socket.create_connection(("127.0.0.1", node.port), timeout=2) as sock:
        sock.sendall(data)
        try:
            while len(answer) < 4096 and (chunk := sock.recv(65_536)):
                answer += chunk
        except TimeoutError:
            pass
    return answer


def status(answer):
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "target",
    [
        *("//v1/status", "/healthz/../v1/status", "/%2fv1/status", "/./v1/status"),
        *("/v1/%73tatus", "/healthz/", "/;/v1/status", "/%2e/v1/status", "http://x/v1/status"),
        *("/healthz%00", "/v1/status#/healthz", "/v1/status?/healthz", "/v1/status?path=/healthz"),
        *("/metrics", "/metrics?x=/", "/v1/head", "/v1/log", "/v1/events/0", "/v1/search?q=a"),
    ],
)
def test_no_spelling_of_a_path_goes_around_the_token(node, target):
    request = f"GET {target} HTTP/1.1\r\n{ORIGIN}Connection: close\r\n\r\n"
    answer = sent(node, request.encode())
    assert status(answer) == 401, answer
    assert b'"events"' not in answer


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "HEAD", "TRACE", "PUT", "CONNECT", "X"])
@pytest.mark.parametrize("path", ["/v1/say", "/v1/redact", "/v1/anchor", "/v1/patch/propose"])
def test_a_simple_request_of_a_page_does_nothing(node, method, path):
    body = '{"text": "obey", "wait_s": 0}'
    before = len(node.log())
    answer = sent(
        node,
        f"{method} {path} HTTP/1.1\r\n{ORIGIN}Content-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode(),
    )
    assert status(answer) in {400, 401}, answer
    assert b"Access-Control-Allow" not in answer
    assert len(node.log()) == before


@pytest.mark.parametrize(
    "scheme", ["Bearer", "bearer {}", "Bearer  {}", "Basic {}", "{}", "Bearer {} "]
)
def test_only_the_exact_token_opens(node, scheme):
    given = scheme.format(node.home.token)
    answer = node.request("GET", "/v1/status", token="", headers={"Authorization": given})
    assert answer.status == (200 if given.strip() == f"Bearer {node.home.token}" else 401)
    shorter = node.request("GET", "/v1/status", token=node.home.token[:-1])
    assert shorter.status == 401


def test_two_lengths_smuggle_no_second_request(node):
    answer = sent(
        node,
        b"POST /v1/say HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    assert status(answer) == 400, answer
    assert answer.count(b"HTTP/1.") == 1


def test_a_page_that_opens_the_relay_reads_what_is_public_and_writes_nothing(node):
    key = base64.b64encode(bytes(16)).decode()
    frame = b'["REQ","a",{}]'
    mask = bytes([0x81, 0x80 | len(frame), 0, 0, 0, 0]) + frame
    answer = sent(
        node,
        f"GET / HTTP/1.1\r\n{ORIGIN}Upgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        + mask,
    )
    assert status(answer) == 101, answer
    assert b"message." not in answer
    assert node.home.token.encode() not in answer


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/say", b'{"text":"a","wait_s":0,"author":"\\ud800"}', {400, 422}),
        ("/v1/say", b'{"text":"\\ud800","wait_s":0}', {400, 422}),
        ("/v1/say", b'{"text":"a","wait_s":0,"key":""}', {400, 422}),
        ("/v1/say", b'{"text":"a","wait_s":' + b"9" * 5000 + b"}", {400}),
        ("/v1/say", b"[" * 100_000, {400}),
        ("/v1/say", b'{"\\ud800":1}', {400}),
        ("/v1/redact", b'{"positions":[' + b"9" * 400 + b"]}", {404}),
        ("/v1/redact", b'{"positions":[0]}', {400}),
        ("/v1/redact", b'{"positions":[true]}', {400}),
        ("/v1/redact", b'{"positions":[-1]}', {404}),
        ("/v1/patch/judge", b'{"position":0}', {404}),
        ("/v1/patch/judge", b'{"position":true}', {400}),
        ("/v1/release", b'{"conversation":"\\ud800","author":"x"}', {400, 422}),
    ],
    ids=range(13),
)
def test_odd_requests_are_the_callers_fault_and_the_node_lives(node, path, body, expected):
    assert node.request("POST", path, body).status in expected
    assert node.request("GET", "/healthz").status == 200


def test_genesis_keys_and_rules_cannot_be_redacted(node):
    node.say("a secret word", wait_s=10)
    for event in node.log():
        if event["content"] is None:
            answer = node.request("POST", "/v1/redact", {"positions": [event["position"]]})
            assert answer.status == 400, event
