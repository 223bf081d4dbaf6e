"""Fork a successor of this agent, try a patch on it, and say what came of it.

    timmy fork --patch proposal.md              the newest state, the proposal's own task
    timmy fork --patch fix.diff --task "..."    a bare diff, tried by this task
    timmy fork --patch proposal.md --at 4000    the agent as it was after 4000 events
    timmy fork --patch proposal.md --live-model --tokens 20000 --calls 10
                                                what is not on record may be asked of a model

The successor runs in the sandbox, on the agent's own events, with a store of its own; its calls of
tools are noted and not made. The agent is not paused, and nothing enters its ledger: to have a
verdict counted and kept, propose the patch (timmy patch propose). If a node runs, the fork is its;
else the home is read as it lies, and no model can be asked.

Gates decide. Behind them turns of the record are told once more, by the agent as it is and by the
successor, and what differs is listed. More in docs/SUCCESSORS.md. Exit 0 only if it is accepted.
"""

import argparse
import asyncio
from pathlib import Path
from typing import Any

from attest.verify.plain import jsonable
from ledger.core.errors import TimmyError
from node import console
from node.client import Client, NotRunning
from node.home import Home

_WAIT_S = 3600.0
"""A fork may take a quarter of an hour, and a machine that is busy longer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--patch", type=Path, required=True, metavar="FILE", help="a proposal, or a diff"
    )
    parser.add_argument("--at", type=int, metavar="EVENTS", help="after so many events (now)")
    parser.add_argument("--task", default="", help="by what it is tried (the proposal's)")
    parser.add_argument("--turns", type=int, metavar="N", help="turns told once more (6; 0: none)")
    parser.add_argument("--live-model", action="store_true", help="models may be asked")
    parser.add_argument("--tokens", type=int, metavar="N", help="of those, at most so many tokens")
    parser.add_argument("--calls", type=int, metavar="N", help="and so many calls (32)")


def run(arguments: argparse.Namespace) -> int:
    """Fork, try, tell; exit 0 only for a patch that is accepted."""
    from genesis.forking.documents import read

    home, body = Home.find(arguments.home), _body(arguments)
    document = read(arguments.patch)
    console.say("a successor is forked and tried; this takes some seconds")
    try:
        client = Client.find(home)
    except NotRunning:
        found = _stopped(home, document.data, body)
    else:
        text = document.data.decode(errors="surrogateescape")
        found = client.call("POST", "/v1/fork", body | {"document": text}, timeout=_WAIT_S)
    if arguments.json:
        console.out_json(found)
    else:
        from node.agent import sessions

        for line in sessions.lines(found):
            console.out(line)
    return 0 if found["decision"] == "accept" else 1


def _body(arguments: argparse.Namespace) -> dict[str, Any]:
    limits = arguments.tokens, arguments.calls
    if arguments.live_model and arguments.tokens is None:
        raise TimmyError("a live model needs a budget", hint="--live-model --tokens N")
    if not arguments.live_model and limits != (None, None):
        raise TimmyError("--tokens and --calls are of a live model", hint="--live-model")
    given = {
        "name": str(arguments.patch), "at": arguments.at, "task": arguments.task,
        "turns": arguments.turns, "live_tokens": limits[0], "live_calls": limits[1],
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


def _stopped(home: Home, document: bytes, body: dict[str, Any]) -> dict[str, Any]:
    """Fork what lies in the home."""
    import logging

    import structlog

    from genesis.forking.fork import Document, fork_successor
    from node.agent import sessions
    from node.api.forks import budget_of
    from node.config import load
    from node.engine import choose_engine

    level = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=level)  # what agents of the fork came to is in its verdict
    engine = asyncio.run(choose_engine(load(home.config))).engine
    with sessions.of_home(home) as session:
        successor = fork_successor(
            current_state=session.export(at=body.get("at")),
            architecture_patch=Document(name=body["name"], data=document),
            evaluation_task=body["task"],
            budget=budget_of(body),
            engine=engine,
        )
        found: dict[str, Any] = jsonable(sessions.row(successor.run_until_complete()))
    return found
