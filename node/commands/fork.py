"""Fork a successor of this agent, try a patch on it, and say what came of it.

    timmy fork --patch proposal.md              the newest state, the proposal's own task
    timmy fork --patch kinder                   a folder of timmy patch new, with what you edited
    timmy fork --patch fix.diff --task "..."    a bare diff, tried by this task
    timmy fork --patch proposal.md --at 4000    with the events, skins and tree of then (below)
    timmy fork --patch proposal.md --live-model --tokens 20000 --calls 10
                                                what is not on record may be asked of a model
    timmy fork --save FOLDER                    keep the session, with all that was ever said, 0600
    timmy fork --from FOLDER --patch fix.diff --task "..."
                                                try it on that, on any machine, without the home

The successor runs in the sandbox, on the agent's own events, with a store of its own; its calls of
tools are noted and not made. The agent is not paused, and nothing enters its ledger: to have a
verdict counted and kept, propose the patch (timmy patch propose). If a node runs, the fork is its;
else the home is read as it lies, and no model can be asked. The one file that is written says that
the sandbox held its attacks in this boot (sandbox.json).

With --at, tree, adopted skills and thresholds, and skins are those in force then; files that you
edited by hand, tools, models and this software are those of now. Whether that is what the record
names there stands behind `agent`. A tree that is not kept any more is refused by name.

A [budget] of the proposal bounds the fork: its seconds the judgment, tokens and usd a live model.

Gates decide. Behind them turns of the record are told once more, by the agent as it is and by the
successor, and what differs is listed. More in docs/SUCCESSORS.md. Exit 0 only if it is accepted.
"""

import argparse
import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attest.verify.plain import jsonable
from ledger.core.errors import TimmyError
from node import console
from node.agent import drafting
from node.client import Client, NotRunning, architecture_of
from node.commands.options import refuse_unused
from node.home import Home

if TYPE_CHECKING:
    from genesis.forking.documents import Document
    from genesis.forking.session import Exported

_WAIT_S = 3600.0
"""A fork may take a quarter of an hour, and a machine that is busy longer."""
_OF_A_TRIAL: Final = ("--from", "--task", "--turns", "--live-model", "--tokens", "--calls")
_USED_BY: Final = {option[2:].replace("-", "_"): (option, ("--patch",)) for option in _OF_A_TRIAL}
"""What --save, which tries nothing, would pass over."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--patch", type=Path, metavar="FILE", help="a proposal, its folder, a diff")
    what.add_argument("--save", type=Path, metavar="FOLDER", help="keep the session, try nothing")
    parser.add_argument("--from", type=Path, metavar="FOLDER", help="fork what --save kept")
    parser.add_argument(
        "--at", type=int, metavar="EVENTS", help="after so many events (all): see above"
    )
    parser.add_argument("--task", help="by what it is tried (the proposal's)")
    parser.add_argument("--turns", type=int, metavar="N", help="turns told once more (6; 0: none)")
    parser.add_argument("--live-model", action="store_true", help="models may be asked")
    parser.add_argument("--tokens", type=int, metavar="N", help="of those, at most so many tokens")
    parser.add_argument("--calls", type=int, metavar="N", help="and so many calls (32)")


def run(arguments: argparse.Namespace) -> int:
    """Fork, try, tell; exit 0 only for a patch that is accepted."""
    from genesis.forking.documents import read

    action = "--patch" if arguments.save is None else "--save"
    refuse_unused(arguments, f"fork {action}", action, _USED_BY)
    home, body, kept = Home.find(arguments.home), _body(arguments), getattr(arguments, "from")
    if kept is not None and arguments.at is not None:
        raise TimmyError("--at is of a home, not of what was kept", hint="--save with --at")
    if arguments.save is not None:
        return _save(home, arguments)
    folder = drafting.folder_of(arguments.patch)
    given = read(arguments.patch) if folder is None else folder
    console.say("a successor is forked and tried; this takes some seconds")
    try:
        client = None if kept is not None else Client.find(home)
    except NotRunning:
        client = None
    if client is None:
        found = _stopped(home, given, body, kept)
    else:
        document = _document(given, lambda: architecture_of(client)[1])
        text = document.data.decode(errors="surrogateescape")
        body |= {"document": text, "name": document.name}
        found = client.call("POST", "/v1/fork", body, timeout=_WAIT_S)
    if arguments.json:
        console.out_json(found)
    else:
        from node.agent import sessions

        for line in sessions.lines(found):
            console.out(line)
    return 0 if found["decision"] == "accept" else 1


def _save(home: Home, arguments: argparse.Namespace) -> int:
    """Keep a session as it lies in the home, whether a node runs or not."""
    from genesis.forking import copies

    with _session(home, None, arguments.at) as exported:
        copies.save(exported, arguments.save)
        found = {"folder": str(arguments.save), "events": exported.about.size}
    if arguments.json:
        console.out_json(found)
    else:
        console.out(f"{found['events']} events are kept in {found['folder']}")
    return 0


@contextmanager
def _session(home: Home, kept: Path | None, at: int | None) -> Iterator["Exported"]:
    """Open what lies in the home, or in a folder that `_save` wrote."""
    from genesis.forking import copies
    from node.agent import sessions

    if kept is not None:
        with copies.opened(kept) as exported:
            yield exported
    else:
        with sessions.of_home(home) as session:
            yield session.export(at=at)


def _body(arguments: argparse.Namespace) -> dict[str, Any]:
    limits = arguments.tokens, arguments.calls
    if arguments.live_model and arguments.tokens is None:
        raise TimmyError("a live model needs a budget", hint="--live-model --tokens N")
    if not arguments.live_model and limits != (None, None):
        raise TimmyError("--tokens and --calls are of a live model", hint="--live-model")
    given = {
        "at": arguments.at, "task": arguments.task, "turns": arguments.turns,
        "live_tokens": limits[0], "live_calls": limits[1],
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


def _document(given: "Document | Path", files: Callable[[], Mapping[str, bytes]]) -> "Document":
    """Return what was read, or what a folder amounts to against `files`."""
    from genesis.forking.documents import Document

    if isinstance(given, Document):
        return given
    data = drafting.folder_document(given, files)
    return Document(name=str(given / drafting.DOCUMENT), data=data)


def _stopped(
    home: Home, given: "Document | Path", body: dict[str, Any], kept: Path | None
) -> dict[str, Any]:
    """Fork what lies in the home, or in the folder `kept`."""
    import logging

    import structlog

    from genesis.forking.fork import fork_successor
    from node.agent import sessions
    from node.api.forks import budget_of
    from node.config import load
    from node.engine import choose_engine

    level = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=level)  # what agents of the fork came to is in its verdict
    engine = asyncio.run(choose_engine(load(home.config))).engine
    with _session(home, kept, body.get("at")) as exported:
        base = exported.about.architecture
        successor = fork_successor(
            current_state=exported,
            architecture_patch=_document(
                given, lambda: {at: base[at] for at in base if at not in base.reducers}
            ),
            evaluation_task=body.get("task", ""),
            budget=budget_of(body),
            engine=engine,
        )
        found: dict[str, Any] = jsonable(sessions.row(successor.run_until_complete()))
    return found
