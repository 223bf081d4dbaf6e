"""A conversation on this terminal. An empty line or Ctrl-D ends it; everything is in the ledger."""

import argparse
import sys

from node import console
from node.client import Client
from node.commands.say import answer_text, say
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
    while True:
        try:
            text = input(prompt)
        except EOFError:
            return 0
        if not text.strip():
            return 0
        said = say(
            client,
            text,
            conversation=arguments.conversation,
            author=arguments.author,
            wait_s=600,
        )
        answer = answer_text(said) if said["answer"] else "(no answer in ten minutes)"
        console.out(f"{console.one_line(name)}: {answer}")
