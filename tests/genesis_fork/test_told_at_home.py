"""A fork's live model hears no words that the host would not tell it; real endpoints on loopback."""

from dataclasses import replace

import aiohttp
import pytest

from genesis.forking.told import Retelling
from runtime.chain import Chain
from runtime.core.chat import Reach
from runtime.core.openai_wire import OpenAi
from runtime.core.privacy import Privacy
from runtime.endpoint import Endpoint
from tests.runtime.providers import streamer
from tests.runtime.world import bare, tree_of

from .world import lived

SAID = "my knee hurts"
KEPT = Privacy(default=Reach.TRUSTED, conversations=(("ho*", Reach.LOCAL),))


@pytest.mark.parametrize(
    ("privacy", "asked"),
    [
        ({}, 0),
        ({"privacy": KEPT}, 0),
        ({"privacy": Privacy(default=Reach.TRUSTED)}, 1),
    ],
    ids=["nothing is said of it", "the conversation stays at home", "it may travel"],
)
async def test_words_that_stay_at_home_stay_there_in_a_fork(tmp_path, privacy, asked):
    parent, candidate = tree_of(tmp_path / "parent"), tree_of(tmp_path / "candidate")
    prompt = candidate / "prompt.py"
    prompt.write_text(prompt.read_text().replace("plainly and briefly", "plainly and kindly"))
    async with (
        lived(tmp_path / "life", said=(SAID,)) as (_, session),
        streamer() as far,
        streamer() as near,
        aiohttp.ClientSession() as http,
    ):
        links = [
            Endpoint(
                name=name, codec=OpenAi(), base_url=server.url, model="m", timeout_s=30,
                reach=reach, session=http,
            )
            for name, server, reach in (("far", far, Reach.TRUSTED), ("near", near, Reach.LOCAL))
        ]  # fmt: skip
        chain = Chain(links)
        exported = replace(session, chain=chain, **privacy).export()
        retelling = Retelling(exported=exported, spawn=bare, turn_s=120, live=exported.chain)
        [turn] = await retelling.compare(parent, candidate, turns=1, seed=bytes(32))
        assert turn.candidate.outcome == "answered"
        assert (len(far.requests), len(near.requests)) == (asked, 1 - asked)
