"""Asking a witness: every answer a witness, or something that is none, may give; over real HTTP."""

import asyncio
import hashlib
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from Cryptodome.PublicKey import ECC
from Cryptodome.Signature import eddsa
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.checkpoint import open_checkpoint
from ledger.core.cosignature import Witness, cosign, cosignatures
from mesh.core.witnesses.add_checkpoint import SIZE_TYPE
from mesh.core.witnesses.asking import ROUNDS_MAX, Answered, Ask, Asking, Ended, Outcome
from mesh.witnesses.asking import Asked, ask_all
from mesh.witnesses.witness import Cosigner, WitnessFile
from tests.mesh.test_witness import OTHER, TRUE, introduce, introduction, lived
from tests.spec import agent

NOW = 1_800_000_000


def secret(name):
    return ECC.construct(curve="Ed25519", seed=hashlib.sha256(name.encode()).digest())


def witness(name):
    public = bytes(secret(name).public_key().export_key(format="raw"))
    return Witness(name=name, public=public)


def sign(name):
    return eddsa.new(secret(name), "rfc8032").sign


def asking(ledger=TRUE, size=7, *, known=0, name="timmy/w"):
    return Asking(
        witness=witness(name), head=ledger.head(size), paths=ledger.tree.consistency, known=known
    )


def answered(status, body=b"", kind="text/plain"):
    return Answered(status=status, kind=kind, body=body)


# ---- the state machine ---------------------------------------------------------------------------


def test_the_size_that_the_witness_knows_is_asked_from():
    state, first = asking().first()
    assert (first.request.old_size, first.request.path, first.introduce) == (0, (), False)
    state, second = state.heard(answered(409, b"3\n", SIZE_TYPE))
    assert second.request.old_size == 3
    assert list(second.request.path) == TRUE.tree.consistency(3, 7)
    line = cosign(state.head.note.text, state.witness, NOW, sign("timmy/w"))
    end = state.heard(answered(200, line.line().encode()))
    assert (end.outcome, end.lines, end.size) == (Outcome.COSIGNED, (line,), 7)


def test_a_size_above_ours_is_another_self():
    state, _ = asking().first()
    end = state.heard(answered(409, b"8\n", SIZE_TYPE))
    assert (end.outcome, end.size) == (Outcome.AHEAD, 8)
    state, first = asking(known=9).first()
    assert first.request.old_size == 0


def test_a_witness_of_our_kind_is_introduced_once():
    for status in (403, 404):
        state, _ = asking().first()
        state, second = state.heard(answered(status))
        assert second.introduce
        assert state.heard(answered(status)).outcome is Outcome.REFUSED
        public, _ = asking(name="witness.example").first()
        assert public.heard(answered(status)).outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (answered(422, b"no"), Outcome.DIFFERENT),
        (answered(400, b"what?"), Outcome.REFUSED),
        (answered(500), Outcome.REFUSED),
        (answered(301), Outcome.REFUSED),
        (answered(409, b"3\n"), Outcome.REFUSED),
        (answered(409, b"03\n", SIZE_TYPE), Outcome.UNRESPONSIVE),
        (answered(409, b"3", SIZE_TYPE), Outcome.UNRESPONSIVE),
        (answered(409, b"0\n", SIZE_TYPE), Outcome.UNRESPONSIVE),
        (answered(200, b""), Outcome.UNRESPONSIVE),
        (answered(200, b"\xff\n"), Outcome.UNRESPONSIVE),
        (answered(200, "— other AAAAAAAA\n".encode()), Outcome.UNRESPONSIVE),
    ],
    ids=map(str, range(11)),
)
def test_every_other_answer(answer, outcome):
    state, _ = asking().first()
    end = state.heard(answer)
    assert (end.outcome, end.lines) == (outcome, ())


def test_a_cosignature_of_another_head_is_no_answer():
    state, _ = asking().first()
    other = cosign(TRUE.head(6).note.text, state.witness, NOW, sign("timmy/w"))
    assert state.heard(answered(200, other.line().encode())).outcome is Outcome.UNRESPONSIVE


def test_a_witness_that_signs_many_times_is_one_witness():
    """Else one could stand for as many as are needed, and make notes too long to be read."""
    state, _ = asking().first()
    text = state.head.note.text
    lines = [cosign(text, state.witness, NOW + at, sign("timmy/w")).line() for at in range(70)]
    end = state.heard(answered(200, "".join(lines).encode()))
    assert (end.outcome, [one.line() for one in end.lines]) == (Outcome.COSIGNED, lines[:1])
    assert open_checkpoint(state.head.with_lines(end.lines).encode(), agent.LOG.public)


