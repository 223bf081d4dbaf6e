"""What the agent is told of the folder it works in: context files, screened before they are shown.

    timmy context list
    timmy context show AGENTS.md
    timmy context allow 412                     what event 412 read, as `show` named it

node.toml names them ([context] files). A changed file is read before the next turn and recorded.
One that reads like commands in disguise ("ignore all previous instructions") is recorded too and
stays out of every prompt until you looked at it and allow that very content.
"""

import argparse

from ledger.core.errors import TimmyError
from node import console
from node.client import Client, path
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="list context files, and whether they are shown")
    shown = actions.add_parser("show", help="print one as prompts show it, and its event")
    shown.add_argument("name")
    allow = actions.add_parser("allow", help="have one told although something in it is suspect")
    allow.add_argument("event", type=int, help="the event that `show` names: that very content")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    client = Client.find(Home.find(arguments.home))
    if arguments.action == "allow":
        done = client.call("POST", "/v1/contexts/allow", {"event": arguments.event})
        told = f"what event {arguments.event} read is shown"
        console.out_json(done) if arguments.json else console.out(told)
        return 0
    rows = client.call("GET", "/v1/contexts")
    if arguments.action == "list":
        if arguments.json:
            console.out_json(rows)
        else:
            cells = ([row["name"], "yes" if row["shown"] else "no", _why(row)] for row in rows)
            console.table(["file", "shown", "why not, or what was found"], cells)
        return 0
    for row in rows:
        if row["name"] == arguments.name and "event" in row:
            break
    else:
        raise TimmyError(
            f"there is no context file {arguments.name[:60]!r}", hint="timmy context list"
        )
    event = client.call("GET", path("v1", "events", str(row["event"])))
    if arguments.json:
        console.out_json(event)
    else:
        console.out(console.safe((event["content"] or {}).get("text", "(redacted)")))
        if not row["shown"]:
            console.say(f"suspect: {_why(row)}; to show it: timmy context allow {row['event']}")
    return 0


def _why(row: dict[str, object]) -> str:
    if "why" in row:
        return str(row["why"])
    findings = row["findings"]
    assert isinstance(findings, list)
    found = [f"{one['rule']} in line {one['line']}" for one in findings]
    left = [f"{row['left_out']} characters left out"] if row["left_out"] else []
    return "; ".join([*found, *left])
