"""Put checkpoints into Bitcoin, in a chain of transactions that nobody can fork.

    timmy anchor fund      the address that pays for it
    timmy anchor open      open the seal (once; needs a coin at that address)
    timmy anchor now       anchor everything so far
    timmy anchor status    where it stands

Each transaction spends the seal of the one before it: two histories would be a double spend. The
network is the one the agent was born on; regtest and signet prove nothing about time.
"""

import argparse
from typing import Any

from node import console
from node.client import Client
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=["fund", "open", "now", "status"])


def run(arguments: argparse.Namespace) -> int:
    """Ask the node."""
    client = Client.find(Home.find(arguments.home))
    found = client.call("POST", "/v1/anchor", {"action": arguments.action})
    if arguments.json:
        console.out_json(found)
    elif arguments.action == "fund":
        console.out(found["funding_address"])
    else:
        _show(found)
    return 0


def _show(found: dict[str, Any]) -> None:
    console.out(f"network  {found['network']}")
    console.out(f"funding  {found['funding_address']}")
    if found["waiting"]:
        console.out(f"waiting  {console.one_line(found['waiting'])}")
    rows = [
        [
            str(index),
            link["kind"],
            str(link["height"] or "-"),
            link["standing"],
            str(link["fee_sat"]),
            link["txid"],
        ]
        for index, link in enumerate(found["links"])
    ]
    if rows:
        console.table(["link", "kind", "block", "standing", "fee", "transaction"], rows)
