"""What goes wrong on either side of the proxy: passed on as it is, recorded as it was."""

import asyncio
import json
import signal
import socket
from http.client import HTTPConnection, IncompleteRead
from urllib.parse import urlsplit

import aiohttp
import openai
import pytest
from aiohttp import web

from node.api.proxy import ProxyApi, ProxyLimits
from node.proxy.passage import Passage
from runtime.core.proxy_routes import Upstream
from runtime.recording import Recorder
from tests.memory.memory_world import World
from tests.node.test_node_disk_full import disk, fill, needs_mounts  # noqa: F401 - a fixture
from tests.node.world import until

from .conftest import KEY, address, all_well, configure, exchanges
from .provider import TEXT, WORDS


@pytest.fixture
def alone(born, provider):
    """A home of one test, with its settings still to come."""
    yield born
    all_well(born)


def chat(node, model="m-1", *, text="owl?", upstream=None, **more):
    base = f"{node.base}/u/{upstream}/v1" if upstream else f"{node.base}/v1"
    with openai.OpenAI(base_url=base, api_key=KEY, max_retries=0) as client:
        return client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": text}], **more
        )


def streaming(node, model, *, path="/v1/chat/completions"):
    """A connection on which a streamed reply comes: (connection, response)."""
    split = urlsplit(node.base)
    connection = HTTPConnection(split.hostname, split.port, timeout=60)
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "owl?"}]}
    connection.request("POST", path, json.dumps(body), {"Authorization": f"Bearer {KEY}"})
    return connection, connection.getresponse()


def outcome(node):
    [*_, (_, said)] = exchanges(node)
    return said["payload"]["outcome"]


# ---- the upstream ----------------------------------------------------------------------------------


def test_half_a_stream_arrives_as_half_a_stream(node, provider):
    connection, response = streaming(node, "half")
    with pytest.raises(IncompleteRead) as raised:
        response.read()
    connection.close()
    assert raised.value.partial == provider.sent[-1]
    _, said = exchanges(node)[-1]
    assert (said["payload"]["outcome"], said["payload"]["reason"]) == (
        "half",
        "the connection broke",
    )
    assert said["content"]["said"] == TEXT
    assert "finish" not in said["payload"]


def test_a_stream_of_odd_shapes_passes_unchanged_and_is_on_record(node, provider):
    connection, response = streaming(node, "odd")
    assert response.read() == provider.sent[-1]
    connection.close()
    _, said = exchanges(node)[-1]
    assert (said["payload"]["outcome"], said["content"]["said"]) == ("whole", TEXT)
    assert node.request("GET", "/v1/proxy").json["under_way"] == 0


class Stumbling(Passage):
    """A passage with a fault of our own, after some of the reply was given out."""

    def take(self, chunk, now_s):
        super().take(chunk, now_s)
        if WORDS[-1].encode() in chunk:
            raise AttributeError("a bug")

    def reply(self, *given):
        raise RecursionError("another")


def test_a_fault_of_our_own_ends_the_answer_and_the_record(provider, monkeypatch):
    monkeypatch.setattr("node.api.proxy.Passage", Stumbling)
    provider.call(provider.go.clear)
    world = World()
    upstream = Upstream(name="u", base_url=provider.url, wire="openai")
    body = b'{"model": "m-1", "stream": true, "messages": [{"role": "user", "content": "owl?"}]}'

    async def main():
        recorder = Recorder(world.journal, digest_key=bytes(32))
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            bounds = ProxyLimits(exchanges_max=2, idle_s=30)
            api = ProxyApi((upstream,), recorder, session, bounds, blocks=False)
            runner = web.AppRunner(api.application(), auto_decompress=False)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            reader, writer = await asyncio.open_connection(*runner.addresses[0])
            head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            async with asyncio.timeout(60):
                seen = await reader.readuntil(WORDS[1].encode())
                provider.call(provider.go.set)
                seen += await reader.read()  # to the end of the connection
            writer.close()
            await runner.cleanup()
        return seen, recorder.under_way

    seen, under_way = asyncio.run(main())
    assert (seen.count(b"HTTP/1.1"), under_way) == (1, 0)
    assert WORDS[0].encode() in seen
    assert not seen.endswith(b"0\r\n\r\n")
    [said] = [e for e in world.log.events(0) if e.type == "proxy.replied"]
    assert said.payload["outcome"] == "interrupted"


def test_half_a_body_arrives_as_half_a_body(node, provider):
    with pytest.raises(openai.APIConnectionError):
        chat(node, "half")
    assert outcome(node) == "half"
    _, said = exchanges(node)[-1]
    assert said["content"]["reply"].encode() == provider.sent[-1]


def test_upstreams_that_cannot_be_reached(alone, provider):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    configure(alone, provider.url, f"http://127.0.0.1:{port}/v1", "https://nobody.invalid/v1")
    with alone.running() as node:
        node.base = address(node)
        for upstream, reason in (("u2", "no connection"), ("u4", "its name is unknown")):
            with pytest.raises(openai.InternalServerError) as raised:
                chat(node, upstream=upstream)
            assert raised.value.status_code == 502
            assert f"upstream {upstream}: {reason}" in str(raised.value)
            assert raised.value.response.headers["Timmy-Proxy"] == "refused"
            asked, said = exchanges(node)[-1]
            assert (said["payload"]["outcome"], said["payload"]["reason"]) == (
                "unreachable",
                reason,
            )
            assert raised.value.response.headers["Timmy-Event"] == str(asked["position"])
            assert said["content"] is None