@given(st.lists(st.tuples(st.sampled_from([200, 400, 403, 404, 409, 422, 500]), st.binary(max_size=9),
                          st.integers(0, 9)), max_size=20))  # fmt: skip
def test_it_comes_to_an_end_whatever_is_answered(answers):
    state, ask = asking().first()
    for number, (status, body, size) in enumerate(answers):
        assert number <= ROUNDS_MAX + 1
        assert isinstance(ask, Ask)
        data = b"%d\n" % size if status == 409 else body
        step = state.heard(answered(status, data, SIZE_TYPE))
        if isinstance(step, Ended):
            assert step.outcome is not Outcome.COSIGNED
            return
        state, ask = step


# ---- over HTTP -----------------------------------------------------------------------------------


@asynccontextmanager
async def served(**handlers):
    """A server; each handler is at POST /<name>/add-checkpoint."""
    app = web.Application()
    for name, handler in handlers.items():
        app.router.add_post(f"/{name}/add-checkpoint", handler)
        app.router.add_post(f"/{name}/introduction/{{ledger}}", unwanted)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [address] = runner.addresses
    try:
        yield f"http://127.0.0.1:{address[1]}"
    finally:
        await runner.cleanup()


def real(folder: Path, name, ledger=TRUE):
    file = WitnessFile(folder / f"{name}.db", introduce)
    file.introduce(ledger.id, introduction(ledger))
    cosigner = Cosigner(file=file, witness=witness(name), sign=sign(name), clock=lambda: NOW)

    async def handler(request):
        reply = cosigner.answer(await request.read())
        status = reply.verdict.answer.status
        kind = SIZE_TYPE if status == 409 else "text/plain"
        return web.Response(status=status, body=reply.body.encode(), content_type=kind)

    return handler


async def silent(_request):
    await asyncio.sleep(3600)


async def endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(10_000):
        await response.write(b"x" * 4096)
    return response


async def elsewhere(_request):
    raise web.HTTPTemporaryRedirect("http://127.0.0.1:1/")


async def test_each_witness_costs_its_own_line_and_nobody_elses(tmp_path):
    handlers = {"one": real(tmp_path, "one"), "two": real(tmp_path, "two"),
                "silent": silent, "endless": endless, "elsewhere": elsewhere}  # fmt: skip
    known = {}
    async with served(**handlers) as url, aiohttp.ClientSession() as session:
        asked = [Asked(witness=witness(name), url=f"{url}/{name}") for name in handlers]
        asked.append(Asked(witness=witness("gone"), url="http://127.0.0.1:1"))
        for size in (3, 9):
            found = await ask_all(
                session, asked, TRUE.head(size), paths=TRUE.tree.consistency, known=known,
                introduction=b"", seconds=1.5,
            )  # fmt: skip
            lines = [line for end in found.values() for line in end.lines]
            note = TRUE.head(size).with_lines(lines).note
            keys = [one.witness for one in asked]
            names = [one.witness.name for one in cosignatures(note, keys)]
            assert names == ["one", "two"]
        assert known == {"one": 9, "two": 9}
    assert found["elsewhere"].outcome is Outcome.REFUSED
    for name in ("silent", "endless", "gone"):
        assert found[name].outcome is Outcome.UNRESPONSIVE
        assert found[name].reason


async def unwanted(_request):
    """What a node says that does not witness this log, or not yet: a member that came just now."""
    return web.Response(status=422, text="not witnessed here")


async def unknown(_request):
    return web.Response(status=404)


async def test_who_does_not_take_the_log_has_seen_no_other_history():
    async with served(one=unknown) as url, aiohttp.ClientSession() as session:
        asked = [Asked(witness=witness("timmy/one"), url=f"{url}/one")]
        found = await ask_all(
            session, asked, TRUE.head(3), paths=TRUE.tree.consistency, known={}, introduction=b"",
        )  # fmt: skip
    end = found["timmy/one"]
    assert end.outcome is Outcome.REFUSED
    assert "status 422: not witnessed here" in end.reason


async def test_another_history_is_told(tmp_path):
    async with served(one=real(tmp_path, "one")) as url, aiohttp.ClientSession() as session:
        asked = [Asked(witness=witness("one"), url=f"{url}/one")]

        async def show(ledger, size):
            found = await ask_all(
                session, asked, ledger.head(size), paths=ledger.tree.consistency, known={},
                introduction=b"",
            )  # fmt: skip
            return found["one"].outcome

        assert await show(TRUE, 8) is Outcome.COSIGNED
        assert await show(TRUE, 5) is Outcome.AHEAD
        assert await show(OTHER, 10) is Outcome.DIFFERENT
        assert await show(lived(), 1) is Outcome.AHEAD
        assert agent.LOG.public
