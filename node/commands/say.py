"""Say something to the agent and print its answer.

timmy say what do you remember about the roof
timmy say --conversation letters - < letter.txt     read it from standard input
"""

import argparse
import secrets
import sys
from collections.abc import Callable
from typing import Any, Final

from attest.verify.plain import one_line
from ledger.core.errors import TimmyError
from node import console
from node.client import Client, NodeSaid
from node.home import Home
from runtime.core.limits import TEXT_BYTES_MAX

UTF8_HINT: Final = "send text in UTF-8; iconv turns other encodings into it"

_ANEW: Final = "(that was a draft; the answer is)"

WORDS: Final = "words"
"""Words may stand on both sides of options."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("words", nargs="+", help="what to say; - reads standard input")
    parser.add_argument("--conversation", default="main", help="which conversation (main)")
    parser.add_argument("--author", default="operator", help="who says it (operator)")
    parser.add_argument("--wait", type=int, default=600, metavar="SECONDS", help="for the answer")


def run(arguments: argparse.Namespace) -> int:
    """Say it; exit 1 if no answer came in time."""
    text = standard_input() if arguments.words == ["-"] else " ".join(arguments.words)
    screen = None if arguments.json or not sys.stdout.isatty() else Screen()
    said = say(
        Client.find(Home.find(arguments.home)),
        text,
        conversation=arguments.conversation,
        author=arguments.author,
        wait_s=arguments.wait,
        screen=screen,
    )
    if arguments.json:
        console.out_json(said)
    elif said["answer"] is None:
        console.say(unanswered(said))
    elif screen is not None:
        screen.end(answer_text(said))
    else:
        console.out(answer_text(said))
    if not arguments.json and (told := answered_by(said)) is not None:
        console.aside(told)
    return 0 if said["answer"] is not None else 1


class Screen:
    """Shows an answer on a terminal while it comes."""

    def __init__(self) -> None:
        self._shown = ""

    def draft(self, text: str, *, anew: bool) -> None:
        """Show more of it; `anew`: what was shown is void."""
        if anew:
            console.more(f"\n{_ANEW}\n")
            self._shown = ""
        console.more(console.safe(text))
        self._shown += console.safe(text)

    def end(self, answer: str) -> None:
        """Show the rest of the answer; all of it, if it is not what was shown."""
        if not answer.startswith(self._shown):
            console.more(f"\n{_ANEW}\n")
            self._shown = ""
        console.out(answer.removeprefix(self._shown))


def say(
    client: Client,
    text: str,
    *,
    conversation: str,
    author: str,
    wait_s: int,
    screen: Screen | None = None,
    asked: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Send one message; return {message, answer, link, tried, link_before}.

    `screen` shows the answer as it comes; `asked` is told of each call of a tool that waits for a
    yes.
    """
    _check(text)
    body = {
        "text": text,
        "conversation": conversation,
        "author": author,
        "gateway": "cli",
        "wait_s": wait_s,
        "key": secrets.token_hex(16),
    }
    timeout = wait_s + 30
    if screen is None and asked is None:
        said: dict[str, Any] = client.call("POST", "/v1/say", body, timeout=timeout)
        return said
    for name, value in client.stream("/v1/say", body | {"stream": True}, timeout=timeout):
        if name == "said":
            return value
        if name == "approval" and asked is not None:
            asked(value)
        elif name == "draft" and screen is not None:
            screen.draft(value["text"], anew=value["anew"])
    raise NodeSaid("the node went away before it had answered", hint="timmy log --last 5")


def unanswered(said: dict[str, Any]) -> str:
    """What to tell somebody whose message has no answer."""
    event = f"your message is event {said['message']['position']}"
    if why := said.get("kept"):
        return console.safe(f"kept, not answered: {why}; it will be answered then; {event}")
    return f"no answer yet; {event}"


def answered_by(said: dict[str, Any]) -> str | None:
    """One line about who answered, if it is another link than before, or one failed; else None."""
    link, before = said.get("link"), said.get("link_before")
    failed = [one for one in said.get("tried", ()) if one.get("failed", True)]
    if link is None or (not failed and before in (None, link)):
        return None
    changed = "" if before in (None, link) else f", before that {before}"
    why = "".join(f"; {one['name']}: {one['reason']}" for one in failed)
    return one_line(f"(answered by {link}{changed}{why})")


def answer_text(said: dict[str, Any]) -> str:
    """The words of an answer."""
    content = said["answer"]["content"] or {}
    return console.safe(str(content.get("text", "(redacted)")))


def standard_input() -> str:
    """Return standard input as text. Raises TimmyError if it is not UTF-8."""
    data = sys.stdin.buffer.read()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise TimmyError(
            f"standard input is not UTF-8 at byte {error.start}", hint=UTF8_HINT
        ) from error


def _check(text: str) -> None:
    """Refuse what the node would refuse, before megabytes travel."""
    size = len(text.encode())
    if size > TEXT_BYTES_MAX:
        raise TimmyError(
            f"message of {size} bytes, at most {TEXT_BYTES_MAX}", hint="send it in parts"
        )
    if not text.strip():
        raise TimmyError("the message is blank", hint="timmy say WORDS, or - for standard input")
