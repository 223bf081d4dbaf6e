"""Drafts of skills that the agent made from patterns, for you to judge.

    timmy skills list             every draft, and what became of it
    timmy skills show 812         one, with its words
    timmy skills adopt 812        put it into <home>/skills/<name>/SKILL.md
    timmy skills reject 812       it stays a draft that nobody follows

Until it is adopted a draft is in no prompt and no tool has it. Read it before: it is made of what
was said, also by others. A pattern is drafted once. How to write one yourself: docs/MEMORY.md
"""

import argparse
from typing import Any

from node import console
from node.client import Client, NotRunning, path
from node.home import Home

_JUDGING = {"adopt": "have the agent follow a draft", "reject": "have nobody follow it"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="list drafts")
    for action, about in {"show": "show one draft", **_JUDGING}.items():
        actions.add_parser(action, help=about).add_argument("position", type=int, help="its event")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action; judging wants a running node."""
    home = Home.find(arguments.home)
    if arguments.action in _JUDGING:
        asked = path("v1", "skills", arguments.position)
        found: Any = Client.find(home).call("POST", asked, {"action": arguments.action})
    elif arguments.action == "show":
        found = _one(home, arguments.position)
    else:
        found = _all(home)
    if arguments.json:
        console.out_json(found)
    elif arguments.action == "list":
        console.table(
            ["event", "when", "name", "seen", "status"],
            (
                [str(row["position"]), console.when(row["ts_ms"]), row["name"], str(row["seen"]),
                 row["status"]]
                for row in found
            ),
        )  # fmt: skip
    elif arguments.action == "show":
        console.out(console.safe(found["text"] or "(its words are erased)"))
    elif arguments.action == "adopt":
        console.out(f"the agent reads it from {found['file']}")
    else:
        console.out(f"event {arguments.position} stays a draft")
    return 0


def _all(home: Home) -> Any:
    try:
        return Client.find(home).call("GET", "/v1/skills")
    except NotRunning:
        from node.agent.remembered import remembered

        with remembered(home) as view:
            return view.skills()


def _one(home: Home, position: int) -> Any:
    try:
        return Client.find(home).call("GET", path("v1", "skills", position))
    except NotRunning:
        from node.agent.remembered import remembered

        with remembered(home) as view:
            return view.skill(position)
