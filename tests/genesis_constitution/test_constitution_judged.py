"""The judge of changes of this software: what it finds, and that it never says yes by itself."""

import json
import shutil
import tracemalloc

import pytest

from genesis.core.agreement import compare
from genesis.core.constitution import Software, change_digest, constituted
from genesis.core.patch import parse
from genesis.core.verdict import PEOPLE, Decision, Outcome, seed_commitment, verify_envelope
from genesis.judge import Budget, Head, Task
from genesis.judging.constitution import FOR_PEOPLE, UNMEASURED, judge_constitution
from genesis.judging.packing import FULL_BYTES, framed
from genesis.judging.refolding import BUSY, Bounds, Cages, Fold, Told, Unsound
from genesis.judging.returning import WayBack
from genesis.judging.subject import Patience
from genesis.judging.tails import AGAIN, drawn_tail
from ledger.core.codec import encode
from ledger.core.keys import Signer
from runtime.sandbox import Engine, SandboxLimits
from tests.genesis_judge.ledgers import Ledger
from tests.sandbox.engines import needs_landlock

from .world import (
    BACK,
    INVERSE,
    SCREEN,
    TODOS,
    TOOL,
    architecture,
    diff,
    migration,
    software,
    swapped,
)

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


async def judged(data, events, engine=Engine.BUBBLEWRAP, declared=""):
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
        task=Task(migration=declared),
    )


def outcomes(judgment):
    return {gate.name: gate.candidate for gate in judgment.verdict.findings.gates}


@pytest.mark.parametrize(
    "engine", [Engine.BUBBLEWRAP, pytest.param(Engine.LANDLOCK, marks=needs_landlock)]
)
async def test_a_migration_is_for_people_and_says_what_it_folds_otherwise(events, engine):
    data = diff(migration())
    found = await judged(data, events, engine, declared=BACK)
    verdict = found.verdict
    state = verdict.measured["constitution"]["state"]
    assert verdict.measured["reason"] == (
        f"{FOR_PEOPLE}; the migration {BACK} is invertible over {len(events)} events and "
        f"{state['drawn']} drawn ones"
    ), found.notes
    assert state["drawn"] > 100
    assert verdict.decision is Decision.INCONCLUSIVE
    assert verdict.findings.for_people
    assert outcomes(found) == {
        **dict.fromkeys(("parses", "record", "help", "refold", "migration"), Outcome.PASS),
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
        TODOS: ("reducer", "changes"), "runtime/core/reducers.py": ("host", "changes"),
        TOOL: ("tool", "changes"), BACK: ("host", "comes"),
    }  # fmt: skip
    assert state["differs"] == ["seen", "todo"]
    assert state["migration"] == {"path": BACK, "invertible": True}
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
    assert one.verdict.measured["effect"] == {"measure": "", "said": UNMEASURED}
    state = one.verdict.measured["constitution"]["state"]
    assert (state["differs"], state["migration"]) == ([], None)


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


@pytest.mark.parametrize(
    ("changes", "late"),
    [(_bad_reducer(b"raise SystemExit(0)\n"), "silent"), (migration(), "chokes")],
)
async def test_a_rejection_has_one_digest_at_any_pace(events, monkeypatch, changes, late):
    """Known-bad software of another gate than the one that was failed is late, or is not."""
    fold = Cages.once
    quiet = await judged(diff(changes), events)

    async def slow(cages, name, software, told):
        return BUSY if name == late else await fold(cages, name, software, told)

    monkeypatch.setattr(Cages, "once", slow)
    busy = await judged(diff(changes), events)
    one, other = quiet.verdict, busy.verdict
    assert one.decision is other.decision is Decision.REJECT, (one.measured, other.measured)
    compared = compare(one, other)
    assert (compared.agree, compared.differences) == (True, ())
    failed = {gate.name for gate in one.findings.gates if gate.candidate is Outcome.FAIL}
    assert {tooth.gate for tooth in one.findings.teeth} == failed


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


# ---- migrations ------------------------------------------------------------------------------------

SILENTLY = "it changes a reducer silently: {} differs, and no migration is declared"
FORGETS = "return {k: v for k, v in entries.items() if k[:5] not in ('seen/', 'todo/')}"


