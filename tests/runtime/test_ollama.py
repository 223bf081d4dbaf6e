"""Looking for an Ollama: its own API on loopback, and how often it is asked."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from runtime.chain import Chain
from runtime.core.chat import Reach
from runtime.core.openai_wire import OpenAi
from runtime.endpoint import Endpoint
from runtime.ollama import Found, Seeker, find
from tests.ports import free_port
from tests.runtime.providers import streamer
from tests.runtime.test_chain_choice import Scripted, last, request


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


class Place:
    """A chain that looks at one address; `now` is its clock."""

    def __init__(self, session, *links, known=None):
        self.now, self.session = 0.0, session
        self.address = f"http://127.0.0.1:{free_port()}"
        self.port = int(self.address.rpartition(":")[2])
        self.seeker = Seeker(
            lambda: find(session, self.address), known, clock=lambda: self.now
        )  # fmt: skip
        self.chain = Chain([*links, last()], find=self.seek)

    async def seek(self):
        found = await self.seeker.seek()
        return None if found is None else self.link(found)

    def link(self, found):
        return Endpoint(
            name="ollama", codec=OpenAi(), base_url=found.base_url, model=found.model,
            timeout_s=60, reach=Reach.LOCAL, session=self.session,
        )  # fmt: skip


async def test_one_that_comes_later_is_found_by_a_request_that_no_model_answers(session):
    place = Place(session)
    assert (await place.chain.complete(request())).link == "last"
    async with streamer(place.port) as server:
        place.now = 59.9
        assert (await place.chain.complete(request())).link == "last"
        assert server.looks == 0, "a minute has not gone by"
        place.now = 60.0
        assert (await place.chain.complete(request())).link == "ollama"
        assert place.chain.names == ["ollama", "last"]
        assert server.requests[-1]["model"] == "owl:1b"
        place.now = 600.0
        assert (await place.chain.complete(request())).link == "ollama"
        assert server.looks == 1, "who answers is not looked for"


async def test_it_is_not_looked_for_while_another_answers(session):
    place = Place(session, Scripted("there"))
    async with streamer(place.port) as server:
        assert (await place.chain.complete(request())).link == "there"
        assert server.looks == 0


async def test_of_requests_at_once_one_looks(session):
    place = Place(session)
    async with streamer(place.port) as server:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(place.chain.complete(request())) for _ in range(20)]
        assert {one.result().link for one in asked} == {"last", "ollama"}
        assert place.chain.names == ["ollama", "last"]
        assert server.looks == 1


async def test_another_model_takes_the_place_of_one_that_is_gone(session):
    place = Place(session)
    async with streamer(place.port) as server:
        assert (await place.chain.complete(request())).link == "ollama"
        server.models, server.behave = ["new:3b"], "404"
        place.now = 60.0
        reply = await place.chain.complete(request())
        assert [tried.name for tried in reply.tried] == ["ollama", "ollama"]
        assert server.requests[-1]["model"] == "new:3b"
        assert place.chain.names == ["ollama", "last"]


async def test_one_that_was_known_and_has_not_changed_is_not_found_again(session):
    place = Place(session)
    async with streamer(place.port) as server:
        known = await find(session, place.address)
        assert known == Found(base_url=f"{place.address}/v1", model="owl:1b")
        seeker = Seeker(lambda: find(session, place.address), known, clock=lambda: place.now)
        assert await seeker.seek() is None
        server.models = []
        place.now = 60.0
        assert await seeker.seek() is None
        assert server.looks == 3


@pytest.mark.parametrize(
    "body",
    [b"", b"no JSON", b'{"models": 1}', b'{"models": [{"name": "\xff"}]}',
     b'{"models": ' + b"[" * 50_000, b"[" * 2_000_000],
    ids=("nothing", "no-json", "no-list", "no-utf-8", "deep", "long"),
)  # fmt: skip
async def test_what_answers_anything_else_is_none(session, body):
    async def tags(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/tags", tags)
    async with TestServer(app) as server:
        assert await find(session, str(server.make_url("/"))) is None
