"""Propose a change to the agent's own code and have it judged by a successor in a sandbox.

    timmy patch propose brief.diff    a unified diff against the adopted tree
    timmy patch judge                 fork a successor from the ledger and try it, black box
    timmy patch verdicts              what was proposed and how it was judged
    timmy patch tree                  where the adopted tree lies, to make a diff against

A judge sees protocol frames only; what it expects never enters the patched process. Exit 0 only if
the patch is accepted. Accepting changes nothing yet: adoption needs people, and is not built.
"""

import argparse
from pathlib import Path
from typing import Any

from ledger.core.errors import TimmyError
from ledger.core.types import PATCH_JUDGED, PATCH_PROPOSED
from ledger.core.upcast import UPCASTERS
from node import console
from node.client import Client
from node.home import Home
from node.open import Reading, reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    propose = actions.add_parser("propose", help="record a patch in the ledger")
    propose.add_argument("file", type=Path, help="a unified diff")
    propose.add_argument("--author", default="operator", help="who proposes it (operator)")
    judging = actions.add_parser("judge", help="judge a proposed patch")
    judging.add_argument("event", nargs="?", help="position or id of the proposal (the newest)")
    actions.add_parser("verdicts", help="list proposals and verdicts")
    actions.add_parser("tree", help="print the folder of the adopted tree")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    home = Home.find(arguments.home)
    if arguments.action == "propose":
        return _propose(home, arguments)
    if arguments.action == "judge":
        return _judge(home, arguments)
    if arguments.action == "verdicts":
        return _verdicts(home, as_json=arguments.json)
    return _tree(home, as_json=arguments.json)


def _propose(home: Home, arguments: argparse.Namespace) -> int:
    try:
        diff = arguments.file.read_bytes().decode()
    except OSError as error:
        raise TimmyError(
            f"{arguments.file} cannot be read: {error.strerror}",
            hint="name a unified diff against the adopted tree: timmy patch tree",
        ) from error
    except UnicodeDecodeError as error:
        raise TimmyError(
            f"{arguments.file} is not UTF-8 at byte {error.start}",
            hint="a tree is text in UTF-8, and so is a diff against it",
        ) from error
    body = {"diff": diff, "author": arguments.author}
    event = Client.find(home).call("POST", "/v1/patch/propose", body)
    if arguments.json:
        console.out_json(event)
    else:
        console.out(f"proposed as event {event['position']}; have it judged: timmy patch judge")
    return 0


def _judge(home: Home, arguments: argparse.Namespace) -> int:
    with reading(home) as opened:
        position = _proposal(opened, arguments.event)
    console.say("a successor is forked and tried; this takes some seconds")
    found = Client.find(home).call("POST", "/v1/patch/judge", {"position": position})
    if arguments.json:
        console.out_json(found)
    else:
        _show(found)
    return 0 if found["decision"] == "accept" else 1


def _proposal(home: Reading, named: str | None) -> int:
    if named is not None:
        return home.views.resolve(named).position
    for position in range(home.log.size - 1, -1, -1):
        if home.log.read(position).type == PATCH_PROPOSED.name:
            return position
    raise TimmyError("no patch was proposed yet", hint="timmy patch propose FILE")


def _show(found: dict[str, Any]) -> None:
    console.out(f"verdict   {found['decision']} (event {found['position']})")
    if found["reason"]:
        console.out(f"reason    {console.one_line(found['reason'])}")
    console.out(f"digest    {found['digest']}")
    for note in found["notes"]:
        console.out(f"note      {console.one_line(note)}")


def _verdicts(home: Home, *, as_json: bool) -> int:
    with reading(home) as opened:
        events = [
            reading.event
            for reading in map(UPCASTERS.read, opened.log.events())
            if reading.event.type in {PATCH_PROPOSED.name, PATCH_JUDGED.name}
            and not reading.standing.opaque
        ]
    if as_json:
        console.out_json([console.row(event) for event in events])
        return 0
    console.table(
        ["event", "when", "what", "says"],
        (
            [
                str(event.position),
                console.when(event.ts_ms),
                event.type,
                f"{event.payload['decision']} of {event.payload['patch']}"
                if event.type == PATCH_JUDGED.name
                else f"by {event.payload['author']}, sha256 {event.payload['sha256'].hex()}",
            ]
            for event in events
        ),
    )
    return 0


def _tree(home: Home, *, as_json: bool) -> int:
    from genesis import trees

    digest = trees.current(home.path)
    if digest is None:
        raise TimmyError("no architecture tree is adopted", hint="be born first: timmy init")
    folder = trees.open_tree(home.path, digest)
    if as_json:
        console.out_json({"digest": digest, "folder": str(folder)})
    else:
        console.out(str(folder))
    return 0
