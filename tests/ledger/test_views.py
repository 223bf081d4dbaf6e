import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.codec import encode
from ledger.core.errors import NotFound
from ledger.core.state import BASIC_REDUCERS, State, _add, _lanes, _subtract
from ledger.replay import ReplayDiffers, attestation, reducers_hash, replay, replay_from
from ledger.sqlite import SqliteStore
from ledger.views import Views
from tests.ledger.makers import fact, genesis, message, open_log


@pytest.fixture
def log(tmp_path):
    with open_log(SqliteStore.create(tmp_path / "ledger.db")) as log:
        log.append_now(genesis(), message("the quick brown fox"), message("a lazy dog"), fact(1))
        yield log


@pytest.fixture
def views(log, tmp_path):
    views = Views(tmp_path / "views.db", log)
    views.catch_up()
    yield views
    views.close()


def found(views, text):
    return [hit.position for hit in views.search(text)]


def test_words_are_found_as_prefixes_and_only_where_they_are(views, log):
    assert found(views, "brown") == [1]
    assert found(views, "LAZ do") == [2]
    assert found(views, "quick dog") == []
    log.append_now(message("Überraschung für den fox"))
    assert sorted(found(views, "fox")) == [1]
    views.catch_up()
    assert sorted(found(views, "fox")) == [1, 4]
    assert found(views, "uberraschung") == [4]


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=50))
def test_no_text_is_query_syntax(text):
    with open_log() as log:
        log.append_now(genesis())
        with tempfile.TemporaryDirectory() as folder:
            views = Views(Path(folder) / "views.db", log)
            views.catch_up()
            views.search(text)
            views.search(f'"{text}" OR *')
            views.close()


def test_events_are_named_by_position_or_the_start_of_their_id(views, log):
    event = log.read(1)
    assert views.resolve("1").id == event.id
    assert views.resolve(event.id.hex()).position == 1
    assert views.resolve(event.id.hex()[:16].upper()).position == 1
    for bad in ("99", "abcd", "f" * 64, "zz", "x" * 70, "-1"):
        with pytest.raises(NotFound):
            views.resolve(bad)


def test_redaction_leaves_no_byte(views, log, tmp_path):
    log.append_now(message("a Xyzzyplugh word"))
    views.catch_up()
    assert found(views, "xyzzyplugh") == [4]
    log.append_now(log.redaction([4], reason="r", actor="a"))
    views.catch_up()
    assert found(views, "xyzzyplugh") == []
    assert views.erasing
    assert views.purge()
    assert not views.erasing
    for path in tmp_path.iterdir():
        assert b"xyzzyplugh" not in path.read_bytes().lower(), path


@pytest.mark.parametrize("damage", ["missing", "garbage", "flipped", "foreign", "ahead"])
def test_damaged_views_are_rebuilt_and_not_fatal(views, log, tmp_path, damage):
    views.close()
    path = tmp_path / "views.db"
    if damage == "missing":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(b"garbage" * 5000)
    elif damage == "flipped":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif damage == "foreign":
        with open_log() as other:
            other.append_now(genesis())
            path.unlink()
            Views(path, other).close()
    else:
        log.append_now(message("more"))
        later = Views(path, log)
        later.catch_up()
        later._connection.execute("update cursor set size = 99")
        later.close()
    again = Views(path, log)
    again.catch_up()
    assert found(again, "brown") == [1]
    again.close()


# ---- replay ------------------------------------------------------------------------------------

lanes = st.integers(0, 2**16384 - 1)


def split(value):
    return [value >> 16 * n & 0xFFFF for n in range(1024)]


@given(lanes, lanes)
def test_lane_arithmetic_agrees_with_its_dumb_twin(a, b):
    assert split(_add(a, b)) == [(x + y) & 0xFFFF for x, y in zip(split(a), split(b), strict=True)]
    assert split(_subtract(a, b)) == [
        (x - y) & 0xFFFF for x, y in zip(split(a), split(b), strict=True)
    ]


def test_the_digest_depends_on_the_state_alone(log):
    log.append_now(*[message(str(n)) for n in range(50)])
    once = replay(log.events(), BASIC_REDUCERS).state
    often = State(BASIC_REDUCERS)
    for event in log.events():
        often.apply(event)
        often.digest()
    assert often.digest() == once.digest()
    restored = State.restore(BASIC_REDUCERS, dict(once.entries), once.size)
    assert restored.digest() == once.digest()
    assert restored.parts() == often.parts() == once.parts()
    total = parts = 0
    for key, value in once.entries.items():
        total = _add(total, _lanes(encode([key, value])))
    for part in once._sums.values():
        parts = _add(parts, part)
    assert total == parts
    restored.entries["type/test.fact"] += 1
    assert State.restore(BASIC_REDUCERS, restored.entries, once.size).digest() != once.digest()


