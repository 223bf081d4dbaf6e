"""Make the store fixture of the present schema: python -m tests.schema.make_stores

One home and one state directory out of fixed seeds (tests.spec.agent), as the version that is
released with this schema leaves them. A fixture is never made again once a version was released
with it; when the schema changes, the next one is made beside it, and this script goes on with the
new schema only.
"""

import hashlib
import itertools
import json
import shutil
from pathlib import Path

from ledger.core.event import Draft
from ledger.core.state import BASIC_REDUCERS
from ledger.log import Log
from ledger.release import Release
from ledger.replay import attestation, reducers_hash, replay
from ledger.sqlite import SCHEMA_VERSION, SqliteStore
from mesh.pool.sqlite_outbox import SqliteOutbox
from mesh.relay.sqlite import SqliteEventStore
from tests.mesh.peers import make
from tests.spec import agent

FOLDER = Path(__file__).parent.parent / "vectors" / "stores"
NOW_S = 1_790_000_000
EVENTS = 300
"""One full tile and a part of the next."""
ERASED = (3, 40)
RELAY = "ws://127.0.0.1:1"


def salts():
    """Bytes that look random and are the same each time."""
    counter = itertools.count()

    def entropy(length):
        return hashlib.shake_256(b"store fixture %d" % next(counter)).digest(length)

    return entropy


def drafts(ledger_id):
    """Words, facts, causes, an idempotency key, an unknown type and a newer schema."""
    yield agent.words("the quick brown fox")
    yield agent.words("an answer", kind="message.sent")
    yield agent.words("erased later")
    yield Draft(
        type="memory.noted",
        stream=agent.OTHER_STREAM,
        payload={"n": 1},
        content={"text": "kept by key"},
        idempotency_key=b"k" * 16,
    )
    yield Draft(
        type="dream.dreamt", stream=agent.OTHER_STREAM, payload={}, content={"text": "z"}, schema=4
    )
    yield Draft(type="memory.noted", stream=agent.OTHER_STREAM, payload={"n": 2}, schema=9)
    for number in itertools.count():
        yield agent.words(f"word {number}") if number % 8 == 0 else agent.fact(number)


def fill(log):
    """Append everything; erase two events at the end."""
    [born] = log.append_now(agent.genesis_draft())
    some = list(itertools.islice(drafts(born.id), EVENTS - 4))
    for start in range(0, len(some), 50):
        log.append_now(*some[start : start + 50])
    log.append_now(log.redaction(list(ERASED[:1]), reason="asked for", actor="operator"))
    done = replay(log.events(), BASIC_REDUCERS)
    log.append_now(attestation(done.state, done.reducers))
    erased = next(e.position for e in log.events(ERASED[1]) if e.has_content)
    log.append_now(log.redaction([erased], reason="asked for", actor="operator"))
    return erased


def make_home(folder: Path) -> dict:
    home, state = folder / "home", folder / "state"
    home.mkdir(parents=True)
    (home / "SOUL.md").write_bytes(agent.SOUL)
    store = SqliteStore.create(home / "ledger.db")
    clock = itertools.count(agent.BORN_MS, 1000)
    with Log(store, clock=lambda: next(clock), entropy=salts()) as log:
        erased = fill(log)
        Release.begin(log, state, agent.LOG)
        done = replay(log.events(), BASIC_REDUCERS)
        facts = {
            "schema": SCHEMA_VERSION,
            "ledger": log.ledger_id.hex(),
            "size": log.size,
            "root": log.tree.root().hex(),
            "roots": {size: log.tree.root(size).hex() for size in (1, 255, 256, 257)},
            "erased": [ERASED[0], erased],
            "key": {"hex": (b"k" * 16).hex(), "position": log.find(b"k" * 16).position},
            "reducers": reducers_hash(BASIC_REDUCERS).hex(),
            "digest": done.state.digest().hex(),
        }
    (home / "ledger.lock").unlink()
    return facts


def make_mesh(home: Path) -> dict:
    events = [make(content=f"note {n}", at=NOW_S + n) for n in range(3)]
    relay = SqliteEventStore(home / "relay.db")
    relay.add(events, now=NOW_S)
    relay.close()
    outbox = SqliteOutbox(home / "outbox.db")
    outbox.put([RELAY], events[0], now=NOW_S)
    outbox.close()
    return {"relay": RELAY, "events": sorted(event.id for event in events), "queued": events[0].id}


def main() -> None:
    folder = FOLDER / f"v{SCHEMA_VERSION}"
    shutil.rmtree(folder, ignore_errors=True)
    facts = make_home(folder) | make_mesh(folder / "home")
    (folder / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
