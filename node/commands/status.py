"""Tell whether the node answers, and how it is. Exit 0 only if it answers."""

import argparse

from node import console
from node.client import Client
from node.home import Home


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Ask the node."""
    status = Client.find(Home.find(arguments.home)).call("GET", "/v1/status", timeout=10)
    if arguments.json:
        console.out_json(status)
        return 0
    head = status.pop("head")
    for name, value in status.items():
        console.out(f"{name:18} {_text(value)}")
    console.out(f"{'head':18} size {head['size']}, root {head['root']}, epoch {head['epoch']}")
    return 0


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "none"
    if isinstance(value, dict):
        return " ".join(f"{key} {item}" for key, item in value.items())
    return console.one_line(str(value))
