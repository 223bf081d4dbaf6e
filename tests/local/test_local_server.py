"""llama-cpp-python's own server, kept running by ours: asked, killed, overfed, pushed off its port."""

import asyncio
import hashlib
import os
import signal
import socket
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from runtime import local_process, sandbox
from runtime.core.chat import ModelRequest, Reach
from runtime.core.errors import InvalidWeights, LocalModelError, ModelFailed
from runtime.local import LocalServer, Patience, PortTaken, State
from runtime.local_link import LocalLink
from runtime.local_process import BrainSettings, resident_bytes, words_of_end
from runtime.sandbox import MIB, Engine
from runtime.weights import Digests, look
from tests.sandbox.engines import EVERY

from .gguf_files import tiny

WAIT_S = 90.0
SETTINGS = BrainSettings(
    context_tokens=512, threads=1, memory_bytes=600 * MIB, engine=Engine.NONE
)  # fmt: skip
QUICK = Patience(pause_s=0.05, pause_s_max=0.1, lives_max=3, health_every_s=0.2)
REQUEST = ModelRequest(
    messages=(("system", "be brief"), ("user", "how many owls")),
    max_tokens=12, before=0, reach=Reach.LOCAL,
)  # fmt: skip


class Draft:
    """Keeps what comes while it comes."""

    def __init__(self):
        self.pieces, self.resets = [], 0

    def add(self, text):
        self.pieces.append(text)

    def reset(self):
        self.resets += 1


async def until(ready, what):
    async with asyncio.timeout(WAIT_S):
        while not ready():
            await asyncio.sleep(0.02)
    assert ready(), what


@asynccontextmanager
async def serving(path, *, settings=SETTINGS, patience=QUICK, **more):
    """A server that is running, and the link to it."""
    async with aiohttp.ClientSession() as session:
        server = LocalServer(
            path,
            sha256=more.pop("sha256", ""),
            port=more.pop("port", 0),
            settings=settings,
            digests=Digests(None),
            session=session,
            patience=patience,
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(server.run())
            try:
                yield server, LocalLink(server=server, session=session, timeout_s=WAIT_S)
            finally:
                task.cancel()


async def ready(server):
    await until(lambda: server.state in (State.READY, State.GIVEN_UP), "it is ready")
    assert server.state is State.READY, server.reason


async def test_it_answers_whole_and_in_pieces_and_says_who_it_is(model):
    engine = await sandbox.detect()
    async with serving(model, settings=replace(SETTINGS, engine=engine)) as (server, link):
        with pytest.raises(ModelFailed, match="being loaded") as early:
            await link.reply(REQUEST)
        assert not early.value.counts
        await ready(server)
        draft = Draft()
        reply = await link.reply(REQUEST, draft)
        assert "".join(draft.pieces) == reply.text
        assert len(draft.pieces) > 1
        assert reply.model == server.alias == f"tiny:{server.digest.hex()[:12]}"
        assert (await link.reply(REQUEST)).finish in ("length", "stop")
        assert link.identity == f"sha256:{server.digest.hex()}"
        value = server.value()
        assert (value["state"], value["lives"], value["confined"]) == ("ready", 1, engine.value)
        assert value["memory_bound"] in ("cgroup", "watched")
    assert server.value()["pid"] is None


async def test_two_that_ask_at_once_are_both_answered(model):
    """llama-cpp-python's default cuts the first off when a second one comes."""
    async with serving(model) as (server, link):
        await ready(server)
        long = replace(REQUEST, max_tokens=40)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(link.reply(long)) for _ in range(2)]
        assert all(task.result().finish in ("length", "stop") for task in tasks)


async def test_a_prompt_that_is_too_long_does_not_count_against_it(model):
    async with serving(model) as (server, link):
        await ready(server)
        long = replace(REQUEST, messages=(("user", "owl " * 1000),))
        for draft in (None, Draft()):
            with pytest.raises(ModelFailed, match="context overflow") as caught:
                await link.reply(long, draft)
            assert not caught.value.counts
        assert (await link.reply(REQUEST)).text


