"""Erase what events say. The events stay, with their commitments: that they were there is proven.

    timmy redact 12 13               erase what these two say
    timmy redact 12 --derived        and what every later event says that was caused by it: answers
                                     quote questions, summaries quote both

Without a running node the ledger is opened here; one that was rolled back is refused, as by `run`.
Erased are the words in this home: rows, write-ahead log, search index. Not erased: what was
exported or proven to others before, and backups.
"""

import argparse

from ledger.core.errors import Refused
from ledger.log import Log
from node import console
from node.client import Client, NotRunning
from node.home import Home
from node.open import appending, reading

_NAMED_MAX = 12
"""More positions than this are a number, not a list."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("events", nargs="+", help="positions, or starts of ids in hex")
    parser.add_argument("--reason", default="asked for", help="kept in the ledger for good")
    parser.add_argument(
        "--derived", action="store_true", help="also what was caused by them, and may quote them"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Redact; there is no way back."""
    home = Home.find(arguments.home)
    with reading(home) as opened:
        positions = sorted({opened.views.resolve(name).position for name in arguments.events})
        found = derived(opened.log, positions)
        if arguments.derived:
            positions = sorted({*positions, *found})
        opened.log.redaction(positions, reason=arguments.reason, actor="operator")
    if found and not arguments.derived:
        names = ", ".join(map(str, found[:_NAMED_MAX])) + (" …" if len(found) > _NAMED_MAX else "")
        console.say(f"{len(found)} later events may quote it ({names}): --derived erases them too")
    if not arguments.yes and not _confirmed(positions):
        console.say("nothing was changed")
        if arguments.json:
            console.out_json({"targets": []})
        return 1
    body = {"positions": positions, "reason": arguments.reason}
    try:
        done = Client.find(home).call("POST", "/v1/redact", body)
    except NotRunning:
        done = _redact_here(home, positions, arguments.reason)
    if arguments.json:
        console.out_json(done)
    else:
        names = ", ".join(map(str, positions))
        console.out(f"erased what {names} said; event {done['position']} says so")
    return 0


def derived(log: Log, positions: list[int]) -> list[int]:
    """Return later events with content that were caused, however indirectly, by `positions`."""
    reached, found = set(positions), []
    for event in log.events(min(positions)):
        if any(c.ledger is None and c.position in reached for c in event.envelope.causes):
            reached.add(event.position)
            if event.content is not None:
                found.append(event.position)
    return [position for position in found if position not in positions]


def _confirmed(positions: list[int]) -> bool:
    import sys

    if not sys.stdin.isatty():
        raise Refused("erasing wants a yes, and there is no terminal to ask on", hint="--yes")
    names = ", ".join(map(str, positions))
    console.say(f"what events {names} say will be gone for good. Type yes to go on:")
    return sys.stdin.readline().strip() == "yes"


def _redact_here(home: Home, positions: list[int], reason: str) -> dict[str, object]:
    with appending(home) as log:
        draft = log.redaction(positions, reason=reason, actor="operator")
        (event,) = log.append_now(draft)
    with reading(home):
        pass
    return {"position": event.position, "id": event.id.hex(), "targets": positions}
