"""Compute the state again from event 0 and compare it with every attested one on the way.

    timmy replay                                the whole ledger
    timmy replay --turn 41                      tell the turn of message 41 again: is it the same?
    timmy replay --turn 41 --tree ./agent       with another agent; what it asks as then comes from
                                                the record, and what it asks otherwise is refused
    timmy replay --turn 41 --tree ./agent --model local         or asked of this model
    timmy replay --turn 41 --model local --anew                 every reply from another model
    timmy replay --turn 41 --model local --without-tool shell   had it not had this tool
    timmy replay --turn 41 --model local --only-tools read_file,recall

What tools gave comes from the record as well. One that is asked for otherwise is called if it only
reads; one that writes is not, unless --tools is given, and nobody is asked for a yes. A tool
that is left out is neither offered nor called: a reply that was given with it on offer is asked for
anew.

A turn is told again on a fork in memory, by the running node: nothing of it reaches the ledger but
that it was done.

Exit 1 if a state, or the answer, differs: it says since which event, in which parts of the state
and by which reducer. A state that other code attested may differ, if this version attested its own
later: an upgrade. Until a start has done that, it counts as a difference.
"""

import argparse
from pathlib import Path
from typing import Any, Final

from attest.verify.plain import jsonable, one_line
from ledger.attested import Difference
from ledger.core.errors import TimmyError
from ledger.replay import ReplayDiffers, Replayed, replay
from ledger.snapshot import kept_entries
from node import console
from node.client import Client
from node.home import Home
from node.open import open_log

_FROM: Final = {"record": "from the record", "anew": "anew"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--turn", type=int, metavar="EVENT", help="a message: its turn only")
    parser.add_argument("--tree", type=Path, metavar="DIR", help="with the agent in this folder")
    parser.add_argument(
        "--model", action="append", default=[], metavar="NAME", help="whom to ask; in this order"
    )
    parser.add_argument(
        "--tools", action="store_true", help="also call tools that write, for what is not on record"
    )
    parser.add_argument("--only-tools", metavar="A,B", help="with these tools; '' for none")
    parser.add_argument(
        "--without-tool", action="append", default=[], metavar="NAME", help="without this tool"
    )
    parser.add_argument("--anew", action="store_true", help="ask even for what is on record")


def run(arguments: argparse.Namespace) -> int:
    """Replay; exit 1 if a state or an answer differs."""
    if arguments.turn is not None:
        return _retell(arguments)
    of_turn = [arguments.tree, arguments.only_tools, arguments.model, arguments.without_tool]
    if any(one not in (None, []) for one in of_turn) or arguments.anew or arguments.tools:
        raise TimmyError(
            "--tree, --model, --anew and those of tools are of a turn", hint="timmy replay --turn N"
        )
    return _replay(arguments)


def _retell(arguments: argparse.Namespace) -> int:
    body: dict[str, Any] = {"message": arguments.turn, "models": arguments.model}
    body |= {"tree": str(arguments.tree.resolve())} if arguments.tree is not None else {}
    body |= {"anew": True} if arguments.anew else {}
    body |= {"tools": True} if arguments.tools else {}
    if arguments.only_tools is not None:
        body["only_tools"] = [
            name for one in arguments.only_tools.split(",") if (name := one.strip())
        ]
    body |= {"without_tools": arguments.without_tool} if arguments.without_tool else {}
    told = Client.find(Home.find(arguments.home)).call("POST", "/v1/retell", body, timeout=3600)
    if arguments.json:
        console.out_json(told)
        return 0 if told["same"] else 1
    for step in told["steps"]:
        by = f" by {step['model']}" if step["model"] else ""
        console.out(one_line(f"{step['step']:3} {step['op']:9} {_FROM[step['source']]}{by}"))
    for when in ("then", "now"):
        console.out(f"{when:5} {console.safe(told[when] or '(no answer)')}")
    console.out("the answer is the same" if told["same"] else "the answer is another one")
    return 0 if told["same"] else 1


def _replay(arguments: argparse.Namespace) -> int:
    from node.keeping.folding import OWNERS, REDUCERS

    home = Home.find(arguments.home)
    with open_log(home) as log:
        kept = kept_entries(home.snapshot)
        try:
            done = replay(log.events(), REDUCERS, owners=OWNERS, kept=kept)
            for one in done.unsettled:
                raise one.error()
        except ReplayDiffers as error:
            console.fail(error)
            if arguments.json:
                console.out_json({"error": str(error), "hint": error.hint, **_named(error)})
            return 1
        root = log.tree.root()
    _tell(done, root, as_json=arguments.json)
    return 0


def _named(error: ReplayDiffers) -> dict[str, Any]:
    return {} if error.difference is None else _row(error.difference)


def _row(one: Difference) -> dict[str, Any]:
    return {
        "attested_at": one.position,
        "since": one.since,
        "parts": one.parts,
        "folded_by": one.reducers,
        "keys": one.keys,
        "other_code": one.changed,
    }


def _tell(done: Replayed, root: bytes, *, as_json: bool) -> None:
    result = {
        "events": done.state.size,
        "digest": done.state.digest(),
        "reducers": done.reducers,
        "root": root,
        "attested_agreed": done.agreed,
        "attested_by_other_reducers": done.foreign,
        "of_those_agreed": done.alike,
    }
    if as_json:
        console.out_json(result | {"differences": [_row(one) for one in done.differences]})
        return
    for name, value in result.items():
        console.out(f"{name:28} {jsonable(value)}")
    for one in done.differences:
        console.out(one_line(f"{'an earlier version differed':28} {one.error()}"))
