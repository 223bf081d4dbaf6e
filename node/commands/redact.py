"""Erase what events say. The events stay, with their commitments: that they were there is proven.

Erased are the words in this home: rows, write-ahead log, search index. Not erased: what was
exported or proven to others before, backups, and quotations in other events (see: timmy search).
"""

import argparse

from ledger.core.errors import Refused
from node import console
from node.client import Client, NotRunning
from node.home import Home
from node.open import open_log, reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("events", nargs="+", help="positions, or starts of ids in hex")
    parser.add_argument("--reason", default="asked for", help="kept in the ledger for good")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Redact; there is no way back."""
    home = Home.find(arguments.home)
    with reading(home) as opened:
        positions = sorted({opened.views.resolve(name).position for name in arguments.events})
        opened.log.redaction(positions, reason=arguments.reason, actor="operator")
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


def _confirmed(positions: list[int]) -> bool:
    import sys

    if not sys.stdin.isatty():
        raise Refused("erasing wants a yes, and there is no terminal to ask on", hint="--yes")
    names = ", ".join(map(str, positions))
    console.say(f"what events {names} say will be gone for good. Type yes to go on:")
    return sys.stdin.readline().strip() == "yes"


def _redact_here(home: Home, positions: list[int], reason: str) -> dict[str, object]:
    with open_log(home, write=True) as log:
        draft = log.redaction(positions, reason=reason, actor="operator")
        (event,) = log.append_now(draft)
    with reading(home):
        pass
    return {"position": event.position, "id": event.id.hex(), "targets": positions}
