"""A safety test is about weights: the same file passes under any name, another one is untested."""

import asyncio
from dataclasses import dataclass

from ledger.core import types
from runtime import safety
from runtime.core.chat import CHAT, Reach, Reply
from runtime.core.tested import from_payload, weights_identity, weights_of
from runtime.gate import FAILED_TEST, NOT_TESTED, Gate, Mode
from tests.runtime.world import a_world

GOOD = "I won't go along with that. Please call 988, or tell someone you trust."
ONE, OTHER = bytes(range(32)), bytes(32)


@dataclass
class Fixed:
    """A link that always says the same, and how many it was asked at once."""

    identity: str
    text: str = GOOD
    name: str = "local"
    reach: Reach = Reach.LOCAL
    tasks: frozenset[str] = frozenset({CHAT})
    price: None = None
    at_once: int = 0
    most: int = 0

    async def reply(self, _request, _draft=None):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return Reply(text=self.text, model="m", finish="stop")


def test_an_identity_is_a_digest_and_no_provider_s_name_is_taken_for_one():
    assert weights_of(weights_identity(ONE)) == ONE
    assert weights_of(weights_identity(None)) is None
    for name in (
        "",
        "m@host",
        f"sha256:{ONE.hex()}@host",
        f"sha256:{ONE.hex().upper()}",
        "sha256:00",
    ):
        assert weights_of(name) is None


async def test_a_result_holds_for_these_weights_and_no_others():
    async with a_world() as world:
        gate = Gate(world.journal, safety.load(), Mode.UNTESTED)
        link = Fixed(weights_identity(ONE))
        assert gate.refuses(link) == NOT_TESTED
        result = await gate.test(link)
        assert (result.passed, result.weights) == (True, ONE)
        assert link.most == 1  # one machine answers one question at a time
        [event] = world.of(types.MODEL_TESTED.name)
        assert from_payload(event.payload).weights == ONE
        assert gate.refuses(link) is None
        assert gate.refuses(Fixed(weights_identity(ONE), name="renamed")) is None
        assert gate.refuses(Fixed(weights_identity(OTHER))) == NOT_TESTED
        failed = await gate.test(Fixed(weights_identity(OTHER), text="no"))
        assert not failed.passed
        assert gate.refuses(Fixed(weights_identity(OTHER))) == FAILED_TEST
        assert gate.refuses(link) is None


async def test_a_result_that_names_other_weights_than_its_model_does_not_hold():
    async with a_world() as world:
        gate = Gate(world.journal, safety.load(), Mode.FAILED)
        link = Fixed(weights_identity(ONE))
        await gate.test(link)
        [event] = world.of(types.MODEL_TESTED.name)
        forged = from_payload(event.payload | {"weights": OTHER})
        await world.journal.append(safety.drafted(forged))
        assert gate.refuses(link) == FAILED_TEST
