"""What the agent remembers: give it something, look at it, have it forgotten.

    timmy memory add The roof was tiled in 1962.
    timmy memory add --file letter.txt          up to 64 KiB of UTF-8
    timmy memory add - < letter.txt             from standard input
    timmy memory add --project . The gateway only forwards.
    timmy memory list                           the newest 20 that count, the agent's own among them
    timmy memory list --kind decision --all     also those that are superseded, forgotten or expired
    timmy memory show 12                        how much it counts, where it comes from
    timmy memory search roof tiles              those that bear on the words, best first
    timmy memory forget 12                      it counts no more; its words stay in the ledger

timmy search finds memories and messages alike, and the agent recalls both and names the event. The
newest memories are in every prompt that a model gets: keep them short. The crisis screen reads a
memory as it reads a message; one that meets it is kept, and shown to no agent and no model.
Without a running node the ledger is opened here. To erase a memory: timmy redact EVENT. What counts
how much, and what the historian notes by itself: docs/MEMORY.md
"""

import argparse
import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ledger.core.errors import TimmyError
from node import console
from node.agent.projects import project_hash
from node.client import Client, NotRunning, path
from node.commands.say import UTF8_HINT, standard_input
from node.home import Home
from node.open import appending, reading
from runtime.core.agenda import SCREEN_PASS
from runtime.core.crisis import ANSWER
from runtime.core.limits import MEMORY_BYTES_MAX

if TYPE_CHECKING:  # it brings half the node along
    from node.agent.remembering import Remembered

