"""The judge on the real agent: an honest patch is accepted, wrong and hostile ones are not."""

import asyncio
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from genesis.core.architecture import patched
from genesis.core.draws import case_key
from genesis.core.errors import InvalidVerdict
from genesis.core.judging.reading import READS
from genesis.core.patch import parse
from genesis.core.tree import Tree
from genesis.core.verdict import Decision, Outcome, seed_commitment, verify_envelope
from genesis.judge import Budget, Head, judge
from genesis.judging import bench as judging
from genesis.judging import mutants
from genesis.judging.past import Snapshot
from genesis.judging.player import play
from genesis.judging.program import GATES, Setting, cases
from genesis.judging.scenes import Case, Past
from genesis.judging.subject import Cage, Patience
from genesis.trees import write_tree
from ledger.core import types
from ledger.core.event import Draft, Event, seal
from ledger.core.keys import Signer
from runtime.sandbox import Engine, SandboxLimits
from tests.sandbox.engines import needs_landlock

from .diffs import agent_tree, architecture, change, diff, rewrite

SIGNER = Signer(bytes([7]) * 32)
SEED = bytes(range(32))
ROOT = bytes([9]) * 32
UNHURRIED = Patience(start_s=60, turn_s=60, stop_s=60, case_s=300)
QUICK = Budget(
    patience=UNHURRIED,
    limits=SandboxLimits(cpu_seconds=10, wall_s=400),
    total_s=1_800,
    parallel=4,
    timed_rounds=0,
)
"""For subjects that never hang: no machine is so busy that they are late."""
PARENT = agent_tree()
HONEST = change(PARENT, "prompt.py", "plainly and briefly", "plainly and kindly")


@pytest.fixture(scope="module", autouse=True)
def _engine():
    assert shutil.which("bwrap"), "install bubblewrap: apt install bubblewrap"


def history(count: int) -> list[Event]:
    """A ledger's beginning: exchanges, a note, an erased message, a type nobody knows."""
    drafts = []
    for number in range(count):
        stream = bytes([number % 3]) * 16
        who = {"conversation": stream.hex(), "author": "npub", "gateway": "cli", "screen": "pass"}
        drafts += [
            Draft(
                type=types.MESSAGE_RECEIVED.name,
                stream=stream,
                payload=who,
                content={"text": f"question {number}"},
            ),
            Draft(
                type=types.MESSAGE_SENT.name,
                stream=stream,
                payload={**who, "message": 2 * number},
                content={"text": f"answer {number}"},
            ),
        ]
    drafts.append(
        Draft(
            type=types.MEMORY_NOTED.name,
            stream=bytes(16),
            payload={"kind": "fact"},
            content={"text": "likes tea"},
        )
    )
    drafts.append(Draft(type="weather.changed", stream=bytes(16), payload={"x": 1}))
    events = []
    for position, draft in enumerate(drafts):
        sealed = seal(
            draft,
            position=position,
            stream_sequence=0,
            ts_ms=1_790_000_000_000 + position,
            salts=bytes(64),
        )
        events.append(Event.open(sealed.record))
    return events


def all_cases(key: bytes, *, ts_ms: int = 0) -> tuple[Case, ...]:
    """The cases of a judgment on an empty ledger."""
    return cases(key, Setting(position=0, ts_ms=ts_ms, snapshot=Snapshot.of([])))


async def judged(
    patch: bytes, *, parent=PARENT, seed=SEED, engine=Engine.BUBBLEWRAP, budget=QUICK, snapshot=()
):
    judgment = await judge(
        patch, architecture(parent), snapshot=snapshot, head=Head(size=len(snapshot), root=ROOT), signer=SIGNER,
        seed=seed, engine=engine, clock=lambda: 1_790_000_000_000, budget=budget,
    )  # fmt: skip
    assert verify_envelope(judgment.envelope, trusted=[SIGNER.public]).verdict == judgment.verdict
    return judgment


def failed(judgment) -> set[str]:
    """All the gates that the candidate failed: the findings of a rejection name the first."""
    gates = judgment.verdict.measured["subjects"]["candidate"]["gates"]
    return {name for name, gate in gates.items() if gate["outcome"] == "fail"}


def whys(judgment) -> set[str]:
    gates = judgment.verdict.measured["subjects"]["candidate"]["gates"]
    return {gate["why"] for gate in gates.values()} - {""}


SNAPSHOT = history(20)