async def test_pages_of_a_browser_are_refused(model):
    async with serving(model) as (server, _), aiohttp.ClientSession() as session:
        await ready(server)
        url = f"{server.base_url}/models"
        async with session.get(url) as response:
            assert response.status == 200
            assert "Access-Control-Allow-Origin" not in response.headers
            assert (await response.json())["data"][0]["id"] == server.alias
        for headers in ({"Origin": "https://page.example"}, {"Host": "page.example:80"}):
            async with session.get(url, headers=headers) as response:
                assert response.status == 403


async def test_one_that_is_killed_is_started_again(model):
    async with serving(model) as (server, link):
        await ready(server)
        first = server.value()["pid"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: server.lives == 2 and server.state is State.READY, "it is back")
        assert server.value()["pid"] != first
        assert (await link.reply(REQUEST)).text


async def test_one_that_does_not_live_is_given_up_loudly(model):
    async with serving(model) as (server, link):
        for life in range(1, QUICK.lives_max + 1):
            await until(
                lambda life=life: server.lives == life and server._child is not None, "alive"
            )
            os.kill(server._child.pid, signal.SIGKILL)
            await until(lambda: server._child is None, "dead")
        await until(lambda: server.state is State.GIVEN_UP, "given up")
        assert server.reason.startswith("signal 9")
        assert server.alarms().keys() == {("failures", "model/local")}
        with pytest.raises(ModelFailed, match="given up: signal 9"):
            await link.reply(REQUEST)


async def test_one_that_hangs_is_ended_and_started_again(model):
    patience = replace(QUICK, silent_s=1.0)
    async with serving(model, patience=patience) as (server, _):
        await ready(server)
        os.kill(server.value()["pid"], signal.SIGSTOP)
        await until(lambda: server.lives == 2 and server.state is State.READY, "it is back")


async def test_it_leaves_nothing_behind(model):
    async with serving(model) as (server, _):
        await ready(server)
        pid, port = server.value()["pid"], server.port
        assert resident_bytes(pid) > 10 * MIB
    assert not resident_bytes(pid)
    socket.create_server(("127.0.0.1", port)).close()


async def test_a_model_larger_than_its_bound_is_not_even_started(model):
    small = replace(SETTINGS, context_tokens=65_536, memory_bytes=16 * MIB)
    async with serving(model, settings=small) as (server, _):
        await until(lambda: server.state is State.GIVEN_UP, "given up")
        assert server.lives == 0
        assert "it may use 16 MiB" in server.reason
        with pytest.raises(LocalModelError, match="it may use 16 MiB"):
            await server.check()


@pytest.mark.parametrize("engine", EVERY)
async def test_one_that_takes_more_memory_than_it_may_is_ended(model, engine):
    tight = replace(SETTINGS, memory_bytes=24 * MIB, engine=engine)
    async with serving(model, settings=tight) as (server, _):
        await until(lambda: server.state is State.GIVEN_UP, "given up")
        assert "24 MiB" in server.reason


async def test_without_a_control_group_its_memory_is_looked_at(model, monkeypatch):
    monkeypatch.setattr("runtime.cgroups.create", lambda *_: None)
    tight = replace(SETTINGS, memory_bytes=24 * MIB)
    async with serving(model, settings=tight) as (server, _):
        await until(lambda: server.state is State.GIVEN_UP, "given up")
        assert "at most 24 MiB" in server.reason


