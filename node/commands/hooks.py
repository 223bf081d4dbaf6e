"""Webhooks: what others tell this node, signed with a secret that both know; docs/GATEWAYS.md.

    timmy hooks list
    timmy hooks add builds --conversation builds < secret.txt     each delivery is said there
    timmy hooks add deploy --job deploy < secret.txt              each delivery runs the job
    timmy hooks add other --conversation other --signature timmy < secret.txt

The secret is read from standard input and kept in a file of mode 0600; the node takes a hook up at
its next start. What is signed how: github (X-Hub-Signature-256, as GitHub and many others send it)
or timmy, which also signs time and delivery id.
"""

import argparse
import sys

from genesis.keys import private
from ledger.core.errors import TimmyError
from node import console, settings
from node.agent.hooks import FOLDER, SECRET_BYTES_MAX, check_secret, read_hooks
from node.config import load
from node.home import Home
from node.settings import written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="the hooks of node.toml")
    add = actions.add_parser("add", help="write a hook into node.toml")
    add.add_argument("name", help="POST /v1/hooks/NAME")
    target = add.add_mutually_exclusive_group(required=True)
    target.add_argument("--conversation", default="", metavar="ROOM", help="deliveries are said in")
    target.add_argument("--job", default="", help="deliveries run this job")
    add.add_argument("--signature", choices=["github", "timmy"], default="github")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    home = Home.find(arguments.home)
    return _add(home, arguments) if arguments.action == "add" else _list(home, arguments)


def _list(home: Home, arguments: argparse.Namespace) -> int:
    hooks = load(home.config).hooks
    rows = [(one.name, one.signature, one.conversation, one.job) for one in hooks]
    if arguments.json:
        keys = ("name", "signature", "conversation", "job")
        console.out_json([dict(zip(keys, row, strict=True)) for row in rows])
    else:
        console.table(("hook", "signature", "conversation", "job"), rows)
    return 0


def _add(home: Home, arguments: argparse.Namespace) -> int:
    if not home.ledger.exists():
        raise TimmyError(f"there is no agent at {home.path}", hint="be born first: timmy init")
    before = home.config.read_text() if home.config.exists() else ""
    values = {
        "name": arguments.name,
        "conversation": arguments.conversation,
        "job": arguments.job,
        "signature": arguments.signature,
    }
    lines = [f"{key} = {written(value)}" for key, value in values.items() if value]
    section = "\n\n[[hooks]]\n" + "\n".join(lines) + "\n"
    secret = check_secret(sys.stdin.buffer.read(SECRET_BYTES_MAX + 1))
    config = settings.change(home.config, before.rstrip() + section)
    path = home.path / FOLDER / arguments.name
    try:
        private.make_folder(path.parent)
        private.create(path, secret + b"\n")
        try:
            read_hooks(home, config)
        except TimmyError:
            path.unlink()
            raise
    except TimmyError:
        settings.put(home.config, before)
        raise
    if arguments.json:
        console.out_json({"path": f"/v1/hooks/{arguments.name}"})
    else:
        console.out(f"POST /v1/hooks/{arguments.name}, from the next start of the node on")
    return 0
