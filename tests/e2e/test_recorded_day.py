"""A recorded day rebuilds to the same digests, here and elsewhere; a changed reducer is named.

The day is one of a real node (`recorded_day`). It is folded again from event 0 by the command, in
another home from an export, and by each reducer in turn with one thing changed in its source.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ledger import attested
from ledger.attested import Kept, ReplayDiffers, name_of
from ledger.core.state import State, part_of
from ledger.replay import replay
from ledger.snapshot import kept_entries
from node.home import Home as Places
from node.keeping.folding import OWNERS, REDUCERS
from node.open import open_log
from runtime.core import agenda
from tests.node.world import Home

from .recorded_day import ROOMS, SETTINGS, Day, Thinker

ROOT = Path(__file__).parents[2]
TURNS = 300
HAPPENED = {
    "approval.answered", "approval.asked", "checkpoint.published", "context.allowed",
    "context.compacted", "context.gone", "context.read", "gateway.delivered", "job.added",
    "job.awaited", "job.changed", "job.finished", "job.noticed", "job.paused", "job.removed", "job.resumed",
    "job.skipped", "job.started", "ledger.redacted", "memory.distilled", "memory.forgotten",
    "memory.noted", "memory.recalled", "message.received", "message.sent", "model.replied",
    "model.requested", "model.tested", "node.beat", "node.escalated", "node.relieved",
    "node.reported", "patch.commented", "patch.proposed", "patch.refused", "patch.withdrawn",
    "policy.decided", "policy.released", "proxy.replied", "proxy.requested",
    "skill.drafted", "skill.judged", "skin.added", "skin.chosen", "skin.removed",
    "state.attested", "todo.set", "tool.decided", "tool.requested", "tool.returned",
    "turn.finished", "turn.started",
}  # fmt: skip

CHANGES = {
    "ledger.core.state.reduce_basics": (
        "entries.get(by_type, 0) + 1)", "entries.get(by_type, 0) + 1 + (event.position == 700))"
    ),
    "ledger.core.state.reduce_redactions": ('f"redacted/{position}"', 'f"redacted/0{position}"'),
    "runtime.core.adoptions.reduce_adoptions": (
        "    yield _taken_key(message), None\n    _, tree", "    yield _taken_key(message), entry\n    _, tree"
    ),
    "runtime.core.agenda.reduce_agenda": ("    types.MESSAGE_SENT.name: _sent,\n", ""),
    "runtime.core.approving.reduce_approvals": (
        'return f"approval/{position}"', 'return f"approval/{position}/"'
    ),
    "runtime.core.cases.reduce_cases": (
        "[case[1], member, fence]", "[case[1] + 1, member, fence]"
    ),
    "runtime.core.contexts.reduce_contexts": ("[*others, sha256]", "[*others, sha256, sha256]"),
    "runtime.core.delivered.reduce_delivered": (
        "[(delivered_key(name), position)]", "[(delivered_key(name), position - 1)]"
    ),
    "runtime.core.jobs.reduce_jobs": ('"runs": 0,', '"runs": 1,'),
    "runtime.core.memories.reduce_memories": (
        '"noted_s": event.ts_ms // 1000', '"noted_s": event.ts_ms // 100'
    ),
    "runtime.core.proposals.reduce_proposals": (
        '"attempt": 1 if before', '"attempt": 2 if before'
    ),
    "runtime.core.proxied.reduce_proxied": ("exchanges + 1", "exchanges + 2"),
    "runtime.core.skills.reduce_skills": (
        '[*entries.get("deeds", ()), known]', '[*entries.get("deeds", ()), known, known]'
    ),
    "runtime.core.skins.reduce_skins": (
        "yield worn_key(conversation), name", "yield worn_key(conversation), name[1:]"
    ),
    "runtime.core.spending.reduce_spending": (
        '_count(event, "tokens_in") +', '2 * _count(event, "tokens_in") +'
    ),
    "runtime.core.spoken.reduce_tested": ('f"tested/{model}"', 'f"tested/{model}/"'),
    "runtime.core.talks.reduce_talks": ("    types.MEMORY_DISTILLED.name: _distilled,\n", ""),
    "runtime.core.tally.reduce_tally": ("entries.get(key, 0) + 1", "entries.get(key, 0) + 2"),
    "runtime.core.todos.reduce_todos": (
        "(todo_key(conversation), event.position)", "(todo_key(conversation), event.position + 1)"
    ),
}  # fmt: skip
"""Of each reducer: what is changed in its source. An entry is counted twice, a key gets another
name, a type of event is passed over, a value is another one."""

FLEET = {"parked", "routed", "unsettled", "duplicates"}
ADOPTED = {"adoption", "architectures", "settled"}
"""What only an adoption writes: the lives of some are in `tests/adoption`."""
ROUTED = "runtime.core.routed.reduce_routed"
"""What only a fleet writes, and by which reducer: its life is in `test_fleet_of_three`."""


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """Without measuring its coverage, which would double the time of three hundred turns."""
    root = tmp_path_factory.mktemp("day")
    home = Home(root / "machine")
    thinker = Thinker()
    with thinker.serving(), pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("COVERAGE")]:
            patch.delenv(name)
        home.configure(SETTINGS.format(url=thinker.url))
        home.run("init").good()
        (home.path / "work").mkdir(mode=0o700)
        lived = Day(home, thinker, root / "clock", root / "inbox")
        try:
            lived.live()
        finally:
            home.end()
    return lived


@pytest.fixture(scope="module")
def events(day):
    with open_log(Places(path=day.home.path, state=day.home.state)) as log:
        return list(log.events())


@pytest.fixture(scope="module")
def kept(day):
    return kept_entries(day.home.path / "snapshot.db")


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """Make the reducers with one of them changed in its source, and whose parts are whose."""

    def forget():
        attested._source.cache_clear()
        attested._code.cache_clear()

    def make(name):
        module, _, function = name.rpartition(".")
        old, new = CHANGES[name]
        source = Path(sys.modules[module].__file__).read_text()
        assert source.count(old) == 1, f"{old!r} is in {module} {source.count(old)} times"
        path = tmp_path / "changed.py"
        path.write_text(source.replace(old, new))
        spec = importlib.util.spec_from_file_location(module, path)
        again = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, module, again)
        spec.loader.exec_module(again)
        forget()
        return tuple(getattr(again, function) if name_of(r) == name else r for r in REDUCERS)

    yield make
    monkeypatch.undo()
    forget()


def test_it_was_a_day_with_everything_in_it(day, events):
    types = Counter(event.type for event in events)
    assert set(types) >= HAPPENED, HAPPENED - set(types)
    turns = [event for event in events if event.type == "turn.finished"]
    assert len(turns) >= TURNS
    rooms = {e.payload["conversation"] for e in events if e.type == "message.received"}
    assert rooms >= set(ROOMS)
    ends = Counter(e.payload["outcome"] for e in events if e.type == "tool.returned")
    assert set(ends) >= {"done", "error", "denied", "refused"}, ends
    assert types["state.attested"] >= 5
    span_ms = events[-1].ts_ms - events[0].ts_ms
    assert span_ms > 24 * 3_600_000


def test_every_reducer_wrote_every_part_that_is_its_own_and_no_other(events):
    found = written(events)
    owners = {part: {name_of(reducer) for reducer in of} for part, of in OWNERS.items()}
    assert found.keys() == owners.keys() - FLEET - ADOPTED
    assert all(found[part] <= owners[part] for part in found)
    assert {name for of in owners.values() for name in of} == {name_of(r) for r in REDUCERS}


def written(events):
    """Which parts of the state the events of a life write, and by which reducers."""
    found: dict[str, set[str]] = {}
    state = State(REDUCERS)
    for event in events:
        for reducer in REDUCERS:
            for key, _ in reducer(state.entries, event):
                found.setdefault(part_of(key), set()).add(name_of(reducer))
        state.apply(event)
    return found


def test_it_rebuilds_to_every_attested_digest_here_and_in_another_home(day, events, tmp_path):
    here = day.home.run("--json", "replay").good().json
    attestations = [event for event in events if event.type == "state.attested"]
    assert here["events"] == len(events)
    assert here["attested_agreed"] == len(attestations)
    assert here["attested_by_other_reducers"] == 0
    assert here["differences"] == []
    day.home.run("export", "-o", str(tmp_path / "life.bundle")).good()
    other = Home(tmp_path / "other")
    other.run("import", str(tmp_path / "life.bundle")).good()
    assert other.run("--json", "replay").good().json == here


def test_a_day_without_its_attested_parts_is_compared_as_a_whole(events):
    """As earlier versions wrote them."""
    done = replay(events, REDUCERS)
    assert done.unsettled == ()
    assert [len(e.payload["parts"]) for e in events if e.type == "state.attested"][-1] > 30


def test_each_reducer_has_a_change():
    assert CHANGES.keys() | {ROUTED} == {name_of(reducer) for reducer in REDUCERS}


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_reducer_is_caught_and_named(events, kept, changed, name):
    done = replay(events, changed(name), owners=OWNERS, kept=kept)
    one = done.unsettled[0]
    assert one.reducers == (name,)
    assert one.changed
    assert all(name in {name_of(r) for r in OWNERS[part]} for part in one.parts)
    assert 0 <= one.since < one.position < len(events)
    said = str(one.error())
    assert f"in events {one.since} to {one.position - 1}" in said
    assert name in said
    named = [key for difference in done.unsettled for key in difference.keys]
    assert named or name.endswith("reduce_approvals"), "of whose questions none is open at the end"


def test_the_same_code_with_another_outcome_is_refused_and_named(events, kept, monkeypatch):
    monkeypatch.setattr(agenda, "HISTORY_EVENTS_MAX", 7)
    with pytest.raises(ReplayDiffers, match=r"of runtime\.core\.agenda\.reduce_agenda") as raised:
        replay(events, REDUCERS, owners=OWNERS, kept=kept)
    assert not raised.value.difference.changed
    assert "timmy verify" in raised.value.hint


def test_the_entries_that_differ_are_named_at_the_size_of_the_snapshot(events, kept, changed):
    assert isinstance(kept, Kept)
    done = replay(events, changed("runtime.core.tally.reduce_tally"), owners=OWNERS, kept=kept)
    keys = {key for one in done.unsettled for key in one.keys}
    assert "tally/turn/answered" in keys
    assert {part_of(key) for key in keys} <= {"tally", "tallies"}


def test_the_command_of_a_changed_program_says_all_of_it(day, tmp_path):
    """A copy of the program with a change in it, run as a user would."""
    for name in ("attest", "genesis", "ledger", "mesh", "node"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "runtime", tmp_path / "runtime")
    module = tmp_path / "runtime" / "core" / "todos.py"
    old, new = CHANGES["runtime.core.todos.reduce_todos"]
    module.write_text(module.read_text().replace(old, new))
    done = subprocess.run(
        [sys.executable, "-m", "node", "--json", "replay"],
        cwd=tmp_path,
        env=day.home.env | {"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done
    told = json.loads(done.stdout)
    assert told["folded_by"] == ["runtime.core.todos.reduce_todos"]
    assert told["parts"] == ["todo"]
    assert told["other_code"] is True
    assert set(told["keys"]) <= {f"todo/{room}" for room in ROOMS}
    assert "the first difference is in events" in done.stderr
    assert "timmy: hint: other code attested" in done.stderr
