"""Say something to the agent and print its answer.

timmy say what do you remember about the roof
timmy say --conversation letters - < letter.txt     read it from standard input
"""

import argparse
import secrets
import sys
from typing import Any, Final

from ledger.core.errors import TimmyError
from node import console
from node.client import Client
from node.home import Home
from runtime.core.limits import TEXT_BYTES_MAX

UTF8_HINT: Final = "send text in UTF-8; iconv turns other encodings into it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("words", nargs="+", help="what to say; - reads standard input")
    parser.add_argument("--conversation", default="main", help="which conversation (main)")
    parser.add_argument("--author", default="operator", help="who says it (operator)")
    parser.add_argument("--wait", type=int, default=600, metavar="SECONDS", help="for the answer")


def run(arguments: argparse.Namespace) -> int:
    """Say it; exit 1 if no answer came in time."""
    text = standard_input() if arguments.words == ["-"] else " ".join(arguments.words)
    said = say(
        Client.find(Home.find(arguments.home)),
        text,
        conversation=arguments.conversation,
        author=arguments.author,
        wait_s=arguments.wait,
    )
    if arguments.json:
        console.out_json(said)
    elif said["answer"] is None:
        console.say(f"no answer yet; your message is event {said['message']['position']}")
    else:
        console.out(answer_text(said))
    return 0 if said["answer"] is not None else 1


def say(
    client: Client, text: str, *, conversation: str, author: str, wait_s: int
) -> dict[str, Any]:
    """Send one message and return {message, answer}."""
    _check(text)
    body = {
        "text": text,
        "conversation": conversation,
        "author": author,
        "gateway": "cli",
        "wait_s": wait_s,
        "key": secrets.token_hex(16),
    }
    said: dict[str, Any] = client.call("POST", "/v1/say", body, timeout=wait_s + 30)
    return said


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