def inverse(*lines):
    """A module that a migration may declare."""
    return "".join(["def inverse(entries):\n", *(f"    {line}\n" for line in lines)]).encode()


def drawn(events):
    """What a judge has subjects fold: the events, and others behind them."""
    told = [*events, *drawn_tail(bytes(32), events)]
    return Told(events=told, sizes=(len(events), len(told)))


@pytest.fixture
def cages(tmp_path):
    return Cages(
        folder=tmp_path, budget=UNHURRIED, engine=Engine.BUBBLEWRAP, note=lambda name, words: None
    )


def with_files(changes):
    return Software({**software(), **changes})


async def test_a_state_that_cannot_be_taken_back_is_a_no(events, cages):
    told = drawn(events)
    own = told.folded()
    moved = await cages.once("moved", with_files(migration()), told)
    assert moved.outcome is Outcome.PASS, moved.why
    for number, (module, why) in enumerate([
        (None, SILENTLY.format("seen, todo")),
        (b"", "declares: it ends with an error"),
        (inverse("return entries"), "loses seen, todo: the old state is another one"),
        (inverse(FORGETS), "loses todo"),
        (inverse("raise ValueError"), "declares: it ends with an error"),
        (inverse("return 7"), "declares: it ends with an error"),
        (inverse("return {'x': None}"), "declares: it is no state"),
        (inverse("import os", "os._exit(0)"), "declares: it is not the encoding"),
        (inverse("import ledger", "return entries"), "declares: it ends with an error"),
        (inverse("return {'x': bytes(5 << 20)}"), "declares: it hands over more than"),
        (inverse("return {str(n): bytes(3 << 20) for n in range(9)}"), "it hands over more than"),
        (inverse("return {str(n): n for n in range(70_000)}"), "it is no state of at most 65536"),
        (INVERSE.encode(), ""),
    ]):  # fmt: skip
        way = WayBack(cages=cages, module=module, told=told, own=own)
        tried = await way.once(f"way-{number}", moved.folds)
        assert tried.outcome is (Outcome.FAIL if why else Outcome.PASS), (why, tried.why)
        assert why in tried.why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {TODOS: swapped(TODOS, "event.type != types.TODO_SET.name", "event.position % 7 == 3")},
            SILENTLY.format("todo"),
        ),
        (migration(), SILENTLY.format("seen, todo")),
    ],
)
async def test_a_reducer_that_changes_silently_is_a_no(events, changes, why):
    found = await judged(diff(changes), events)
    assert found.verdict.decision is Decision.REJECT, found.verdict.measured
    assert found.verdict.measured["reason"] == why, found.notes
    assert outcomes(found)["refold"] is Outcome.PASS
    assert outcomes(found)["migration"] is Outcome.FAIL
    assert not found.verdict.findings.for_people


def says(*lines):
    """A change whose reducers, once imported, say what they like and end well."""
    text = "\n".join(["import os", *lines, "os._exit(0)"])
    return {TODOS: software()[TODOS] + f"\n{text}\n".encode()}


def present(events, size):
    """The state that the present software has, as the answer that a subject gives for it."""
    return Told(events=events, sizes=(size,)).folded()[0]


def answer(*frames):
    """What a subject says, frame by frame."""
    return b"".join(map(framed, frames)).hex()


