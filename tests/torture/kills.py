"""kill -9 of a real node under load, at a random moment and at each step of the release order.

    commit      the write-ahead log has just grown
    guard       the temporary file of the guard is there, or the guard has just changed
    publish     the relay has just been given a checkpoint

A watcher polls the files (no seam in the node): when the step is seen, a seeded delay of up to a few
milliseconds passes and the process is killed, so that over many kills both sides of every step are
met. Clients keep what was acknowledged to them; a subscriber of the node's own relay keeps every
checkpoint that came out of it. After the last life all of it is compared with the ledger.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import aiohttp

from ledger.core.checkpoint import SignedCheckpoint, open_checkpoint
from ledger.log import Log
from ledger.release import GuardFile, check_guard
from node import home as node_home
from node.keeping.selfcheck import check_home
from node.open import lineage_of, open_log
from tests.node.world import Failed, Home, Node, until

STEPS = ("random", "commit", "guard", "publish")
WRITERS = 4
DELAY_SECONDS_MAX = 0.004
"""A commit, a guard and a publication follow each other within a few milliseconds."""
STEP_SECONDS_MAX = 6.0
START_SECONDS_MAX = 180.0
DRAIN_SECONDS_MAX = 900.0
"""Thousands of messages that wait for an answer, on a machine that does other things too."""
SETTINGS = """
[node]
checkpoint_interval_ms = 200
[publish]
interval_s = 1
[api]
port = 0
"""
SUBSCRIPTION = ["REQ", "all", {}]


@dataclass(slots=True)
class Kept:
    """What the outside world was told."""

    messages: list[tuple[int, str]] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)
    steps: Counter = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class Writer(threading.Thread):
    """Says one thing after another until the node is gone; keeps what was acknowledged."""

    def __init__(self, node: Node, name: str) -> None:
        super().__init__(daemon=True)
        self.node, self.name_, self.kept = node, name, []

    def run(self) -> None:
        number = 0
        while True:
            number += 1
            text = f"{self.name_} says number {number}"
            body = {"text": text, "conversation": self.name_, "wait_s": 0}
            try:
                answer = self.node.request("POST", "/v1/say", body)
            except (OSError, HTTPException):
                return  # killed: this one was not acknowledged
            if answer.status == 200:
                self.kept.append((answer.json["message"]["position"], text))


class Subscriber(threading.Thread):
    """Listens to the node's relay and keeps the checkpoint notes that came out of it."""

    def __init__(self, node: Node, seen: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.node, self.seen, self.notes = node, seen, set()

    def run(self) -> None:
        asyncio.run(self._listen())

    async def _listen(self) -> None:
        url = f"http://127.0.0.1:{self.node.port}/"
        try:
            async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
                await socket.send_json(SUBSCRIPTION)
                async for message in socket:
                    self._take(message.json())
        except (aiohttp.ClientError, OSError):
            return

    def _take(self, message: list[Any]) -> None:
        if message[0] != "EVENT":
            return
        content = message[2]["content"]
        if "\n\n\u2014 " in content:
            self.notes.add(content)
            self.seen()


def _signature(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def wait_for(step: str, home: Home, draw: random.Random, published: threading.Event) -> None:
    """Return when the step was seen (or after a while), and a seeded moment later."""
    deadline = time.monotonic() + STEP_SECONDS_MAX
    if step == "random":
        time.sleep(draw.uniform(0.0, 0.5))
        return
    log, guard = home.ledger.with_name("ledger.db-wal"), home.guard
    watched = log if step == "commit" else guard
    published.clear()
    before = _signature(watched)
    while time.monotonic() < deadline:
        if step == "publish" and published.wait(0.001):
            break
        if step == "guard" and any(guard.parent.glob(".head.*")):
            break
        if step != "publish" and _signature(watched) != before:
            break
    time.sleep(draw.uniform(0.0, DELAY_SECONDS_MAX) if draw.random() < 0.7 else 0)


def _started(home: Home) -> Node:
    """Start the node; a machine that is busy with other things may take minutes over it."""
    node, running = Node(home), home.path / "run.json"
    home._nodes.append(node)
    until(lambda: node._answers(running) or not node.alive, START_SECONDS_MAX, "the node is ready")
    if not node.alive:
        raise Failed(f"the node ended with {node.process.returncode}: {node.stderr}")
    return node


def one_life(home: Home, step: str, number: int, draw: random.Random, kept: Kept) -> None:
    """Start the node, load it, kill it at `step`."""
    node = _started(home)
    published = threading.Event()
    subscriber = Subscriber(node, published.set)
    writers = [Writer(node, f"life {number} writer {n}") for n in range(WRITERS)]
    subscriber.start()
    for writer in writers:
        writer.start()
    until(lambda: any(w.kept for w in writers), 20, "someone was heard")
    wait_for(step, home, draw, published)
    node.kill9()
    kept.steps[step] += 1
    for thread in (*writers, subscriber):
        thread.join(30)
    for writer in writers:
        kept.messages += writer.kept
    kept.notes |= subscriber.notes
    _look_at_guard(home, number, kept)


def _look_at_guard(home: Home, number: int, kept: Kept) -> None:
    """After each kill: the guard is whole, and not ahead of the log. Reads, starts nothing."""
    place = node_home.Home(path=home.path, state=home.state)
    with open_log(place) as log:
        lineage = lineage_of(log)
        guard = GuardFile(home.state, log.ledger_id)
        try:
            head = check_guard(guard, log.tree, log.ledger_id, lineage.key_at, lineage.epoch)
        except Exception as error:
            kept.problems.append(f"life {number}: {error}")
            return
        _compare_notes(log, head, lineage.genesis.keys["log"], kept, f"life {number}")


def _compare_notes(log: Log, guard: SignedCheckpoint, key: bytes, kept: Kept, when: str) -> None:
    for note in kept.notes:
        head = open_checkpoint(note.encode(), key)
        if head.size > guard.size:
            kept.problems.append(f"{when}: {head.size} was published, the guard says {guard.size}")
        elif log.tree.root(head.size) != head.root:
            kept.problems.append(f"{when}: published head of size {head.size} is no prefix")


def judge(home: Home, kept: Kept) -> int:
    """Let the node finish its work, stop it, and compare every promise. Returns its events."""
    node = _started(home)
    deadline = time.monotonic() + DRAIN_SECONDS_MAX
    while node.status()["pending"] and time.monotonic() < deadline:
        time.sleep(0.2)
    if node.status()["pending"]:
        kept.problems.append("messages stay unanswered")
    try:
        node.stop()
    except Failed as error:
        kept.problems.append(str(error))
    place = node_home.Home(path=home.path, state=home.state)
    report = check_home(place)
    if not report.good:
        kept.problems.append(f"verify: {report.verdict} {report.lines}")
    with open_log(place) as log:
        _compare_messages(log, kept)
        return log.size


def _compare_messages(log: Log, kept: Kept) -> None:
    said: dict[str, list[int]] = {}
    answered: Counter = Counter()
    for event in log.events():
        if event.type == "message.received":
            said.setdefault(event.content["text"], []).append(event.position)
        elif event.type == "message.sent":
            answered[event.payload["message"]] += 1
    for position, text in kept.messages:
        if said.get(text) != [position]:
            kept.problems.append(f"message {position} {text!r} is at {said.get(text)}")
    twice = [text for text, places in said.items() if len(places) > 1]
    if twice:
        kept.problems.append(f"kept twice: {twice[:5]}")
    wrong = [at for places in said.values() for at in places if answered[at] != 1]
    if wrong:
        kept.problems.append(f"not answered once: {wrong[:10]}")


def run(root: Path, *, kills: int, seed: int, say: Callable[[str], None] = print) -> dict:
    """Kill a node `kills` times, each step in turn. Returns counts and problems."""
    home = Home(root / "killed").configure(SETTINGS)
    home.run("init").good()
    draw, kept = random.Random(seed), Kept()
    try:
        for number in range(kills):
            one_life(home, STEPS[number % len(STEPS)], number, draw, kept)
            if number % 20 == 19:
                say(f"{number + 1} of {kills} kills, {len(kept.messages)} acknowledged messages")
        events = judge(home, kept)
    except Failed as error:  # what was found so far is reported, and this with it
        kept.problems.append(f"life {sum(kept.steps.values())}: {error}")
        events = 0
    finally:
        home.end()
    return {
        "kills": sum(kept.steps.values()),
        "steps": dict(kept.steps),
        "acknowledged": len(kept.messages),
        "checkpoints": len(kept.notes),
        "events": events,
        "problems": kept.problems,
    }
