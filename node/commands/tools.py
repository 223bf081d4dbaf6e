"""What the agent can do: its tools.

    timmy tools list
    timmy tools show read_file
    timmy tools call list_files '{"pattern": "*.py"}'   as you: a rule that asks is answered yes
    timmy tools add weather --url http://127.0.0.1:9000/weather --description "The weather."
    timmy tools remove weather

A program over HTTP gets POST requests with the header Timmy-Tool-Secret; its secret is printed
once, when it is added. docs/TOOLS.md says what it is sent and what it answers.
"""

import argparse
import json
from typing import Any, Final

from attest.verify.plain import one_line
from ledger.core.errors import TimmyError
from node import console
from node.client import Client, path
from node.home import Home

_CALL_S: Final = 700
"""Longer than the longest call may take."""
_ABOUT_CHARS: Final = 70


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every tool")
    for name, about in (("show", "one, with its arguments"), ("remove", "take out one over HTTP")):
        actions.add_parser(name, help=about).add_argument("name", metavar="NAME")
    call = actions.add_parser("call", help="call one")
    call.add_argument("name", metavar="NAME")
    call.add_argument("arguments", nargs="?", default="{}", metavar="JSON", help="an object")
    add = actions.add_parser("add", help="register a program over HTTP")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--url", required=True, help="on this machine, or an allowed host by https")
    add.add_argument("--description", required=True, help="what a model is told of it")
    add.add_argument("--schema", default='{"type": "object"}', help="JSON Schema of its arguments")
    add.add_argument("--reads", action="store_true", help="it changes nothing: calls may repeat")
    add.add_argument("--seconds", type=int, default=30, help="how long a call may take (30)")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action; exit 1 if a call ended in an error."""
    client = Client.find(Home.find(arguments.home))
    match arguments.action:
        case "list":
            return _list(client, as_json=bool(arguments.json))
        case "show":
            console.out_json(client.call("GET", path("v1", "tools", arguments.name)))
        case "remove":
            client.call("DELETE", path("v1", "tools", arguments.name))
            console.out(f"removed {arguments.name}")
        case "add":
            return _add(client, arguments)
        case "call":
            return _call(client, arguments)
    return 0


def _list(client: Client, *, as_json: bool) -> int:
    found = client.call("GET", "/v1/tools")
    if as_json:
        console.out_json(found)
        return 0
    rows = [
        (one["name"], one["toolset"], one["effect"], one["permission"], one["reach"],
         one["description"][:_ABOUT_CHARS])
        for one in found["tools"]
    ]  # fmt: skip
    console.table(("tool", "toolset", "effect", "rules name it", "reach", "what"), rows)
    return 0


def _add(client: Client, arguments: argparse.Namespace) -> int:
    body = {
        "name": arguments.name,
        "description": arguments.description,
        "schema": _object(arguments.schema, "--schema"),
        "url": arguments.url,
        "effect": "reads" if arguments.reads else "writes",
        "seconds": arguments.seconds,
    }
    added = client.call("POST", "/v1/tools", body)
    if arguments.json:
        console.out_json(added)
        return 0
    console.out(f"added {arguments.name}; no rule names it yet, so you are asked about each call")
    console.out(f"its secret, shown this once: {added['secret']}")
    return 0


def _call(client: Client, arguments: argparse.Namespace) -> int:
    body = {"arguments": _object(arguments.arguments, "JSON")}
    said = client.call("POST", path("v1", "tools", arguments.name, "call"), body, timeout=_CALL_S)
    if arguments.json:
        console.out_json(said)
    else:
        console.out(console.safe(said["text"]))
        if said["is_error"]:
            console.say(one_line(f"{said['outcome']} (event {said['event']})"))
    return 1 if said["is_error"] else 0


def _object(text: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TimmyError(f"{name} is not JSON", hint='for example \'{"path": "."}\'') from error
    if not isinstance(value, dict):
        raise TimmyError(f"{name} is not a JSON object", hint='for example \'{"path": "."}\'')
    return value
