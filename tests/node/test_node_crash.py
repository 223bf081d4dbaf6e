"""kill -9 under load: what was acknowledged is there, answered exactly once, and the log is whole."""

import random
import threading
import time
from collections import Counter
from http.client import HTTPException

from .world import until

ROUNDS = 5
WRITERS = 4


class Writer(threading.Thread):
    """Says one thing after another in a conversation of its own until the node is gone."""

    def __init__(self, node, name: str) -> None:
        super().__init__()
        self.node, self.conversation = node, name
        self.kept: list[tuple[int, str]] = []

    def run(self) -> None:
        number = 0
        while True:
            number += 1
            text = f"{self.conversation} says number {number}"
            body = {"text": text, "conversation": self.conversation, "wait_s": number % 2}
            try:
                answer = self.node.request("POST", "/v1/say", body)
            except (OSError, HTTPException):
                return  # the node was killed: this one was not acknowledged
            if answer.status == 200:
                self.kept.append((answer.json["message"]["position"], text))


def test_no_acknowledged_message_is_lost_or_answered_twice(born):
    """Five lives of one node, each cut at a random moment while four people talk to it."""
    draw = random.Random(20260101)
    kept: list[tuple[int, str]] = []
    for round_number in range(ROUNDS):
        node = born.start()
        writers = [Writer(node, f"round {round_number} writer {n}") for n in range(WRITERS)]
        for writer in writers:
            writer.start()
        until(lambda: any(w.kept for w in writers), 120, "someone was heard")  # noqa: B023
        time.sleep(draw.uniform(0.0, 1.0))
        node.kill9()
        for writer in writers:
            writer.join(120)
            kept += writer.kept
    assert len(kept) > ROUNDS, "the load was no load"

    with born.running() as node:
        deadline = time.monotonic() + 120
        while node.status()["pending"] and time.monotonic() < deadline:
            time.sleep(0.1)
        assert node.status()["pending"] == 0
        rows = node.request("GET", "/v1/log?from=0&last=1000").json
        while len(rows) < node.status()["events"]:
            rows += node.request("GET", f"/v1/log?from={len(rows)}&last=1000").json

    said = {
        row["position"]: row["content"]["text"] for row in rows if row["type"] == "message.received"
    }
    assert [pair for pair in kept if said.get(pair[0]) != pair[1]] == []
    answers = Counter(row["payload"]["message"] for row in rows if row["type"] == "message.sent")
    assert answers == dict.fromkeys(said, 1)
    ends = Counter(row["payload"]["message"] for row in rows if row["type"] == "turn.finished")
    assert ends == dict.fromkeys(said, 1)
    lives = [row for row in rows if row["type"] == "node.started"]
    assert len(lives) == ROUNDS + 1
    assert [row["position"] for row in rows] == list(range(len(rows)))

    report = born.run("--json", "verify").good().json
    assert report["verdict"] == "UNBROKEN-PENDING"
    replayed = born.run("--json", "replay").good().json
    assert replayed["attested_agreed"] == ROUNDS + 1
    assert replayed["events"] == report["size"] >= len(rows)


def test_a_message_that_is_sent_again_after_a_crash_is_one_message(born):
    """A client that heard nothing asks again with its key, and gets the first message's answer."""
    node = born.start()
    key = "00112233445566778899aabbccddeeff"
    first = node.say("did you get this?", key=key, wait_s=0)
    node.kill9()
    with born.running() as again:
        second = again.say("did you get this?", key=key)
        assert second["message"]["id"] == first["message"]["id"]
        assert second["answer"] is not None
        assert len(again.log("message.received")) == 1
        assert len(again.log("message.sent")) == 1


def test_readers_beside_a_busy_node_never_fail_and_it_stops_in_order_under_load(born):
    """Commands that open the ledger while the node appends to it see a whole log each time."""
    with born.running() as node:
        writers = [Writer(node, f"writer {n}") for n in range(2)]
        for writer in writers:
            writer.start()
        sizes = []
        for _ in range(4):
            sizes.append(len(born.run("--json", "log", "--from", "0").good().json))
            assert born.run("--json", "verify").good().json["size"] >= sizes[-1]
            assert born.run("--json", "head").good().json["size"] >= sizes[-1]
        assert sizes == sorted(sizes)
    for writer in writers:
        writer.join(120)
    assert born.run("verify").good()
