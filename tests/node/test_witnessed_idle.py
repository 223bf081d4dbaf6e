"""What asks witnesses costs nothing where none are asked, and little where one is gone."""

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from ledger.core.checkpoint import open_checkpoint
from ledger.core.cosignature import Witness, cosign, cosignatures
from ledger.core.lineage import Lineage
from ledger.release import Release
from mesh.core import limits
from mesh.core.fleet.manifest import Fleet, sign_manifest
from mesh.core.witnesses.asking import Ended, Outcome
from mesh.pool.port import MemoryPool
from mesh.witnesses.asking import Asked
from node.fleet.ed25519 import Ed25519Key
from node.fleet.files import FleetFiles
from node.fleet.looking_back import LookingBack
from node.fleet.members import FleetNode
from node.fleet.witnessed import Witnessed
from node.sections.witness import WitnessSection
from tests.ledger.makers import message, open_log
from tests.mesh.test_manifest import OPERATOR, digest, manifest, member, signer
from tests.spec import agent

SECTION = WitnessSection(enabled=False, logs=[], ask=[], needed=0, interval_s=1)
GONE = Asked(witness=Witness(name="gone", public=digest("gone")), url="http://127.0.0.1:1")


class Counted(Witnessed):
    """Counts its steps."""

    count = 0

    async def step(self):
        self.count += 1
        await super().step()


def make(log, release, session, tmp_path, configured, known=None):
    fleet = FleetNode(
        files=FleetFiles(tmp_path / "fleet"), own=member("self", "witness"),
        signer=signer("self"), log=log, session=session, fleet=known,
    )  # fmt: skip
    looking = LookingBack(
        pool=MemoryPool(), relays=(), pubkey="", head_kind=30078, log=log,
        lineage=Lineage.of(log.read(0)),
    )  # fmt: skip
    return Counted(
        log=log, release=release, section=SECTION, configured=configured, fleet=fleet,
        looking_back=looking, session=session, file=tmp_path / "note",
        introduction=lambda: b"",
        second_line=lambda head: head.note.signatures[0],
    )  # fmt: skip


async def steps_in(tmp_path, configured, seconds, *, known=None):
    """How often a witness would be asked in a time in which nothing is said, and what is held."""
    with open_log() as log:
        log.append_now(agent.genesis_draft(), message("one"))
        release = Release.begin(log, tmp_path / "state", agent.LOG)
        async with aiohttp.ClientSession() as session:
            found = make(log, release, session, tmp_path, configured, known)
            found.begin()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await found.run()
    return found.count, release.held


@pytest.mark.parametrize(
    ("configured", "held"), [((), False), ((GONE,), True)], ids=("none", "one")
)
async def test_nobody_is_asked_over_and_over(tmp_path, configured, held):
    count, why = await steps_in(tmp_path, configured, 1.0)
    assert count == 1
    assert bool(why) is held


async def test_witnesses_without_an_address_are_needed_all_the_same(tmp_path):
    """Addresses are the operator's alone; what his stolen key takes away releases nothing."""
    others = [replace(member(name, "witness"), urls=()) for name in "ab"]
    made = manifest(member("self", "witness"), *others, needed=2)
    fleet = Fleet.begin(sign_manifest(made, OPERATOR))
    count, why = await steps_in(tmp_path, (), 0.5, known=fleet)
    assert count == 1
    assert why


async def test_a_head_with_many_witnesses_can_be_read(tmp_path):
    """A note has 64 lines at most, a fleet up to 256 witnesses."""
    with open_log() as log:
        log.append_now(agent.genesis_draft(), message("one"))
        release = Release.begin(log, tmp_path / "state", agent.LOG)
        head = release.head()
        line = head.note.signatures[0]
        found = {
            str(at): Ended(outcome=Outcome.COSIGNED, lines=(replace(line, name=f"w{at}"),))
            for at in range(100)
        }
        async with aiohttp.ClientSession() as session:
            asking = make(log, release, session, tmp_path, ())
            await asking._keep(head, found)
        assert len(asking.newest.note.signatures) == 64
        assert open_checkpoint((tmp_path / "note").read_bytes(), agent.LOG.public)


