"""The fleet bus: how it is, and the key by which a NATS server knows this node.

timmy bus            which engine, whether it is up, what is wrong with it; exit 1 while it is down
timmy bus key FILE   make an NKey in a new file of mode 0600, and show its public part

The public part goes into the server's configuration:
authorization { users: [ { nkey: U... } ] }. docs/spec/mesh.md, "The bus", has a whole one.
"""

import argparse
import secrets
from pathlib import Path
from typing import Any

from attest.verify.plain import one_line
from genesis.keys import private
from ledger.core.errors import TimmyError
from mesh.core.fleet.nkeys import SEED_BYTES, UserKey
from node import console
from node.client import Client
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", nargs="?", default="show", choices=["show", "key"])
    parser.add_argument("file", nargs="?", type=Path, help="key: a new file")


def run(arguments: argparse.Namespace) -> int:
    """Ask the node, or make a key."""
    if (arguments.action == "key") != (arguments.file is not None):
        raise TimmyError("key takes a file, and nothing else does", hint="timmy bus key FILE")
    if arguments.action == "key":
        return _key(arguments.file.absolute(), as_json=arguments.json)
    status = Client.find(Home.find(arguments.home)).call("GET", "/v1/status", timeout=10)
    bus = status["bus"]
    if arguments.json:
        console.out_json(bus)
    else:
        console.out(text(bus))
    return 0 if bus["state"] == "up" else 1


def text(bus: dict[str, Any]) -> str:
    """Return one line about a bus."""
    if bus["engine"] == "local":
        return "local: no server; live words go from member to member"
    told = f"{bus['engine']} {bus['state']} at {bus['address']}"
    told += f": {bus['fault']}" if bus["fault"] else ""
    missed = f"; {bus['missed']} messages missed by slow readers" if bus["missed"] else ""
    return one_line(f"{told}{missed}")


def _key(file: Path, *, as_json: bool) -> int:
    key = UserKey(secrets.token_bytes(SEED_BYTES))
    private.create(file, key.seed.encode() + b"\n")
    if as_json:
        console.out_json({"file": str(file), "public": key.public})
    else:
        console.out(f"{file}: the secret, for mesh.bus.nkey_file; nobody else needs it")
        console.out(f"{key.public}: the public part, for the server")
    return 0
