"""What the agent made, reported to its peers with a digest, and what they made.

    timmy artifacts report git-commit 3f2a...    record it, and tell the peers of [bridge]
    timmy artifacts list                         reported, received from peers, and their receipts

Reporting is public: type and digest go to relays under the agent's own key. The artifact does not.
"""

import argparse

from node import console
from node.client import Client
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="what was reported, received and receipted")
    report = actions.add_parser("report", help="tell the peers what the agent made")
    report.add_argument("type", help="for example git-commit")
    report.add_argument("digest", help="40 or 64 characters of hex")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    client = Client.find(Home.find(arguments.home))
    if arguments.action == "report":
        body = {"type": arguments.type, "digest": arguments.digest.lower()}
        found = client.call("POST", "/v1/artifacts", body, timeout=30)
    else:
        found = client.call("GET", "/v1/artifacts?last=100", timeout=30)
    if arguments.json:
        console.out_json(found)
    elif arguments.action == "report":
        console.out(f"event {found['position']} says so, and the peers are told")
    else:
        console.table(
            ["event", "when", "what", "type", "digest", "whose"],
            (
                [
                    str(row["position"]),
                    console.when(row["ts_ms"]),
                    row["type"].removeprefix("artifact."),
                    str(row["payload"].get("kind", "")),
                    str(row["payload"]["digest"]),
                    str(row["payload"].get("author", "")),
                ]
                for row in found
            ),
        )
    return 0
