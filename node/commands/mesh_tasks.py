"""`timmy mesh task` and `timmy mesh tasks`: work for other agents, and what they report."""

import argparse
from typing import Any

from attest.verify.plain import one_line
from ledger.core.errors import TimmyError
from mesh.core.nip19 import npub
from node import console
from node.client import Client

_TEXT_CHARS = 60
"""Of words in one line of a list; timmy show has all of them."""


def give(client: Client, arguments: argparse.Namespace) -> int:
    """Give a task to the agents that are named first, or to any member; the rest are its words."""
    words = list(arguments.which)
    to: list[str] = []
    while words and words[0].startswith("npub1"):
        to.append(words.pop(0))
    if not words or bool(to) == bool(arguments.able):
        raise TimmyError(
            "whom, and what?",
            hint="timmy mesh task npub1... [npub1...] look at the gate; or look at the gate --any",
        )
    if arguments.wait and not arguments.able:
        raise TimmyError("a task that waits is for anybody", hint="--any or --able WORD")
    whom = {"able": arguments.able, "wait": arguments.wait} if arguments.able else {"to": to}
    due = {} if arguments.due is None else {"due_s": arguments.due}
    body = {**whom, "text": " ".join(words), **due}
    found = client.call("POST", "/v1/tasks", body, timeout=120)
    if arguments.json:
        console.out_json(found)
    else:
        console.out(f"event {found['position']} {_way(found['payload'], arguments.able)}; "
                    "timmy mesh tasks shows reports")  # fmt: skip
    return 0


def _way(payload: dict[str, Any], able: str | None) -> str:
    if not payload["to"]:
        return "waits, a day at most, for a member that has time"
    return "is on its way" + (f" to {npub(payload['to'][0])}" if able else "")


def show(client: Client, *, as_json: bool) -> int:
    """List what was given and what was reported."""
    found = client.call("GET", "/v1/tasks?last=100", timeout=30)
    if as_json:
        console.out_json(found)
        return 0
    for row in found:
        told, payload = row["type"].removeprefix("task."), row["payload"]
        if told == "given":
            who = f"to {len(payload['to'])} agents" if payload["to"] else f"to {payload['able']}"
        else:
            who = f"of {payload['task']} by {payload['author']}: {payload['outcome']}"
        text = str((row["content"] or {}).get("text", "(redacted)"))[:_TEXT_CHARS]
        console.out(one_line(f"{row['position']:>6} {console.when(row['ts_ms'])} {told} {who}: "
                             f"{console.safe(text)}"))  # fmt: skip
    return 0