_AUTHOR = "operator"
WORDS: Final = "words"
"""Words may stand on both sides of options."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="record something to remember")
    add.add_argument("words", nargs="*", help="what to remember; - reads standard input")
    add.add_argument("--file", type=Path, help="take the words from a file")
    add.add_argument("--project", type=Path, metavar="FOLDER", help="it belongs to this project")
    listed = actions.add_parser("list", help="list memories, newest last")
    listed.add_argument("--last", type=int, default=20, metavar="N", help="how many (20)")
    listed.add_argument("--kind", help="only this kind: decision, pattern, correction, fact, ...")
    listed.add_argument("--project", type=Path, metavar="FOLDER", help="only of this project")
    listed.add_argument("--all", action="store_true", help="also those that count no more")
    shown = actions.add_parser("show", help="show one memory whole")
    shown.add_argument("position", type=int, help="its event")
    found = actions.add_parser("search", help="find memories, best first; exits 1 if there is none")
    found.add_argument("words", nargs="+", help="what to look for")
    found.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (20)")
    gone = actions.add_parser("forget", help="have a memory count no more")
    gone.add_argument("position", type=int, help="its event")
    gone.add_argument("--reason", default="asked for", help="kept in the ledger for good")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    home = Home.find(arguments.home)
    match arguments.action:
        case "add":
            text = _text(arguments.words, arguments.file)
            return _add(home, text, arguments.project, as_json=arguments.json)
        case "list":
            return _list(home, arguments)
        case "show":
            return _show(home, arguments.position, as_json=arguments.json)
        case "search":
            return _search(home, arguments)
    return _forget(home, arguments.position, arguments.reason, as_json=arguments.json)


def _text(words: list[str], file: Path | None) -> str:
    if bool(words) == (file is not None):
        raise TimmyError(
            "give the memory as words, as - or as --file FILE: one of them",
            hint="timmy memory add --help",
        )
    if file is not None:
        text = _read(file)
    else:
        text = standard_input() if words == ["-"] else " ".join(words)
    size = len(text.encode())
    if size > MEMORY_BYTES_MAX:
        raise _too_long(f"{size} bytes")
    if not text.strip():
        raise TimmyError("the memory is blank", hint="timmy memory add WORDS, or --file FILE")
    return text


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(MEMORY_BYTES_MAX + 1)
        if len(data) > MEMORY_BYTES_MAX:
            raise _too_long(f"more than {MEMORY_BYTES_MAX} bytes in {file}")
        return data.decode()
    except OSError as error:
        raise TimmyError(
            f"{file} cannot be read: {error.strerror}", hint="name a file of text"
        ) from error
    except UnicodeDecodeError as error:
        raise TimmyError(f"{file} is not UTF-8 at byte {error.start}", hint=UTF8_HINT) from error


def _too_long(size: str) -> TimmyError:
    return TimmyError(
        f"memory of {size}, at most {MEMORY_BYTES_MAX}",
        hint="add it in parts, or send it as a message: timmy say -",
    )


def _add(home: Home, text: str, folder: Path | None, *, as_json: bool) -> int:
    body = {"text": text, "author": _AUTHOR, "gateway": "cli", "key": secrets.token_hex(16)}
    project = None if folder is None else project_hash(folder)
    try:
        more = {} if project is None else {"project": project.hex()}
        done = Client.find(home).call("POST", "/v1/memory", body | more)
    except NotRunning:
        done = _add_here(home, text, project)
    if as_json:
        console.out_json(done)
        return 0
    if done["withheld"]:
        console.out(f"kept as event {done['position']}; no agent and no model is shown it")
    else:
        console.out(f"remembered as event {done['position']}")
    if done["payload"]["screen"] != SCREEN_PASS:
        console.out(f"\n{ANSWER}")
    return 0


def _add_here(home: Home, text: str, project: bytes | None) -> dict[str, Any]:
    from runtime.gateway import memory

    with appending(home) as log:
        draft = asyncio.run(memory(text, author=_AUTHOR, gateway="cli", project=project))
        (event,) = log.append_now(draft)
    with reading(home):  # search takes it in
        pass
    return console.row(event) | {"withheld": event.payload["screen"] != SCREEN_PASS}


@contextmanager
def _view(home: Home) -> "Iterator[Remembered]":
    from node.agent.remembered import remembered

    with remembered(home) as view:
        yield view


def _list(home: Home, arguments: argparse.Namespace) -> int:
    project = None if arguments.project is None else project_hash(arguments.project)
    last, kind = max(0, arguments.last), arguments.kind
    try:
        more = {"project": None if project is None else project.hex(), "kind": kind}
        asked = path("v1", "memories", last=last, all=int(arguments.all), **more)
        rows = Client.find(home).call("GET", asked)
    except NotRunning:
        with _view(home) as view:
            rows = view.rows(last=last, kind=kind, project=project, ended=arguments.all)
    if arguments.json:
        console.out_json(rows)
    else:
        _table(rows)
    return 0


def _table(rows: list[dict[str, Any]]) -> None:
    console.table(
        ["event", "when", "kind", "by", "counts", "says"],
        (
            [
                str(row["position"]), console.when(row["ts_ms"]), row["memory_type"], row["by"],
                _counts(row), (row["content"] or {}).get("text", "(erased)"),
            ]
            for row in rows
        ),
    )  # fmt: skip


def _counts(row: dict[str, Any]) -> str:
    return f"{row['relevance_score']:.2f}" if row["status"] == "counts" else row["status"]


def _show(home: Home, position: int, *, as_json: bool) -> int:
    try:
        row = Client.find(home).call("GET", path("v1", "memories", position))
    except NotRunning:
        with _view(home) as view:
            row = view.get(position)
    if as_json:
        console.out_json(row)
        return 0
    ended = "" if row["ended_by"] is None else f" by event {row['ended_by']}"
    until = row["expires_at"]
    facts = {
        "event": str(row["position"]),
        "noted": console.when(row["ts_ms"]),
        "kind": row["memory_type"],
        "by": row["by"],
        "from": ", ".join(map(str, row["sources"])) or "nothing but itself",
        "conversation": row["source_session_id"] or "none",
        "project": row["project_hash"] or "none",
        "status": row["status"] + ended,
        "counts": f"{row['relevance_score']:.3f} now; confidence {row['confidence']}, importance"
        f" {row['importance']}",
        "contradicts": ", ".join(map(str, row["contradicts"])) or "nothing",
        "expires": "never" if until is None else console.when(until * 1000),
    }
    console.table([], ([name, value] for name, value in facts.items()))
    console.out(console.safe(row["marker"] or "(its words are erased)"))
    return 0


def _search(home: Home, arguments: argparse.Namespace) -> int:
    words, limit = " ".join(arguments.words), max(1, arguments.limit)
    try:
        rows = Client.find(home).call("GET", path("v1", "memories", q=words, limit=limit))
    except NotRunning:
        with _view(home) as view:
            rows = view.search(home.views, words, limit=limit)
    if arguments.json:
        console.out_json(rows)
    elif rows:
        _table(rows)
    else:
        console.say("nothing found")
    return 0 if rows else 1


def _forget(home: Home, position: int, why: str, *, as_json: bool) -> int:
    try:
        body = {"action": "forget", "reason": why}
        done = Client.find(home).call("POST", path("v1", "memories", position), body)
    except NotRunning:
        from node.agent.remembered import folded
        from node.agent.remembering import forgetting

        with appending(home) as log:
            (event,) = log.append_now(forgetting(folded(log), position, by=_AUTHOR, why=why))
        done = console.row(event)
    if as_json:
        console.out_json(done)
    else:
        console.out(f"event {position} counts no more; its words are still in the ledger")
    return 0