@pytest.fixture(scope="module")
def honest():
    budget = Budget(patience=UNHURRIED, total_s=1_800, timed_rounds=1)
    return asyncio.run(judged(HONEST, snapshot=SNAPSHOT, budget=budget))


def test_an_honest_patch_is_accepted(honest):
    verdict = honest.verdict
    assert verdict.decision is Decision.ACCEPT, (verdict.measured["reason"], honest.notes)
    assert {tooth.outcome for tooth in verdict.findings.teeth} == {Outcome.FAIL}
    assert len(verdict.findings.teeth) == len(mutants.MUTANTS)
    gates = {gate.name for gate in verdict.findings.gates}
    assert {tooth.gate for tooth in verdict.findings.teeth} == gates == set(GATES)
    assert all(gate.transcript for gate in verdict.findings.gates if gate.name not in READS)
    inputs = verdict.findings.inputs
    assert (inputs.parent_tree, inputs.head_size, inputs.head_root) == (
        PARENT.digest,
        len(SNAPSHOT),
        ROOT,
    )
    made = patched(architecture(PARENT), parse(HONEST))
    assert inputs.parent_root == architecture(PARENT).root
    assert (inputs.result_root, inputs.result_tree) == (made.root, made.tree.digest)
    assert made.tree.digest != PARENT.digest
    assert verdict.measured["engine"] == "bubblewrap"
    assert [len(times) for times in verdict.measured["turn_us"].values()] == [2, 2]
    assert honest.notes == ()


async def test_the_digest_is_the_seed_s_and_nobody_else_s(honest):
    """Another budget, another order of work, another machine's times: the same digest."""
    limits = SandboxLimits(cpu_seconds=9, wall_s=399)
    budget = replace(QUICK, limits=limits, parallel=3)
    again = await judged(HONEST, snapshot=SNAPSHOT, budget=budget)
    assert again.verdict.digest == honest.verdict.digest
    assert again.envelope != honest.envelope
    found = again.verdict.findings.to_value()
    assert found["seed"] == {"commitment": seed_commitment(SEED).hex(), "revealed": SEED.hex()}


def test_another_seed_makes_other_cases():
    def said(seed):
        drawn = [
            case
            for case in all_cases(case_key(seed, parse(HONEST).sha256))
            if case.gate != "crisis"  # whose words are public, but for some
        ]
        texts = [event.content["text"] for case in drawn for event in case.events if event.content]
        return texts + [m.last for case in drawn for group in case.rounds for m in group]

    def words(texts):
        return {word.strip("?") for text in texts for word in text.split()}

    plain = [text for seed in (SEED, bytes(32)) for text in said(seed) if text[:1].isupper()]
    ours, theirs = (words(said(seed)) - words(plain) for seed in (SEED, bytes(32)))
    assert len(ours) > 3500
    assert len(ours & theirs) < 5  # by chance: 1 in 24 million for each pair
    assert len(plain) > 60
    assert len(plain) - len(set(plain)) < 5  # few are as like as two of 180,000


