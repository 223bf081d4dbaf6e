"""An envelope for another member is brought on once, also where addresses lead in a circle."""

import time
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from mesh.core.errors import Refused
from mesh.core.fleet import passing
from mesh.core.fleet.manifest import Fleet, sign_manifest
from mesh.core.nip01 import NostrSigner
from node.fleet.files import FleetFiles
from node.fleet.homing import HOPS_MAX, Homing
from node.fleet.members import FleetNode
from tests.ledger.makers import open_log
from tests.mesh.test_manifest import OPERATOR, manifest, member, signer
from tests.node.test_fleet_book import session
from tests.spec import agent

__all__ = ["session"]
REPLY = b"the other's answer, which nobody here reads"


def homing(fleet, log, tmp_path, session):
    """A member as far as it brings what is not for it."""
    node = FleetNode(
        files=FleetFiles(tmp_path / "fleet"), own=member("bearer", "home"),
        signer=signer("bearer"), log=log, session=session, fleet=fleet,
    )  # fmt: skip
    nothing = dict.fromkeys(
        ("following", "majority", "growing", "gateway", "host", "journal", "head", "signer")
    )
    return Homing(fleet=node, log=log, **nothing)


def settled(to):
    """Words of the gateway for a member: any will do, they are not read on the way."""
    said = passing.Settled(id="ab" * 32, sent_at=int(time.time()), to=to.hex(), by="cd" * 32)
    key = NostrSigner(signer("gate").secret)
    return passing.sign(said, conversation="ef" * 16, signer=key).encode()


@pytest.fixture
async def place(tmp_path, session):
    """A bearer behind a server, `url`; `far` is a member that answers, `lost` one whose address is
    the bearer's own.
    """
    came = []
    app = web.Application()
    runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def words(request):
        came.append(request.query.get("hops"))
        data = await request.read()
        if request.path.startswith("/far"):
            return web.Response(body=REPLY)
        try:
            hops = int(request.query.get("hops", "0"))
            return web.Response(body=await bearer.asked(data, hops=hops))
        except Refused:
            return web.Response(status=409)

    app.router.add_post("/fleet/words", words)
    app.router.add_post("/far/fleet/words", words)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    far, lost = at(member("far", "home"), f"{url}/far"), at(member("lost", "home"), url)
    made = manifest(member("gate", "gateway"), far, lost)
    with open_log() as log:
        log.append_now(agent.genesis_draft())
        fleet = Fleet.begin(sign_manifest(made, OPERATOR))
        bearer = homing(fleet, log, tmp_path, session)
        yield url, came, far, lost
    await runner.cleanup()


def at(one, url):
    return replace(one, urls=(url,))


async def test_it_is_brought_to_its_member_and_its_answer_back(place):
    url, came, far, _ = place
    async with aiohttp.ClientSession() as asking:
        answer = await asking.post(f"{url}/fleet/words", data=settled(far.ledger))
        assert await answer.read() == REPLY
    assert came == [None, "1"]


async def test_an_address_that_leads_back_is_followed_once(place):
    url, came, _, lost = place
    async with aiohttp.ClientSession() as asking:
        answer = await asking.post(f"{url}/fleet/words", data=settled(lost.ledger))
        assert answer.status == 409
        assert came == [None, "1"], "the second bearer refuses"
        late = await asking.post(f"{url}/fleet/words?hops=7", data=settled(lost.ledger))
        assert late.status == 409
    assert came == [None, "1", "7"]
    assert HOPS_MAX == 1