def test_a_snapshot_and_the_tail_give_the_same(log):
    log.append_now(*[message(str(n)) for n in range(20)])
    whole = replay(log.events(), BASIC_REDUCERS).state
    half = replay(log.events(0, 11), BASIC_REDUCERS).state
    snapshot = State.restore(BASIC_REDUCERS, dict(half.entries), half.size)
    assert replay_from(snapshot, log.events(11)).state.digest() == whole.digest()


def test_redaction_changes_no_digest_but_by_its_own_event(log):
    before = replay(log.events(), BASIC_REDUCERS).state.digest()
    log.append_now(log.redaction([1], reason="r", actor="a"))
    assert replay(log.events(0, 4), BASIC_REDUCERS).state.digest() == before
    state = replay(log.events(), BASIC_REDUCERS).state
    assert state.entries["redacted/1"] == 4


def test_attested_states_are_checked_and_a_difference_is_loud(log):
    state = replay(log.events(), BASIC_REDUCERS).state
    log.append_now(attestation(state, reducers_hash(BASIC_REDUCERS)))
    log.append_now(message("more"))
    assert replay(log.events(), BASIC_REDUCERS).agreed == 1
    assert replay(log.events(), BASIC_REDUCERS[:1]).foreign == 1
    state = replay(log.events(), BASIC_REDUCERS).state
    state = State.restore(BASIC_REDUCERS, state.entries | {"type/forged": 1}, state.size)
    log.append_now(attestation(state, reducers_hash(BASIC_REDUCERS)))
    with pytest.raises(ReplayDiffers, match="in events 4 to 5"):
        replay(log.events(), BASIC_REDUCERS)


def test_events_are_folded_in_order(log):
    state = State(BASIC_REDUCERS)
    with pytest.raises(ValueError, match="event 2 folded into a state of size 0"):
        state.apply(log.read(2))


SCRIPT = """
import json, os, sys
from pathlib import Path
from ledger.core.state import BASIC_REDUCERS
from ledger.log import Log
from ledger.replay import replay
from ledger.sqlite import SqliteStore
log = Log(SqliteStore.open_read_only(Path(sys.argv[1])), clock=lambda: 0, entropy=os.urandom)
done = replay(log.events(), BASIC_REDUCERS)
print(json.dumps([done.state.digest().hex(), done.reducers.hex(), log.tree.root().hex(), done.agreed]))
"""


ROOT = Path(__file__).parent.parent.parent
OTHER_PYTHONS = [
    ready.parent / "bin" / "python" for ready in sorted((ROOT / "build").glob("python-*/.ready"))
]


def replayed_by(python, path, **env):
    done = subprocess.run(
        [str(python), "-c", SCRIPT, str(path)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.skipif(not OTHER_PYTHONS, reason="there is no second Python version set up here")
def test_other_python_versions_replay_the_same(log, tmp_path):
    """tests/other_python.sh sets them up where the machine has them; CI's machine does."""
    log.append_now(*[message(str(n), stream=os.urandom(16)) for n in range(60)])
    log.append_now(log.redaction([4], reason="r", actor="a"))
    here = replayed_by(sys.executable, tmp_path / "ledger.db")
    for python in OTHER_PYTHONS:
        assert replayed_by(python, tmp_path / "ledger.db") == here


def test_fresh_processes_with_other_hash_seeds_replay_the_same(log, tmp_path):
    log.append_now(*[message(str(n), stream=os.urandom(16)) for n in range(60)])
    log.append_now(
        attestation(replay(log.events(), BASIC_REDUCERS).state, reducers_hash(BASIC_REDUCERS))
    )
    outputs = [
        replayed_by(sys.executable, tmp_path / "ledger.db", PYTHONHASHSEED=seed)
        for seed in ("0", "1", "4242")
    ]
    here = replay(log.events(), BASIC_REDUCERS)
    expected = [here.state.digest().hex(), here.reducers.hex(), log.tree.root().hex(), 1]
    assert outputs == [expected] * 3