@asynccontextmanager
async def answering(answers, release):
    """A witness' address; each answer is a status and a body, None for a true line."""

    async def handle(_request):
        status, body = answers.pop(0)
        line = signed(release.newest, "a")["a"].lines[0].line().encode()
        return web.Response(status=status, body=line if body is None else body)

    app = web.Application()
    app.router.add_route("*", "/{all:.*}", handle)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_a_witness_that_does_not_cosign_is_logged_once_until_it_does(tmp_path):
    with open_log() as log:
        log.append_now(agent.genesis_draft(), message("one"))
        release = Release.begin(log, tmp_path / "state", agent.LOG)
        answers = [
            (200, b"nonsense"), (200, b"nonsense"), (403, b"go away"), (404, b"you: again"),
            (500, b"many: words"), (200, None), (403, b"soon again"),
            (200, None), (403, b"no more"), (403, b"no more"),
        ]  # fmt: skip
        async with answering(answers, release) as url, aiohttp.ClientSession() as session:
            asked = (Asked(witness=WITNESSES["a"], url=url),)
            one = make(log, release, session, tmp_path, asked)
            with capture_logs() as logs:
                for _ in range(7):
                    await one.step()
                later = time.monotonic() + 2 * limits.CLEAN_SECONDS
                one._complaints.now = lambda: later
                for _ in range(3):
                    await one.step()
    assert answers == []
    lines = [each for each in logs if each["event"] == "a witness does not cosign"]
    assert {(each["peer"], each["log_level"]) for each in lines} == {("a.example", "warning")}
    assert [each["why"].split(":")[:2] for each in lines] == [
        ["unresponsive", " no cosignature"],
        ["refused", " status 403"],
        ["refused", " status 403"],
    ]


WITNESSES = {
    name: Witness(name=f"{name}.example", public=Ed25519Key.derive(digest(name), "witness").public)
    for name in "abc"
}


def signed(head, *names):
    """How it ended with witnesses that sign for real, each as `_keep` is told of it."""
    return {
        name: Ended(outcome=Outcome.COSIGNED, size=head.size, lines=(cosign(
            head.note.text, WITNESSES[name], 1_700_000_000,
            Ed25519Key.derive(digest(name), "witness").sign,
        ),))
        for name in names
    }  # fmt: skip


def needing(count):
    return WitnessSection(enabled=False, logs=[], ask=[], needed=count, interval_s=1)


def signers(head):
    return {one.witness.name[0] for one in cosignatures(head.note, WITNESSES.values())}


async def test_what_goes_to_relays_was_signed_by_as_many_as_are_needed_now(tmp_path):
    with open_log() as log:
        log.append_now(agent.genesis_draft(), message("one"))
        release = Release.begin(log, tmp_path / "state", agent.LOG)
        asked = tuple(Asked(witness=one, url="http://127.0.0.1:1") for one in WITNESSES.values())
        async with aiohttp.ClientSession() as session:
            one = make(log, release, session, tmp_path, asked)
            old = release.head()
            assert one.publishable(old) == old, "nobody has to sign"
            await one._keep(old, signed(old, "a"))
            assert signers(one.publishable(old)) == {"a"}, "and who did is shown"

            one._seen = log.size
            assert not one._is_new()
            one.section = needing(2)
            assert one.publishable(old) is None, "kept when fewer were needed"
            assert one._is_new(), "so they are asked again, with nothing new said"
            await one._keep(old, signed(old, "b"))
            assert one.publishable(old) is None
            await one._keep(old, signed(old, "a", "c"))
            assert signers(one.publishable(old)) == {"a", "c"}

            log.append_now(message("two"))
            new = release.head()
            assert one.publishable(new).checkpoint == old.checkpoint, (
                "the newest that enough signed"
            )
            await one._keep(new, signed(new, "b"))
            assert one.publishable(new).checkpoint == old.checkpoint
            await one._keep(new, signed(new, "c", "b"))
            assert one.publishable(new).checkpoint == new.checkpoint
            one.configured = asked[:2]
            assert one.publishable(new) is None, "c is asked no more, and does not count"
            again = make(log, release, session, tmp_path, asked)
            again.section = needing(3)
            again.begin()
            assert again.newest == one.newest, "what was kept is taken up"
            assert again.publishable(new) is None