def test_silence_is_passed_on_as_what_it_is(alone, provider):
    configure(alone, provider.url, more="idle_s = 1")
    with alone.running() as node:
        node.base = address(node)
        with pytest.raises(openai.InternalServerError) as raised:
            chat(node, "hang")
        assert raised.value.status_code == 504
        assert outcome(node) == "timeout"
        connection, response = streaming(node, "stall")
        with pytest.raises(IncompleteRead):
            response.read()
        connection.close()
        until(lambda: len(exchanges(node)) == 2, 30, "it is on record")
        assert outcome(node) == "timeout"
        assert exchanges(node)[-1][1]["content"]["said"] == TEXT


# ---- what is durable when ----------------------------------------------------------------------------


def test_words_come_as_they_are_said_and_the_end_only_when_it_is_on_record(node, provider):
    provider.call(provider.go.clear)
    before = len(exchanges(node))
    connection, response = streaming(node, "m-1")
    seen = b""
    while WORDS[1].encode() not in seen:
        seen += response.read1(65_536)
    assert len(exchanges(node)) == before
    [*_, asked] = node.log("proxy.requested")
    assert asked["content"]["said"] == "owl?"
    assert response.headers["Timmy-Event"] == str(asked["position"])
    provider.call(provider.go.set)
    while b"[DONE]" not in seen:
        seen += response.read1(65_536)
    assert len(exchanges(node)) == before + 1
    assert seen + response.read() == provider.sent[-1]
    connection.close()


def test_a_client_that_leaves_is_recorded_as_such_and_the_upstream_is_let_go(node, provider):
    provider.gone.clear()
    connection, response = streaming(node, "stall")
    seen = b""
    while WORDS[1].encode() not in seen:
        seen += response.read1(65_536)
    before = len(exchanges(node))
    response.close()
    connection.close()
    until(provider.gone.is_set, 30, "the upstream is let go")
    until(lambda: len(exchanges(node)) == before + 1, 30, "it is on record")
    _, said = exchanges(node)[-1]
    assert said["payload"]["outcome"] == "client_gone"
    assert WORDS[1] in said["content"]["said"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_node_that_ends_in_the_middle_tells_at_its_next_start(alone, provider, number):
    configure(alone, provider.url)
    node = alone.start()
    node.base = address(node)
    connection, response = streaming(node, "stall")
    seen = b""
    while WORDS[0].encode() not in seen:
        seen += response.read1(65_536)
    node.process.send_signal(number)
    node.process.wait(60)
    connection.close()
    assert b"[DONE]" not in seen
    with alone.running() as again:
        [(asked, said)] = exchanges(again)
        assert (asked["content"]["said"], said["payload"]["outcome"]) == ("owl?", "interrupted")
        assert again.request("GET", "/v1/proxy").json["under_way"] == 0
    alone.run("verify").good()
    alone.run("replay").good()


@needs_mounts
def test_a_full_disk_lets_nothing_pass_and_space_cures_it(disk, provider):  # noqa: F811
    configure(disk, provider.url)
    node = disk.start()
    node.base = address(node)
    assert chat(node).choices[0].message.content == TEXT
    # An exchange under way when the disk gets full: no end is given out.
    connection, response = streaming(node, "m-1")
    provider.call(provider.go.clear)
    response.read()
    connection.close()
    connection, response = streaming(node, "m-1")
    seen = response.read1(65_536)
    refused = None
    for _ in range(200):
        fill(disk)
        try:
            provider.call(provider.go.set)
            chat(node, "status-400", text="x" * 50_000)
        except openai.BadRequestError:
            continue
        except openai.InternalServerError as error:
            refused = error
            break
    assert refused is not None
    assert refused.status_code == 503
    assert "the disk is full" in str(refused)
    known = len(provider.requests)
    with pytest.raises(openai.InternalServerError):
        chat(node, text="y" * 50_000)
    assert len(provider.requests) == known  # nothing was passed
    seen += response.read()
    connection.close()
    (disk.root.parent / "ballast").unlink()
    until(lambda: _passes(node), 60, "exchanges pass again")
    assert exchanges(node)[-1][1]["payload"]["outcome"] == "whole"
    assert node.request("GET", "/v1/proxy").json["under_way"] == 0


def _passes(node):
    try:
        return chat(node).choices[0].message.content == TEXT
    except openai.InternalServerError:
        return False


# ---- many ------------------------------------------------------------------------------------------

MANY = 2000


def test_thousands_at_once_are_served_a_few_at_a_time(alone, provider):
    configure(alone, provider.url, more="exchanges_max = 8")
    provider.at_most = 0
    with alone.running() as node:
        base = address(node)

        async def ask(session, number):
            body = {"model": "m-1", "messages": [{"role": "user", "content": f"owl {number}?"}]}
            async with session.post(
                f"{base}/a/s{number % 3}/v1/chat/completions", json=body
            ) as got:
                return got.status, await got.read()

        async def main():
            connector = aiohttp.TCPConnector(limit=400)
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                asyncio.TaskGroup() as group,
            ):
                tasks = [group.create_task(ask(session, n)) for n in range(MANY)]
            return [task.result() for task in tasks]

        found = asyncio.run(main())
        assert {status for status, _ in found} == {200}
        assert len({body for _, body in found}) == 1
        assert provider.at_most <= 8
        streams = node.request("GET", "/v1/proxy").json["streams"]
        assert sum(one["exchanges"] for one in streams) == MANY
        assert {one["name"] for one in streams} == {"s0", "s1", "s2"}
        assert len({one["stream"] for one in streams}) == 3
    alone.run("verify").good()
