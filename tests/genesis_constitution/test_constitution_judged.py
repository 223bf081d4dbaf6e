"""The judge of changes of this software: what it finds, and that it never says yes by itself."""

import json
import shutil

import pytest

from genesis.core.constitution import change_digest, constituted
from genesis.core.patch import parse
from genesis.core.verdict import PEOPLE, Decision, Outcome, seed_commitment, verify_envelope
from genesis.judge import Budget, Head
from genesis.judging.constitution import FOR_PEOPLE, judge_constitution
from genesis.judging.subject import Patience
from ledger.core.keys import Signer
from runtime.sandbox import Engine, SandboxLimits
from tests.genesis_judge.ledgers import Ledger
from tests.sandbox.engines import needs_landlock

from .world import SCREEN, TODOS, architecture, diff, migration, software

SIGNER, SEED, ROOT = Signer(bytes([7]) * 32), bytes(range(32)), bytes([9]) * 32
UNHURRIED = Budget(
    patience=Patience(case_s=300), limits=SandboxLimits(cpu_seconds=120, wall_s=300), total_s=1_800
)
OTHER = {TODOS: software()[TODOS] + b"\n# A word more.\n"}


@pytest.fixture(scope="module", autouse=True)
def _engine():
    assert shutil.which("bwrap"), "install bubblewrap: apt install bubblewrap"


@pytest.fixture(scope="module")
def events():
    told = Ledger()
    for number in range(5):
        told.turn(f"question {number}", f"answer {number}")
    return told.events


async def judged(data, events, engine=Engine.BUBBLEWRAP):
    return await judge_constitution(
        data,
        architecture(),
        software(),
        snapshot=events,
        head=Head(size=len(events), root=ROOT),
        signer=SIGNER,
        seed=SEED,
        engine=engine,
        clock=lambda: 1_790_000_000_000,
        budget=UNHURRIED,
    )


def outcomes(judgment):
    return {gate.name: gate.candidate for gate in judgment.verdict.findings.gates}


@pytest.mark.parametrize(
    "engine", [Engine.BUBBLEWRAP, pytest.param(Engine.LANDLOCK, marks=needs_landlock)]
)
async def test_a_migration_is_for_people_and_says_what_it_folds_otherwise(events, engine):
    data = diff(migration())
    found = await judged(data, events, engine)
    verdict = found.verdict
    assert verdict.measured["reason"] == FOR_PEOPLE, found.notes
    assert verdict.decision is Decision.INCONCLUSIVE
    assert verdict.findings.for_people
    assert outcomes(found) == {
        **dict.fromkeys(("parses", "record", "help", "refold"), Outcome.PASS),
        PEOPLE: Outcome.NOT_RUN,
    }
    assert {tooth.outcome for tooth in verdict.findings.teeth} == {Outcome.FAIL}
    told = verdict.measured["constitution"]
    made = constituted(architecture(), software(), parse(data))
    assert told["software"] == {
        "before": software().root.hex(), "after": made.software.root.hex()
    }  # fmt: skip
    change = change_digest(software().root, made.software.root)
    assert verdict.findings.gates[-1].transcript == change
    kinds = {row["path"]: (row["kind"], row["change"]) for row in told["files"]}
    assert kinds == {
        TODOS: ("reducer", "changes"), "runtime/core/reducers.py": ("host", "changes")
    }  # fmt: skip
    state = told["state"]
    assert state["differs"] == ["seen"]
    assert state["before"] != state["after"]
    assert (state["first"], state["events"]) == (0, len(events))
    signed = verify_envelope(found.envelope, trusted=[SIGNER.public])
    assert signed.verdict.findings.for_people
    assert signed.verdict.findings.inputs.result_root == made.architecture.root
    assert seed_commitment(SEED) == seed_commitment(signed.verdict.findings.inputs.seed)


async def test_two_judges_of_one_change_come_to_one_digest(events):
    one, two = [await judged(diff(OTHER), events) for _ in range(2)]
    assert one.verdict.digest == two.verdict.digest
    assert one.verdict.findings.for_people
    assert one.verdict.measured["constitution"]["state"]["differs"] == []


async def test_without_a_sandbox_nothing_is_found_and_people_are_not_asked(events):
    found = await judged(diff(OTHER), events, Engine.NONE)
    assert found.verdict.decision is Decision.INCONCLUSIVE
    assert not found.verdict.findings.for_people
    assert found.verdict.measured["reason"] == "no sandbox engine works here"


async def test_what_does_not_apply_is_invalid(events):
    for data in (
        diff(OTHER).replace(b"+++ b/runtime", b"+++ b/runtlme"),
        diff(OTHER).replace(b"runtime/core/todos", b"runtime/core/tod0s"),
        diff(OTHER).replace(b"runtime/core/todos.py", b"tests/test_docs.py"),
        diff(OTHER).replace(b"runtime/core/todos.py", b"runtime/agent/loop.py"),
    ):
        found = await judged(data, events)
        assert found.verdict.decision is Decision.INVALID
        assert not found.verdict.findings.for_people


def _bad_reducer(body):
    return {TODOS: software()[TODOS].replace(b"def reduce_todos(", body + b"def reduce_todos(", 1)}


@pytest.mark.parametrize(
    ("changes", "gate", "words"),
    [
        ({"genesis/judge.py": b"def (\n"}, "parses", "genesis/judge.py is not Python"),
        (
            {"ledger/core/types.py": software()["ledger/core/types.py"].replace(
                b'name="message.sent"', b'name="message.told"')},
            "record", "the event type message.sent goes",
        ),
        (
            {"ledger/core/hashing.py": software()["ledger/core/hashing.py"].replace(
                b"event id v1", b"event id v2")},
            "record", "'timmy-node 2026-11 event id v1' goes",
        ),
        ({SCREEN: None}, "help", "fewer lines name help"),
        (_bad_reducer(b"raise SystemExit(0)\n"), "refold", "does not fold"),
        (_bad_reducer(b"import socket\nsocket.socket()\n"), "refold", "does not fold"),
        (
            {TODOS: software()[TODOS].replace(
                b"def reduce_todos(", b"import os\ndef reduce_other(", 1) +
                b'\ndef reduce_todos(entries, event):\n    return [("todo/x", os.urandom(8))]\n'},
            "refold", "same state twice",
        ),
    ],
)  # fmt: skip
async def test_what_a_machine_can_find_is_a_no(events, changes, gate, words):
    found = await judged(diff(changes), events)
    assert found.verdict.decision is Decision.REJECT, found.verdict.measured
    assert outcomes(found)[gate] is Outcome.FAIL
    assert words in found.verdict.measured["reason"]
    assert not found.verdict.findings.for_people


async def test_nobody_s_words_go_into_the_cage(events):
    """A changed reducer that tells what it is given, in its state, tells no words."""
    spy = _bad_reducer(
        b"def _spy(event):\n    return event.record.content is None and event.content is None\n\n\n"
    )
    text = spy[TODOS].decode()
    spy[TODOS] = (
        text + "\n\n_honest = reduce_todos\n\n\ndef reduce_todos(entries, event):\n"
        "    assert _spy(event)\n    return _honest(entries, event)\n"
    ).encode()
    assert any(event.content for event in events)
    found = await judged(diff(spy), events)
    assert found.verdict.findings.for_people, found.notes
    assert "answer" not in json.dumps(found.verdict.measured)
