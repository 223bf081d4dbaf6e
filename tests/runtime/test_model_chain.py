"""The chain against a real server that fails in every way it must fall through."""

import json
import os
import socket

import aiohttp
import pytest

from runtime.chain import Chain
from runtime.core.chat import ModelRequest, Reach, Tried
from runtime.core.errors import AgentError, ModelFailed
from runtime.core.openai_wire import OpenAi
from runtime.endpoint import Endpoint
from runtime.model_keys import read_key
from runtime.responder import Responder
from tests.runtime.world import World

REQUEST = ModelRequest(
    messages=(("user", "where is the owl"),), max_tokens=50, before=10**6, reach=Reach.TRUSTED
)


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


def endpoint(world: World, session: aiohttp.ClientSession, **more) -> Endpoint:
    settings = {"name": "tiny", "base_url": world.provider.url, "model": "m", "timeout_s": 0.3}
    settings |= {"codec": OpenAi(), "reach": Reach.LOCAL}
    return Endpoint(**{**settings, "key": "sk-secret", "session": session, **more})


def chain(world: World, *links) -> Chain:
    return Chain([*links, Responder(world.recall, dict)])


async def test_a_reply_is_taken_with_what_it_cost(world: World, session):
    reply = await chain(world, endpoint(world, session)).complete(REQUEST)
    assert (reply.text, reply.model, reply.finish) == ("a reply", "tiny-1", "stop")
    assert (reply.tokens_in, reply.tokens_out, reply.tried) == (11, 3, ())
    assert world.provider.requests == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "where is the owl"}],
            "max_tokens": 50,
            "stream": False,
        }
    ]
    assert world.provider.headers[0]["Authorization"] == "Bearer sk-secret"


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        ("timeout", "no reply in 0.3 s"),
        ("401", "key refused (status 401)"),
        ("403", "forbidden (status 403)"),
        ("429", "rate limited (status 429)"),
        ("500", "failed (status 500)"),
        ("503", "failed (status 503)"),
        ("400", "failed (status 400)"),
        ("redirect", "failed (status 302)"),
        ("garbage", "malformed: not a chat completion"),
        ("shape", "malformed: not a chat completion"),
        ("surrogate", "malformed: not a chat completion"),
        ("large", "malformed: a reply of 300000 bytes, at most 262144"),
        ("endless", "malformed: more than 2097152 bytes"),
        ("empty", "empty reply"),
        ("null", "empty reply"),
        ("cut", "not reachable: ServerDisconnectedError"),
    ],
)
async def test_a_link_that_fails_is_passed_over_once(world: World, session, behave, reason):
    world.provider.behave = behave
    reply = await chain(world, endpoint(world, session)).complete(REQUEST)
    assert reply.model == "responder"
    assert reply.tried == (Tried("tiny", reason, failed=True),)
    assert len(world.provider.requests) == 1


async def test_an_address_where_nobody_is_is_passed_over(world: World, session):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    dead = endpoint(world, session, name="dead", base_url=f"http://127.0.0.1:{port}/v1")
    reply = await chain(world, dead, endpoint(world, session)).complete(REQUEST)
    assert reply.model == "tiny-1"
    assert reply.tried == (Tried("dead", "not reachable: ClientConnectorError", failed=True),)


async def test_a_name_that_nobody_knows_is_passed_over(world: World, session):
    url = "https://openrouter.invalid/api/v1"  # RFC 6761: it never resolves, with a network or none
    lost = endpoint(world, session, name="lost", base_url=url, timeout_s=60)
    reply = await chain(world, lost, endpoint(world, session)).complete(REQUEST)
    assert (reply.link, reply.model) == ("tiny", "tiny-1")
    [tried] = reply.tried
    assert (tried.name, tried.reason) == ("lost", "not reachable: its name is unknown")


async def test_a_key_is_in_no_text(world: World, session, tmp_path):
    world.provider.behave = "401"
    link = endpoint(world, session)
    with pytest.raises(ModelFailed) as failure:
        await link.reply(REQUEST)
    assert "sk-secret" not in repr(link) + str(failure.value) + repr(failure.value.__cause__)


def test_keys_come_from_the_environment_or_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("A_KEY", " sk-1\n")
    (tmp_path / "key").write_text("sk-2\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "words").write_text("-----BEGIN KEY-----\nabc\n")
    (tmp_path / "long").write_text("k" * 2049)
    (tmp_path / "huge").write_text(" " * 8192 + "k")
    (tmp_path / "open").write_text("sk-3\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path in tmp_path.iterdir():
        path.chmod(0o644 if path.name == "open" else 0o600)
    (tmp_path / "link").symlink_to(tmp_path / "key")
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert read_key(env="A_KEY") == "sk-1"
    assert read_key(file=tmp_path / "key") == "sk-2"
    assert read_key() is None
    for broken in (
        {"env": "NO_SUCH_KEY"},
        {"file": tmp_path / "absent"},
        *(
            {"file": tmp_path / name}
            for name in ("empty", "words", "long", "huge", "open", "binary", "link", "pipe", ".")
        ),
    ):
        with pytest.raises(AgentError):
            read_key(**broken)


def test_a_chain_has_links():
    with pytest.raises(AgentError, match="empty"):
        Chain([])


async def test_the_responder_quotes_and_invents_nothing(world: World):
    note = await world.say("the owl sleeps in the barn")
    asked = await world.say("where is the owl")
    reply = await Responder(world.recall, dict).reply(
        ModelRequest(
            messages=REQUEST.messages, max_tokens=1, before=asked.position, reach=Reach.LOCAL
        )
    )
    assert "No language model is answering" in reply.text
    assert f"[{note.position}] the owl sleeps in the barn" in reply.text
    assert "where is the owl" not in reply.text


async def test_the_responder_says_that_it_found_nothing(world: World):
    reply = await Responder(world.recall, dict).reply(REQUEST)
    assert "I found nothing about this" in reply.text


async def test_the_responder_knows_how_the_node_is(world: World):
    status = {"name": "Timmy", "events": 7, "uptime_s": 3}
    request = ModelRequest(
        messages=(("user", "Hi, how are you?"),), max_tokens=1, before=1, reach=Reach.LOCAL
    )
    reply = await Responder(world.recall, lambda: status).reply(request)
    assert "I am Timmy" in reply.text
    assert "7 events" in reply.text


async def test_what_failed_is_on_record(world: World):
    world.provider.behave = "429"
    assert json.dumps(world.provider.requests) == "[]"
    reply = await world.service.asking.chain.complete(REQUEST)
    assert reply.tried == (Tried("tiny", "rate limited (status 429)", failed=True),)
