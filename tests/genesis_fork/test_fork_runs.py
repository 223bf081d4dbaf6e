"""`run_until_complete` from a copy in files, on each engine of this machine, to both verdicts."""

import asyncio
import hashlib
import re

import pytest

from attest.verify.plain import jsonable
from genesis.core.verdict import Decision, verify_envelope
from genesis.forking import copies
from genesis.forking.fork import Document, fork_successor, read
from ledger.core.keys import Signer
from node.agent import sessions
from tests.e2e.make_examples import EXAMPLES
from tests.sandbox.engines import ENGINES

from .test_fork_successor import BUDGET
from .world import lived

HONEST, HOSTILE = EXAMPLES / "remember-more.diff", EXAMPLES / "always-fine.diff"
SIGNER = Signer(bytes([7]) * 32)


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A session that was lived and copied, in two folders; and the digest of every file of it."""
    folder = tmp_path_factory.mktemp("session")

    async def live():
        async with lived(folder) as (_, session):
            await asyncio.to_thread(copies.save, session.export(), folder / "copy")

    asyncio.run(live())
    return folder / "copy"


def files(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.stat().st_size and not path.name.endswith("-shm")
    }


@pytest.mark.parametrize("engine", ENGINES, ids=lambda one: one.value)
@pytest.mark.parametrize(
    ("patch", "decision"), [(HONEST, Decision.ACCEPT), (HOSTILE, Decision.REJECT)]
)
def test_it_runs_to_a_verdict_from_a_copy_on_every_engine(copied, engine, patch, decision):
    before = files(copied)
    with copies.opened(copied) as state:
        successor = fork_successor(
            current_state=state, architecture_patch=read(patch), budget=BUDGET, engine=engine,
            evaluation_task="Answer a greeting.", signer=SIGNER,
        )  # fmt: skip
        verdict = successor.run_until_complete()
    assert (verdict.decision, verdict.accepted) == (decision, decision is Decision.ACCEPT)
    assert (verdict.sandbox.engine, verdict.sandbox.passed) == (engine, True)
    assert verdict.state == state.about.digest
    assert len(verdict.turns) == 2
    assert all(turn.parent.outcome == "answered" for turn in verdict.turns)
    signed = verify_envelope(verdict.judgment.envelope, trusted={SIGNER.public})
    assert signed.signers == (SIGNER.public,)
    assert files(copied) == before


def test_a_task_that_is_a_measure_is_measured(copied):
    with copies.opened(copied) as state:
        successor = fork_successor(
            current_state=state, engine=ENGINES[0], budget=BUDGET,
            architecture_patch=Document(name="x.diff", data=HONEST.read_bytes()),
            evaluation_task="steps-per-turn: fewer of them",
        )  # fmt: skip
        verdict = successor.run_until_complete()
    assert verdict.judgment.verdict.findings.inputs.measure == "steps-per-turn"
    assert verdict.accepted
    found = jsonable(sessions.row(verdict))
    assert (found["effect"]["measure"], found["effect"]["met"]) == ("steps-per-turn", False)
    [told] = [line for line in sessions.lines(found) if line.startswith("effect    ")]
    assert re.search("steps-per-turn.*not met", told), told
