"""Print the commented default configuration; put what you change into <home>/node.toml."""

import argparse

from node import console
from node.config import default_text, load
from node.home import Home


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print the default, or with --json what is in force in this home."""
    if arguments.json:
        import msgspec

        console.out_json(msgspec.to_builtins(load(Home.find(arguments.home).config)))
    else:
        console.out(default_text().rstrip())
    return 0
