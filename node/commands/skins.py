"""How the agent speaks: skins, signed by their authors, worn by conversations.

    timmy skins sign owl.toml -o owl.skin       sign one with your operator key
    timmy skins add owl.skin                    have it; the signature and the words are checked
    timmy skins use owl --conversation main     one conversation wears it from its next turn on
    timmy skins use owl                         all wear it that chose nothing
    timmy skins off --conversation main         wear nothing there
    timmy skins list | show owl | remove owl

A skin is a file of TOML, and a change of it is a higher version by the same author:

    name = "owl"
    version = 1
    label = "Owl"                               what a chat calls the agent
    greeting = "The night is clear."            what a chat begins with
    colour = "yellow"                           red green yellow blue magenta cyan white
    voice = "Speak softly, in short sentences." what every prompt says, up to 4,000 characters

It changes how the agent speaks, never what it may do: the screens, permissions and the agent's own
rules stand before it in every prompt.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from ledger.core.errors import TimmyError
from node import console
from node.client import Client, path
from node.home import Home

_HINT: Final = "name a skin"
_FILE_BYTES_MAX: Final = 64 * 1024
"""Ten times the longest skin with its signature."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="list skins, and who wears them by default")
    for action, about in (("show", "show one skin whole"), ("remove", "forget a skin")):
        actions.add_parser(action, help=about).add_argument("name")
    add = actions.add_parser("add", help="have a signed skin")
    add.add_argument("file", type=Path, help="what its author signed")
    add.add_argument(
        "--accept-findings", action="store_true",
        help="although its voice reads like commands in disguise: you have read it",
    )  # fmt: skip
    sign = actions.add_parser("sign", help="sign a skin with your operator key")
    sign.add_argument("file", type=Path, help="the skin, in TOML")
    sign.add_argument("-o", "--output", type=Path, help="where to (the same name, .skin)")
    sign.add_argument("--passphrase-fd", type=int, metavar="N", help="of the operator's keystore")
    use = actions.add_parser("use", help="have conversations wear a skin")
    use.add_argument("name")
    off = actions.add_parser("off", help="wear nothing")
    for placed in (use, off):
        placed.add_argument("--conversation", metavar="C", help="only this one")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    home = Home.find(arguments.home)
    if arguments.action == "sign":
        return _sign(home, arguments)
    client = Client.find(home)
    match arguments.action:
        case "list":
            return _list(client, as_json=arguments.json)
        case "show":
            return _show(client, arguments.name, as_json=arguments.json)
        case "add":
            body = {"document": _read(arguments.file), "accept": arguments.accept_findings}
            done = client.call("POST", "/v1/skins", body)
            facts = done["payload"]
            told = f"{facts['name']}, version {facts['version']}: timmy skins use {facts['name']}"
        case "remove":
            body = {"action": "remove"}
            done = client.call("POST", path("v1", "skins", arguments.name), body)
            told = f"removed {arguments.name}"
        case "use":
            body = {"action": "use"} | _place(arguments)
            done = client.call("POST", path("v1", "skins", arguments.name), body)
            told = f"{arguments.conversation or 'all that chose none'}: {arguments.name}"
        case _:
            done = client.call("POST", "/v1/worn", _place(arguments))
            told = f"{arguments.conversation or 'all that chose none'}: nothing"
    console.out_json(done) if arguments.json else console.out(told)
    return 0


def _place(arguments: argparse.Namespace) -> dict[str, str]:
    return {} if arguments.conversation is None else {"conversation": arguments.conversation}


def _list(client: Client, *, as_json: bool) -> int:
    rows = client.call("GET", "/v1/skins")
    if as_json:
        console.out_json(rows)
        return 0
    cells = (
        [
            row["name"],
            str(row["version"]),
            row["label"],
            _default(row),
            row["author"],
        ]
        for row in rows
    )
    console.table(["name", "version", "label", "default", "author"], cells)
    return 0


def _default(row: dict[str, Any]) -> str:
    return "yes" if row["default"] else ""


def _show(client: Client, name: str, *, as_json: bool) -> int:
    for row in client.call("GET", "/v1/skins"):
        if row["name"] == name:
            break
    else:
        raise TimmyError(f"there is no skin {name[:60]!r}", hint="timmy skins list")
    if as_json:
        console.out_json(row)
        return 0
    for key, value in row.items():
        console.out(f"{key:10} {console.safe(str('(erased)' if value is None else value))}")
    return 0


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise TimmyError(f"{file} cannot be read: {error.strerror}", hint=_HINT) from error
    if len(data) > _FILE_BYTES_MAX:
        raise TimmyError(f"{file} has more than {_FILE_BYTES_MAX} bytes", hint="a skin is short")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise TimmyError(
            f"{file} is not UTF-8 at byte {error.start}", hint="name a skin"
        ) from error


def _sign(home: Home, arguments: argparse.Namespace) -> int:
    from genesis.keys import keystore, passphrase
    from ledger.files import write_atomically
    from node.agent.skins import sign_skin

    document = _read(arguments.file)
    given = passphrase.obtain(
        state=home.state,
        environ=os.environ,
        descriptor=arguments.passphrase_fd,
        terminal=sys.stdin.isatty(),
    )
    key = keystore.unlock_operator(home.operator, given.text)
    signed = sign_skin(document, key, now_s=int(time.time()))
    target = arguments.output or arguments.file.with_suffix(".skin")
    if target == arguments.file:
        raise TimmyError(f"{target} would be written over", hint="-o FILE")
    try:
        write_atomically(target, f"{signed}\n".encode(), mode=0o644)
    except OSError as error:
        raise TimmyError(f"{target} cannot be written: {error.strerror}", hint="-o FILE") from error
    result: dict[str, Any] = {"file": str(target), "author": key.public.hex()}
    if arguments.json:
        console.out_json(result)
    else:
        console.out(f"{target}: timmy skins add {target}")
    return 0
