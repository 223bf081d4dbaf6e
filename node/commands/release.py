"""Let the agent speak again with someone the crisis screen holds. Only a person should do this.

A hold is on an author, in every conversation: whoever goes by that name. Who is held, since which
event, and where it began: timmy status
"""

import argparse

from attest.verify.plain import one_line
from node import console
from node.client import Client
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("author", help="who is held")
    parser.add_argument(
        "--conversation", help="not needed, and changes nothing: a hold is lifted everywhere"
    )


def run(arguments: argparse.Namespace) -> int:
    """Lift the hold."""
    body = {"author": arguments.author}
    done = Client.find(Home.find(arguments.home)).call("POST", "/v1/release", body)
    if arguments.json:
        console.out_json(done)
    else:
        began = ", ".join(one_line(name) for name in done["conversations"])
        console.out(
            f"{arguments.author} may talk again, in every conversation (the hold began in {began});"
            f" event {done['position']} says so"
        )
    return 0
