"""Give the agent something to remember, and list what it remembers.

    timmy memory add The roof was tiled in 1962.
    timmy memory add --file letter.txt          up to 64 KiB of UTF-8
    timmy memory add - < letter.txt             from standard input
    timmy memory list                           the newest 20, the agent's own notes among them

timmy search finds memories and messages alike, and the agent recalls both and names the event. The
newest memories are in every prompt that a model gets: keep them short. The crisis screen reads a
memory as it reads a message; one that meets it is kept, and shown to no agent and no model.
Without a running node the ledger is opened here. To take a memory back: timmy redact EVENT.
"""

import argparse
import asyncio
from itertools import islice
from pathlib import Path
from typing import Any

from ledger.core.errors import TimmyError
from ledger.core.types import MEMORY_NOTED
from node import console
from node.client import Client, NotRunning
from node.commands.log import show
from node.commands.say import UTF8_HINT, standard_input
from node.home import Home
from node.open import appending, reading
from runtime.core.agenda import SCREEN_PASS
from runtime.core.crisis import ANSWER
from runtime.core.limits import MEMORY_BYTES_MAX

_AUTHOR = "operator"
_ROWS_MAX = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="record something to remember")
    add.add_argument("words", nargs="*", help="what to remember; - reads standard input")
    add.add_argument("--file", type=Path, help="take the words from a file")
    listed = actions.add_parser("list", help="list memories, newest last")
    listed.add_argument("--last", type=int, default=20, metavar="N", help="how many (20)")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    home = Home.find(arguments.home)
    if arguments.action == "add":
        return _add(home, _text(arguments.words, arguments.file), as_json=arguments.json)
    return _list(home, arguments.last, as_json=arguments.json)


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


def _add(home: Home, text: str, *, as_json: bool) -> int:
    body = {"text": text, "author": _AUTHOR, "gateway": "cli"}
    try:
        done = Client.find(home).call("POST", "/v1/memory", body)
    except NotRunning:
        done = _add_here(home, text)
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


def _add_here(home: Home, text: str) -> dict[str, Any]:
    from runtime.gateway import memory

    with appending(home) as log:
        draft = asyncio.run(memory(text, author=_AUTHOR, gateway="cli"))
        (event,) = log.append_now(draft)
    with reading(home):  # search takes it in
        pass
    return console.row(event) | {"withheld": event.payload["screen"] != SCREEN_PASS}


def _list(home: Home, last: int, *, as_json: bool) -> int:
    with reading(home) as opened:
        backwards = (opened.log.read(at) for at in range(opened.log.size - 1, -1, -1))
        noted = (event for event in backwards if event.type == MEMORY_NOTED.name)
        events = list(islice(noted, max(0, min(last, _ROWS_MAX))))[::-1]
    if as_json:
        console.out_json([console.row(event) for event in events])
    else:
        show(events)
    return 0