async def test_who_knows_the_present_state_and_does_not_fold_is_found(events, cages):
    """Old answers, whole and true of the ledger as it is, from a process that ends with status 0.

    What the judge draws behind the ledger he cannot know; so he can but repeat himself.
    """
    fold = present(events, len(events))
    end = encode([fold.size, fold.digest])
    told = drawn(events)
    for number, (said, words) in enumerate([
        (encode([fold.size, fold.digest, dict(fold.parts)]).hex(), "it hands over no states"),
        (answer(*fold.maps, end), "it hands over 1 states, 2 were asked for"),
        (answer(*fold.maps, end, *fold.maps, end), f"its state is of {fold.size} events"),
        (answer(*fold.maps, end, *fold.maps), "it hands over a state without an end"),
        (answer(encode(7), end), "it hands over no states"),
        (answer(b"\xa1", end, end), "it is not the encoding of a state"),
        (answer(b"\xbf\xff", end, end), "it is not the encoding of a state"),
        (answer(encode({"a/1": None}), end, end), "it is no state"),
        (answer(b"\xa0", end, end), "it is no state"),
        (answer(*fold.maps, *fold.maps, end, end), "in smaller parts than it should"),
        (answer(*[encode({f"a/{n}": n}) for n in range(9)], end, end), "in smaller parts"),
        (answer(*fold.maps, encode([fold.size, bytes(32)])) * 2,
         "the digest that it names is not that of the state"),
    ]):  # fmt: skip
        lie = says(f'os.write(0, bytes.fromhex("{said}"))')
        tried = await cages.once(f"lie-{number}", with_files(lie), told)
        assert tried.outcome is Outcome.FAIL
        assert words in tried.why, (number, tried.why)
    # it reads how many events there are, and names a digest that is right: of the state before
    lie = says(
        "import cbor2, sys", "from ledger.core.state import State",
        "sys.path.append('/tree')", "import packing",
        f"maps = [bytes.fromhex(one) for one in {[one.hex() for one in fold.maps]}]",
        "state = {key: value for one in maps for key, value in cbor2.loads(one).items()}",
        "told = packing.frames_of(lambda size: os.read(0, size))",
        "for size in cbor2.loads(next(told))[1]:",
        "    named = State.restore((), state, size).digest()",
        "    for one in (*maps, cbor2.dumps([size, named])): os.write(0, packing.framed(one))",
    )  # fmt: skip
    found = await judged(diff(lie), events)
    assert found.verdict.decision is Decision.REJECT, (found.verdict.measured, found.notes)
    assert outcomes(found)["refold"] is Outcome.PASS
    assert "it changes a reducer silently" in found.verdict.measured["reason"]


def test_a_state_of_many_parts_is_in_order():
    """Each full but the last, so that they are few: what reads them counts all of it in each."""
    full = {key: encode({f"{key}/1": bytes(FULL_BYTES)}) for key in "ab"}
    assert Fold.of(7, [full["a"], full["b"], encode({"c/1": 1})], Bounds()).entries == 3
    for maps in ([full["b"], full["a"]], [full["a"]] * 2, [full["b"], encode({"a/1": 1})]):
        with pytest.raises(Unsound, match="its entries are in no order"):
            Fold.of(7, maps, Bounds())


def test_a_state_of_too_many_parts_is_none_before_they_are_summed_up():
    """The sum of each is 2 KiB: in a state of a long ledger they would be gigabytes."""
    told = encode({f"{number:05}": 1 for number in range(30_000)})
    tracemalloc.start()
    try:
        with pytest.raises(Unsound, match="or too many"):
            Fold.of(7, [told], Bounds())
        assert tracemalloc.get_traced_memory()[1] < 30_000 * 1_024
    finally:
        tracemalloc.stop()


async def test_what_is_declared_is_of_the_same_change(events):
    for path in ("runtime/core/migrated.py", "runtime/core/tally.py", "runtime/agent/loop.py"):
        found = await judged(diff(migration()), events, declared=path)
        assert found.verdict.decision is Decision.INVALID
        assert "no Python module that it brings or changes" in found.verdict.measured["reason"]


async def test_a_way_back_that_nobody_needs_must_lead_there_all_the_same(events):
    bad = {BACK: inverse("return {}")}
    found = await judged(diff({**OTHER, **bad}), events, declared=BACK)
    assert found.verdict.decision is Decision.REJECT


def test_what_is_drawn_behind_a_ledger_is_nobodys_to_know(events):
    """Another seed, other events; the same, the same; and no reducer minds any of it."""
    one, same, other = (drawn_tail(bytes([n]) * 32, events) for n in (1, 1, 2))
    assert [event.record for event in one] == [event.record for event in same]
    assert [event.position for event in one] == [len(events) + n for n in range(len(one))]
    kinds = [{event.type for event in tail} for tail in (one, other)]
    assert {kind for kind in kinds[0] & kinds[1] if kind.startswith("drawn.")} == set()
    assert {event.type for event in events} < {event.type for event in one}
    assert not any(event.has_content for event in one)
    assert len(drawn_tail(bytes(32), ())) == len(one) - AGAIN
    folds = Told(events=[*events, *one], sizes=(len(events), len(events) + len(one))).folded()
    assert set(folds[0].parts) < set(folds[1].parts)
