"""Print the signed checkpoint of everything so far: a C2SP note that anyone may keep.

With a running node this is fresh; without one it is the last head that was released.
"""

import argparse

from node import console
from node.client import Client, NotRunning
from node.home import Home
from node.open import reading


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print the head."""
    home = Home.find(arguments.home)
    try:
        found = Client.find(home).call("GET", "/v1/head")
    except NotRunning:
        with reading(home) as opened:
            head = opened.released()
            found = {
                "size": head.size,
                "root": head.root.hex(),
                "origin": head.checkpoint.origin,
                "note": head.encode().decode(),
            }
    if arguments.json:
        console.out_json(found)
    else:
        console.out(found["note"].rstrip("\n"))
    return 0
