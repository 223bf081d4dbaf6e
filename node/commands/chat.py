"""A conversation on this terminal. An empty line or Ctrl-D ends it; everything is in the ledger.

Answers appear as they come. Ctrl-C stops one that takes too long, and ends the chat at the prompt.
When the agent wants to do what a rule asks about, you are asked here: y makes the call, anything
else does not.
--last N shows how the conversation went before (on a terminal the last 3 exchanges).
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from attest.verify.plain import one_line
from ledger.core.errors import TimmyError
from node import console
from node.client import Client, path
from node.commands.approvals import approve
from node.commands.say import UTF8_HINT, Screen, answer_text, answered_by, say, unanswered
from node.home import Home
from runtime.core.skins import COLOURS

_WAIT_S: Final = 600
_STOP_S: Final = 60
"""A machine that is busy elsewhere may take its time; a person sees at once that it was heard."""
_COLOURS: Final = {name: 31 + place for place, name in enumerate(COLOURS)}
"""ANSI, in its order."""
_SHOWN: Final = 3
"""Exchanges that a person sees of before: half a screen."""
_ROWS: Final = 1000
"""Messages and answers of all conversations that are looked through for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a chat calls the agent, and in which colour: its skin's, or its own name."""

    name: str
    colour: str = ""

    @property
    def label(self) -> str:
        """The name, coloured on a terminal that shows colours."""
        name = one_line(self.name)
        number = _COLOURS.get(self.colour)
        plain = number is None or not sys.stdout.isatty() or "NO_COLOR" in os.environ
        return name if plain else f"\x1b[{number}m{name}\x1b[0m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--conversation", default="main", help="which conversation (main)")
    parser.add_argument("--author", default="operator", help="who you are (operator)")
    parser.add_argument("--last", type=int, metavar="N", help="show so many exchanges from before")


def run(arguments: argparse.Namespace) -> int:
    """Talk until the person is done."""
    client = Client.find(Home.find(arguments.home))
    name = client.call("GET", "/v1/status", timeout=10)["name"]
    skin = client.call("GET", path("v1", "worn", conversation=arguments.conversation)) or {}
    look = Look(name=skin.get("label") or name, colour=skin.get("colour") or "")
    prompt = f"{arguments.author}> " if sys.stdin.isatty() else ""
    shown = _SHOWN if arguments.last is None and sys.stdin.isatty() else arguments.last or 0
    exchanges = _before(client, arguments.conversation, shown)
    if not arguments.json:
        _show(look, exchanges)
        if skin.get("greeting") and not exchanges:
            console.out(f"{look.label}: {one_line(skin['greeting'])}")
    for text in _lines(prompt):
        if not arguments.json:
            console.more(f"{look.label}: ")
        said = _exchange(client, text, arguments)
        if said is not None:
            exchanges.append(said)
    if arguments.json:
        console.out_json(exchanges)
    return 0


def _before(client: Client, conversation: str, last: int) -> list[dict[str, Any]]:
    """Return the last exchanges of a conversation, oldest first, as {message, answer}."""
    if last < 1:
        return []
    rows = client.call("GET", path("v1", "log", last=_ROWS, type="message"))
    mine = [row for row in rows if row["payload"].get("conversation") == conversation]
    answers = {row["payload"]["message"]: row for row in mine if row["type"] == "message.sent"}
    said = [row for row in mine if row["type"] == "message.received"]
    return [{"message": row, "answer": answers.get(row["position"])} for row in said[-last:]]


def _show(look: Look, exchanges: list[dict[str, Any]]) -> None:
    for one in exchanges:
        words = (one["message"]["content"] or {}).get("text", "(redacted)")
        who = f"{one['message']['payload']['author']}, {console.when(one['message']['ts_ms'])}"
        console.out(f"{one_line(who)}> {console.safe(str(words))}")
        console.out(f"{look.label}: {answer_text(one) if one['answer'] else '(no answer yet)'}")


def _exchange(client: Client, text: str, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Say one thing and show the answer; None if the person stopped it."""
    who = {"conversation": arguments.conversation, "author": arguments.author}
    screen = Screen() if sys.stdout.isatty() and not arguments.json else None
    try:
        said = say(
            client, text, **who, wait_s=_WAIT_S, screen=screen,
            asked=lambda question: approve(client, question, quiet=bool(arguments.json)),
        )  # fmt: skip
    except KeyboardInterrupt:
        console.say("stopped")
        client.call("POST", "/v1/cancel", who, timeout=_STOP_S)
        return None
    if arguments.json:
        return said
    answer = answer_text(said) if said["answer"] else f"({unanswered(said)})"
    if screen is None:
        console.out(answer)
    else:
        screen.end(answer)
    if (told := answered_by(said)) is not None:
        console.aside(told)
    return said


def _lines(prompt: str) -> Iterator[str]:
    """Yield what the person types until an empty line or the end."""
    while True:
        try:
            text = input(prompt)
            text.encode()
        except EOFError:
            return
        except UnicodeError as error:
            raise TimmyError("what was typed is not UTF-8", hint=UTF8_HINT) from error
        if not text.strip():
            return
        yield text