async def test_a_port_that_is_taken_is_said(model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with serving(model, port=port) as (server, _):
            await until(lambda: server.state is State.GIVEN_UP, "given up")
            assert (
                server.reason
                == f"the local model cannot listen on 127.0.0.1:{port}: " + os.strerror(98)
            )
            with pytest.raises(PortTaken):
                server.listen()


async def test_weights_are_looked_at_before_each_life(model, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(model.read_bytes())
    async with serving(path) as (server, _):
        await ready(server)
        path.write_bytes(model.read_bytes()[:-5000])
        os.kill(server.value()["pid"], signal.SIGKILL)
        await until(lambda: server.state is State.GIVEN_UP, "given up")
        assert "cut short" in server.reason
    async with serving(model, sha256="0" * 64) as (server, _):
        await until(lambda: server.state is State.GIVEN_UP, "given up")
        assert (server.lives, f"expected {'0' * 64}" in server.reason) == (0, True)
        with pytest.raises(InvalidWeights):
            await server.check()


@pytest.mark.parametrize("engine", EVERY)
async def test_the_process_loads_no_other_file_than_the_one_that_was_read(model, tmp_path, engine):
    """Whatever stands at the path for a moment: nobody else looks while it loads here."""
    settings = replace(SETTINGS, engine=engine)
    path, other = tmp_path / "m.gguf", tiny(tmp_path / "other.gguf", seed=8)
    path.symlink_to(model)
    weights = look(path)
    path.unlink()
    path.symlink_to(other)
    for seen, ends in ((weights, 1), (look(path), 0)):
        ours, theirs = socket.socketpair()
        with ours:
            child = await local_process.start("measure", seen, settings, theirs, runs=1)
            async with asyncio.timeout(WAIT_S):
                status = await child.wait()
        assert status == ends, child.stderr_tail()
        words = words_of_end(child, status, settings)
        assert ("the weights were changed" in words) == bool(ends), words


async def test_a_file_swapped_after_its_digest_is_served_under_its_own(
    model, tmp_path, monkeypatch
):
    path, other = tmp_path / "m.gguf", tiny(tmp_path / "other.gguf", seed=8)
    path.write_bytes(model.read_bytes())
    before, after = (hashlib.sha256(one.read_bytes()).digest() for one in (path, other))
    start, read = local_process.start, []

    async def swapped(*arguments, **more):
        read.append(server.digest)
        if other.exists():
            other.replace(path)
        return await start(*arguments, **more)

    monkeypatch.setattr(local_process, "start", swapped)
    async with serving(path) as (server, link):
        await ready(server)
        assert (read, server.lives, server.digest) == ([before, after], 2, after)
        assert link.identity == f"sha256:{after.hex()}"


async def test_one_whose_file_is_swapped_while_it_loads_is_never_ready(
    model, tmp_path, monkeypatch
):
    path, other = tmp_path / "m.gguf", tiny(tmp_path / "other.gguf", seed=8)
    path.write_bytes(model.read_bytes())
    want = hashlib.sha256(path.read_bytes()).hexdigest()
    healthy = LocalServer._healthy

    async def swapped(server):
        good = await healthy(server)
        if good and other.exists():
            other.replace(path)
        return good

    monkeypatch.setattr(LocalServer, "_healthy", swapped)
    async with serving(path, sha256=want) as (server, _):
        await until(lambda: server.state in (State.READY, State.GIVEN_UP), "it is given up")
        assert (server.state, server.lives) == (State.GIVEN_UP, 1)
        assert f"expected {want}" in server.reason


@pytest.mark.parametrize("how", ["written to", "replaced"])
async def test_one_whose_file_is_changed_while_it_runs_is_started_anew(model, tmp_path, how):
    path, other = tmp_path / "m.gguf", tiny(tmp_path / "other.gguf", seed=8)
    path.write_bytes(model.read_bytes())
    async with serving(path, patience=replace(QUICK, pause_s=1.0, pause_s_max=1.0)) as (server, _):
        await ready(server)
        before = server.digest
        if how == "replaced":
            other.replace(path)
        else:
            with path.open("r+b") as file:
                file.seek(-1, os.SEEK_END)
                file.write(bytes([model.read_bytes()[-1] ^ 1]))
        await until(lambda: server.state is State.RESTING, "it is ended")
        assert f"was changed: no longer known to be {before.hex()}" in server.reason
        await until(lambda: server.lives == 2 and server.state is State.READY, "it is back")
        assert server.digest == hashlib.sha256(path.read_bytes()).digest() != before
