"""A gateway whose message's home answers at once, and nothing of use: asked on at a walking pace."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from mesh.core.fleet import passing
from mesh.core.fleet.duty import order
from mesh.core.fleet.manifest import WITNESS, sign_manifest
from mesh.core.fleet.routing import LEASE_SECONDS_MIN, Times
from mesh.core.nip01 import NostrSigner
from node.fleet import routing as module
from node.fleet.files import FleetFiles
from node.fleet.following import Following
from node.fleet.majority import Majority
from node.fleet.members import FleetNode, signed_first
from node.fleet.proposals import next_manifest
from node.fleet.routing import Routing
from node.open import now_ms
from runtime.drafts import Drafts
from runtime.forwarding import Forwarding
from runtime.gateway import Gateway
from runtime.journal import Journal
from tests.mesh.test_manifest import OPERATOR, member, signer
from tests.runtime.world import new_log

SECONDS = 60
ASKED = 5


class Home:
    """A member that answers each envelope with what `says` makes of it."""

    def __init__(self, says):
        self.says, self.asked = says, []

    async def handle(self, request):
        self.asked.append(time.monotonic())
        return web.Response(body=self.says(passing.parse(await request.read())))


def busy(passed):
    return reply(passed, draft="")


def wordy(passed):
    return reply(passed, draft=f"{passed.payload.sent_at} {time.monotonic_ns()}")


def reply(passed, draft, id_=None):
    words = passed.payload
    waiting = passing.Waiting(
        id=id_ or words.id, sent_at=words.sent_at, to=words.ledger, draft=draft
    )
    home = NostrSigner(signer("home").secret)
    return passing.sign(waiting, conversation=passed.conversation_id, signer=home).encode()


def junk(passed):
    return b'{"%s":1}' % (b"x" * 9999)


def other(passed):
    return reply(passed, "", id_="ee" * 32)


@asynccontextmanager
async def gateway(path, home, lease_s=3600):
    """A gateway beside a home, and the name of a talk that is the home's."""
    app = web.Application()
    app.router.add_post("/fleet/words", home.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        with new_log() as log:
            key = NostrSigner(signer("gateway").secret)
            node = FleetNode(
                files=FleetFiles(path / "fleet"), signer=signer("gateway"), log=log,
                own=replace(member("gateway", WITNESS), ledger=log.ledger_id),
                session=session, times=Times(lease_s=lease_s),
            )  # fmt: skip
            first = signed_first(node.draft("http://127.0.0.1:1"), OPERATOR)
            await node.take(first.encode(), approve=True)
            add = [replace(member("home", "home"), urls=(url,))]
            made = next_manifest(node.fleet.manifest, add=add, remove=set())
            await node.take(sign_manifest(made, OPERATOR).encode(), approve=True)
            hour_ms = 3_600_000
            node.heard_ms = node.reached_ms = {member("home").ledger: now_ms() + hour_ms}
            journal = Journal(log)
            made = Routing(
                fleet=node, forwarding=Forwarding(journal),
                following=Following(journal=journal, log=log, mirrors=dict),
                majority=Majority(fleet=node, duty=SimpleNamespace(), log=log, on=False),
                drafts=Drafts(), log=log, signer=key, wanted=True,
            )  # fmt: skip
            members = [log.ledger_id, member("home").ledger]
            names = (f"talk {number}" for number in range(1000))
            talk = next(one for one in names if order(one.encode(), members)[0] != log.ledger_id)
            told = Gateway(journal)
            told.route = made.elsewhere
            async with asyncio.TaskGroup() as group:
                task = group.create_task(made.run())
                yield told, talk
                task.cancel()
    await runner.cleanup()


@pytest.mark.parametrize("says", [busy, wordy])
async def test_a_home_that_has_not_answered_yet_is_asked_again_after_a_pause(tmp_path, says):
    """A home that is full says so at once; so does one that lies."""
    home = Home(says)
    async with gateway(tmp_path, home) as (told, talk):
        await told.receive("is it raining?", conversation=talk, author="ann", gateway="test")
        async with asyncio.timeout(SECONDS):
            while len(home.asked) < ASKED:
                await asyncio.sleep(0.001)
    first, *_, last = home.asked[:ASKED]
    assert last - first >= (ASKED - 1) * 0.9 * module._STEP_SECONDS


@pytest.mark.parametrize(
    ("says", "why"), [(junk, "not an envelope"), (other, "it is of something else")]
)
async def test_a_reply_that_is_none_is_logged_once(tmp_path, says, why):
    home = Home(says)
    with capture_logs() as logs:
        async with gateway(tmp_path, home, LEASE_SECONDS_MIN) as (told, talk):
            await told.receive("is it raining?", conversation=talk, author="ann", gateway="test")
            async with asyncio.timeout(SECONDS):
                while len(home.asked) < ASKED:
                    await asyncio.sleep(0.001)
    [line] = [one for one in logs if one["event"] == "a member's reply is none"]
    assert line["peer"] == member("home").nostr.hex()
    assert line["why"].startswith(why)
    assert len(line["why"]) <= 200
