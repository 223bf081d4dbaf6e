"""Let the agent speak again with someone the crisis screen holds. Only a person should do this.

Who is held: timmy status
"""

import argparse

from node import console
from node.client import Client
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("author", help="who is held")
    parser.add_argument("--conversation", default="main", help="in which conversation (main)")


def run(arguments: argparse.Namespace) -> int:
    """Lift the hold."""
    body = {"author": arguments.author, "conversation": arguments.conversation}
    done = Client.find(Home.find(arguments.home)).call("POST", "/v1/release", body)
    if arguments.json:
        console.out_json(done)
    else:
        console.out(f"{arguments.author} may talk again; event {done['position']} says so")
    return 0
