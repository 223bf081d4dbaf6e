"""A conversation on this terminal. An empty line or Ctrl-D ends it; everything is in the ledger."""

import argparse
import sys
from collections.abc import Iterator

from ledger.core.errors import TimmyError
from node import console
from node.client import Client
from node.commands.say import UTF8_HINT, answer_text, say
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--conversation", default="main", help="which conversation (main)")
    parser.add_argument("--author", default="operator", help="who you are (operator)")


def run(arguments: argparse.Namespace) -> int:
    """Talk until the person is done."""
    client = Client.find(Home.find(arguments.home))
    name = client.call("GET", "/v1/status", timeout=10)["name"]
    prompt = f"{arguments.author}> " if sys.stdin.isatty() else ""
    exchanges = []
    for text in _lines(prompt):
        said = say(
            client,
            text,
            conversation=arguments.conversation,
            author=arguments.author,
            wait_s=600,
        )
        exchanges.append(said)
        if not arguments.json:
            answer = answer_text(said) if said["answer"] else "(no answer in ten minutes)"
            console.out(f"{console.one_line(name)}: {answer}")
    if arguments.json:
        console.out_json(exchanges)
    return 0


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