MIXED = (
    *('self._where[position] = payload["conversation"]', 'self._where[position] = "all"'),
    *('self._talks[payload["conversation"]].append(said)', 'self._talks["all"].append(said)'),
)
WRONG = {
    "answers what it likes": (change(PARENT, "loop.py", '"answer", {"text": (yield from _ask(items)) or NO_WORDS}', '"answer", {"text": "As you wish."}'), "the answer is not what the model said", "answer"),
    "copies words into prompts": (change(PARENT, "loop.py", "        message=position,\n    )\n", '        message=position,\n    )\n    items.insert(0, prompt.text("system", words))\n'), "words of people were copied into a prompt", "references"),
    "drops the person's message": (change(PARENT, "prompt.py", '    items.append(ref("user", message))\n', '    items.append(ref("system", message))\n'), "no prompt ends with a reference to the message", "answer"),
    "answers twice": (change(PARENT, "loop.py", '    yield "answer", {"text": (yield from _ask(items)) or NO_WORDS}\n', '    said = (yield from _ask(items)) or NO_WORDS\n    yield "answer", {"text": said}\n    yield "answer", {"text": said}\n'), "it spoke out of turn", "answer"),
    "never recalls": (change(PARENT, "loop.py", "    recalled = yield from _recall(words[:QUERY_CHARS])\n", "    recalled: list[int] = []\n"), "it did not look for what was said before", "recall"),
    "forgets the conversation": (change(PARENT, "loop.py", "    said = memory.before(position, RECENT)\n", "    said = []\n"), "the conversation so far is not in the prompt", "history"),
    "mixes conversations": (change(PARENT, "memory.py", *MIXED), "another conversation is in the prompt", "isolation"),
    "asks for ever": (change(PARENT, "loop.py", "        except Refused as refused:\n            return", "        except Refused as refused:\n            return (yield from _ask(items))\n            return"), "its turn has too many steps", "refusal"),
    "is not the same twice": (change(PARENT, "loop.py", "    words = memory.text(position)\n", "    import os\n    words = memory.text(position)\n    try:\n        yield 'recall', {'query': os.urandom(8).hex(), 'limit': 1}\n    except Refused:\n        pass\n"), "it did not do the same again", "determinism"),
    "ends at import": (change(PARENT, "main.py", "import sys\n", "import os\nimport sys\nos._exit(0)\n"), "it ended", "handshake"),
    "does not compile": (rewrite(PARENT, "loop.py", "def answer(:\n"), "it ended", "handshake"),
    "opens a socket": (change(PARENT, "process.py", "PROTOCOL = 1\n", "PROTOCOL = 1\nsocket.create_connection(('127.0.0.1', 9))\n"), "it ended", "handshake"),
    "writes its own tree": (change(PARENT, "process.py", "PROTOCOL = 1\n", "PROTOCOL = 1\nopen(__file__, 'a')\n"), "it ended", "handshake"),
    "starts a process": (change(PARENT, "process.py", "PROTOCOL = 1\n", "import os\nPROTOCOL = 1\nos.fork()\n"), "it ended", "handshake"),
    "sends what is no frame": (change(PARENT, "process.py", "PROTOCOL = 1\n", "import os\nPROTOCOL = 1\nos.write(0, b'PASSED ' * 100)\n"), "it sent what is no frame", "handshake"),
    "takes all memory": (change(PARENT, "process.py", "PROTOCOL = 1\n", "PROTOCOL = 1\nHOG = [bytearray(8 << 20) for _ in range(1000)]\n"), "it ended", "handshake"),
    "leaves nonzero": (change(PARENT, "process.py", "    return 0\n", "    return 4\n"), "it did not end with status 0", "handshake"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_patch_is_rejected(name):
    patch, why, gate = WRONG[name]
    judgment = await judged(patch)
    assert judgment.verdict.decision is Decision.REJECT, judgment.notes
    assert gate in failed(judgment)
    assert why in whys(judgment)


SLOW = {
    "hangs in a turn": (change(PARENT, "loop.py", "    words = memory.text(position)\n", "    while True:\n        pass\n    words = memory.text(position)\n"), "a turn took too long"),
    "sleeps past its time": (change(PARENT, "loop.py", "    words = memory.text(position)\n", "    import time\n    time.sleep(600)\n    words = memory.text(position)\n"), "a turn took too long"),
    "floods its output": (change(PARENT, "process.py", "PROTOCOL = 1\n", "import sys\nPROTOCOL = 1\nwhile True:\n    sys.stdout.write('PASSED\\n' * 9999)\n"), "it did not start in time"),
    "floods the channel": (change(PARENT, "process.py", '            case "event":\n', '            case "event":\n                while True:\n                    self._channel.write({"t": "pong", "n": 1})\n'), "it spoke after stop"),
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
async def test_a_patch_that_takes_too_much_is_rejected(name):
    """Late while the parent is not. A machine too busy for that is asked again, with more time."""
    patch, why = SLOW[name]
    decision, seconds = Decision.INCONCLUSIVE, 1
    while decision is Decision.INCONCLUSIVE:
        patience = Patience(turn_s=seconds, start_s=seconds, stop_s=seconds)
        judgment = await judged(patch, budget=replace(QUICK, patience=patience))
        decision, seconds = judgment.verdict.decision, 2 * seconds
        assert decision is Decision.REJECT or "too busy" in judgment.verdict.measured["reason"]
    assert why in whys(judgment)


async def test_answers_to_a_revealed_seed_are_worth_nothing():
    """Hard-coded: what the model said when this seed was used for the honest patch."""
    key = case_key(SEED, parse(HONEST).sha256)
    known = {
        message.event.content["text"]: message.last
        for case in all_cases(key, ts_ms=1_790_000_000_000)
        for group in case.rounds
        for message in group
    }
    patch = change(
        PARENT,
        "loop.py",
        '    yield "answer", {"text": (yield from _ask(items)) or NO_WORDS}\n',
        f'    yield from _ask(items)\n    yield "answer", {{"text": {known!r}.get(words, NO_WORDS)}}\n',
    )
    judgment = await judged(patch)
    assert judgment.verdict.decision is Decision.REJECT
    assert "answer" in failed(judgment)


OUTSIDE = {
    "the judge": diff("genesis/judge.py", b"a\n", b"b\n"),
    "the tests": diff("tests/genesis_judge/test_judge.py", b"a\n", b"b\n"),
    "a new file": diff("sitecustomize.py", b"", b"import os\n"),
    "inside and outside": HONEST + diff("runtime/core/crisis.py", b"a\n", b"b\n"),
}


@pytest.mark.parametrize("name", OUTSIDE)
async def test_a_patch_outside_the_tree_is_invalid(name):
    judgment = await judged(OUTSIDE[name])
    assert judgment.verdict.decision is Decision.INVALID
    assert "is pinned" in judgment.verdict.measured["reason"]


@pytest.mark.parametrize(
    "patch", [b"", b"hello\n", HONEST[:-40], HONEST.replace(b"RULES", b"RULER", 1)]
)
async def test_a_patch_that_does_not_apply_is_invalid(patch):
    judgment = await judged(patch)
    assert judgment.verdict.decision is Decision.INVALID
    assert judgment.verdict.findings.inputs.result_tree is None


@needs_landlock
async def test_the_findings_are_the_same_on_either_engine(honest):
    """What two nodes sign about one patch is compared: the engine stands outside of it."""
    other = await judged(HONEST, snapshot=SNAPSHOT, engine=Engine.LANDLOCK)
    assert other.verdict.decision is Decision.ACCEPT, (other.verdict.measured, other.notes)
    assert other.verdict.measured["engine"] == "landlock"
    assert other.verdict.findings == honest.verdict.findings


async def test_without_an_engine_nothing_is_accepted():
    judgment = await judged(HONEST, engine=Engine.NONE)
    assert judgment.verdict.decision is Decision.INCONCLUSIVE
    assert "no sandbox engine" in judgment.verdict.measured["reason"]


async def test_an_engine_that_goes_missing_is_inconclusive(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    judgment = await judged(HONEST)
    assert judgment.verdict.decision is Decision.INCONCLUSIVE
    assert "could not be started" in judgment.verdict.measured["reason"]


@pytest.mark.parametrize("total_s", [0.001, 0.05, 0.1, 0.2])
async def test_a_judgment_out_of_time_is_inconclusive(total_s):
    """Wherever it was cut off: drawing cases, writing trees, starting subjects, playing."""
    judgment = await judged(HONEST, budget=Budget(total_s=total_s))
    assert judgment.verdict.decision is Decision.INCONCLUSIVE
    assert "too long" in judgment.verdict.measured["reason"]


async def test_a_machine_too_busy_for_the_parent_says_nothing_about_the_patch():
    """A parent that hangs stands for a machine on which nobody is in time."""
    slow = Tree(
        {**PARENT, "process.py": PARENT["process.py"] + b"\nimport time\ntime.sleep(600)\n"}
    )
    hangs = change(slow, "prompt.py", "plainly and briefly", "plainly and kindly")
    patience = Patience(turn_s=0.5, start_s=0.5, stop_s=0.5)
    judgment = await judged(hangs, parent=slow, budget=replace(QUICK, patience=patience))
    assert judgment.verdict.decision is Decision.INCONCLUSIVE
    assert "too busy to tell: handshake" in judgment.verdict.measured["reason"]


NOW_AND_THEN = "PROTOCOL = 1\nimport os\nif os.urandom(1)[0] % 8:\n    raise SystemExit(5)\n"


async def test_what_fails_now_and_then_is_never_accepted():
    """A second try tells the machine's faults from the patch's; it is no second chance."""
    patch = change(PARENT, "process.py", "PROTOCOL = 1\n", NOW_AND_THEN)
    assert (await judged(patch)).verdict.decision is not Decision.ACCEPT


async def test_a_mutant_that_is_late_was_not_found(monkeypatch):
    whole = mutants.specimen
    late = Tree({"main.py": b"import time\ntime.sleep(600)\n"})
    monkeypatch.setattr(judging, "specimen", lambda d: late if d == "loner" else whole(d))
    patience = Patience(start_s=20, turn_s=20, stop_s=20, case_s=20)
    patch = WRONG["forgets the conversation"][0]
    quick = replace(QUICK, patience=patience)
    monkeypatch.setattr(judging, "MUTANTS", [m for m in mutants.MUTANTS if m.defect == "loner"])
    judgment = await judged(patch, budget=replace(quick, patience=replace(patience, start_s=3)))
    assert judgment.verdict.decision is Decision.INCONCLUSIVE
    assert "too busy to tell: history" in judgment.verdict.measured["reason"]


async def test_calls_as_deep_as_a_frame_allows_end_in_a_verdict():
    deep = '{"a": ' + "[" * 30 + "]" * 30 + "}"  # as deep as the codec takes in a frame
    patch = change(
        PARENT,
        "loop.py",
        "    recalled = yield from _recall(words[:QUERY_CHARS])\n",
        f"    try:\n        yield 'recall', {deep}\n    except Refused:\n        pass\n"
        "    recalled = yield from _recall(words[:QUERY_CHARS])\n",
    )
    assert (await judged(patch)).verdict.decision in Decision


async def test_a_parent_that_fails_makes_it_inconclusive():
    broken = Tree(
        {**PARENT, "loop.py": PARENT["loop.py"].replace(b"or NO_WORDS}", b"and NO_WORDS}")}
    )
    patch = change(broken, "prompt.py", "plainly and briefly", "plainly and kindly")
    judgment = await judged(patch, parent=broken)
    assert judgment.verdict.decision is Decision.INCONCLUSIVE
    assert "the parent itself" in judgment.verdict.measured["reason"]


async def test_a_blunt_gate_makes_it_inconclusive(monkeypatch):
    """A judge whose mutant has lost its defect cannot know that its gate works: not even to reject."""
    whole = mutants.specimen
    monkeypatch.setattr(judging, "specimen", lambda d: whole("none" if d == "loner" else d))
    judgment = await judged(WRONG["forgets the conversation"][0])
    assert judgment.verdict.decision is Decision.INCONCLUSIVE
    assert judgment.verdict.measured["reason"] == "known-bad mutants were not found: loner"


async def test_the_specimen_without_a_defect_passes_every_gate(tmp_path):
    """So what fails a mutant is its defect, and what fails a candidate is not our taste."""
    write_tree(mutants.specimen(), tmp_path, durable=False)
    cage = Cage(engine=Engine.BUBBLEWRAP, limits=QUICK.limits, patience=QUICK.patience)
    for case in all_cases(bytes(32)):
        recording = await play(case, tmp_path, Past(), cage)
        assert case.check(recording.played) is None, case.gate


def test_every_mutant_is_the_specimen_with_one_line_changed():
    whole = mutants.specimen()["main.py"].splitlines()
    assert len(mutants.MUTANTS) == len({mutant.name for mutant in mutants.MUTANTS}) >= 20
    for mutant in [one for one in mutants.MUTANTS if one.defect != "none"]:
        lines = mutants.specimen(mutant.defect)["main.py"].splitlines()
        changed = [new for old, new in zip(whole, lines, strict=True) if old != new]
        assert changed == [f'DEFECT: str = "{mutant.defect}"'.encode()]
        assert mutants.specimen()["main.py"].count(f'"{mutant.defect}"'.encode()) >= 1
    assert {mutant.gate for mutant in mutants.MUTANTS} == set(GATES)


async def test_what_a_subject_writes_stays_out_of_the_verdict():
    patch = change(
        PARENT, "process.py", "PROTOCOL = 1\n", "PROTOCOL = 1\nraise SystemExit('a private word')\n"
    )
    judgment = await judged(patch)
    assert any("a private word" in note for note in judgment.notes)
    assert "a private word" not in json.dumps(judgment.verdict.measured)


async def test_a_malformed_seed_is_our_error():
    with pytest.raises(InvalidVerdict, match="seed"):
        await judged(HONEST, seed=b"short")


async def test_a_cancelled_judgment_leaves_no_process():
    patch, _ = SLOW["hangs in a turn"]
    others = children()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(judged(patch))
        while not children() - others:
            await asyncio.sleep(0.02)
        task.cancel()
    assert children() <= others


def children() -> set[str]:
    """Processes of ours that still run."""
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    pids = [pid for task in tasks for pid in (task / "children").read_text().split()]
    return {pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes()}
