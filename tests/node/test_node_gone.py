"""Clients that go away in the middle of an answer: nothing is logged as a fault or left running."""

import json
import socket

import pytest

from tests.node.test_node_models import add, serving
from tests.node.world import until


@pytest.fixture
def provider():
    with serving() as (server, call):
        yield server, call


def asked(node, path, body, *, until_seen: bytes):
    """A connection on which a request was sent and this much of the answer has come."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {node.home.token}\r\n"
    sock = socket.create_connection(("127.0.0.1", node.port), timeout=60)
    sock.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(data) + data)
    seen = b""
    while until_seen not in seen:
        more = sock.recv(65_536)
        assert more, seen
        seen += more
    return sock


def nothing_wrong(home):
    assert "request failed" not in home.logged
    assert "Traceback" not in home.logged


def test_who_leaves_while_words_come_is_answered_in_the_ledger(lived, provider):
    server, call = provider
    add(lived, server).good()
    with lived.running() as node:
        call(server.pause.clear)
        sock = asked(node, "/v1/say", {"text": "owls?", "stream": True}, until_seen=b"200 OK")
        until(lambda: server.requests, 30, "the model is asked")
        sock.close()
        call(server.pause.set)
        until(lambda: node.log("message.sent")[-1]["content"]["text"] == "".join(server.words),
              30, "the answer is on record")  # fmt: skip
        assert node.answer("and again?") == "".join(server.words)
    nothing_wrong(lived)


def test_who_leaves_in_a_draft_is_no_fault(lived, provider):
    """Words are sent to a connection that is reset: it is the sending that meets it."""
    server, _ = provider
    server.words = ["A sentence of an owl. "] * 4000
    add(lived, server).good()
    with lived.running() as node:
        sock = asked(node, "/v1/say", {"text": "owls?", "stream": True}, until_seen=b"draft")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        sock.close()
        until(lambda: len(node.log("turn.finished")) == 6, 60, "the turn is over")
        assert node.status()["pending"] == 0
    nothing_wrong(lived)


def test_who_leaves_a_safety_test_ends_it(lived, provider):
    server, call = provider
    add(lived, server).good()
    with lived.running() as node:
        call(server.pause.clear)
        sock = asked(node, "/v1/chain/safety", {"link": "far"}, until_seen=b"200 OK")
        until(lambda: len(server.requests) == 4, 30, "questions are in flight")
        sock.close()
        until(server.gone.is_set, 30, "the questions are given up")
        call(server.pause.set)
        assert len(server.requests) == 4
        assert node.log("model.tested") == []
        assert node.status()["pending"] == 0
    nothing_wrong(lived)
