"""PyPI eventsourcing on its SQLite recorder: `python eventsourcing_peer.py ROW FOLDER COUNT TEXTS`.

One aggregate for everything (fifty cost it more), no snapshots, no compression, no cipher. Its
connections are left as it opens them: WAL, and SQLite's default of synchronous=FULL.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

WRITERS = 100
PAGE = 1000


class Conversation(Aggregate):
    @event("Started")
    def __init__(self):
        self.messages = 0

    @event("Posted")
    def post(self, author, text):  # noqa: ARG002 - the arguments are the event
        self.messages += 1


def application(folder):
    os.environ.update(
        PERSISTENCE_MODULE="eventsourcing.sqlite",
        SQLITE_DBNAME=str(folder / "events.db"),
        SQLITE_LOCK_TIMEOUT="60",
    )
    return Application()


def begin(app):
    conversation = Conversation()
    app.save(conversation)
    return conversation


def timed(count, work):
    start, busy = time.perf_counter(), time.process_time()
    work()
    passed = time.perf_counter() - start
    return {"count": count, "seconds": passed, "cpu": time.process_time() - busy}


def append(folder, lines, batch):
    app = application(folder)
    conversation = begin(app)

    def work():
        for at in range(0, len(lines), batch):
            for text in lines[at : at + batch]:
                conversation.post("operator", text)
            app.save(conversation)

    return timed(len(lines), work)


def writers(folder, lines):
    app = application(folder)
    each = max(1, len(lines) // WRITERS)
    own = [begin(app) for _ in range(len(lines) // each)]

    def write(number):
        for text in lines[number * each : (number + 1) * each]:
            own[number].post("operator", text)
            app.save(own[number])

    def work():
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(write, range(len(own))))

    return timed(len(own) * each, work)


def filled(folder, lines):
    app = application(folder)
    conversation = begin(app)
    for at in range(0, len(lines), PAGE):
        for text in lines[at : at + PAGE]:
            conversation.post("operator", text)
        app.save(conversation)
    return app, conversation.id


def read_notifications(app):
    start = 1
    while found := app.recorder.select_notifications(start=start, limit=PAGE):
        for notification in found:
            app.mapper.to_domain_event(notification)
        start = found[-1].id + 1


def replay(folder, lines):
    """Fold the aggregate from its first event: what its users call replay."""
    app, name = filled(folder, lines)
    return timed(len(lines), lambda: app.repository.get(name))


def read(folder, lines):
    """Read and decode the notification log; nothing is folded."""
    app, _ = filled(folder, lines)
    return timed(len(lines), lambda: read_notifications(app))


def size(folder, lines):
    app, _ = filled(folder, lines)
    app.close()
    return {"value": sum(path.stat().st_size for path in folder.iterdir()) / len(lines)}


WORK = {
    "append-1": lambda folder, lines: append(folder, lines, 1),
    "append-100": lambda folder, lines: append(folder, lines, 100),
    "append-1000": lambda folder, lines: append(folder, lines, 1000),
    "writers-100": writers,
    "replay": replay,
    "read": read,
    "bytes": size,
}

if __name__ == "__main__":
    row, folder, count, source = sys.argv[1:]
    lines = Path(source).read_text().splitlines()[: int(count)]
    print(json.dumps(WORK[row](Path(folder), lines)))
