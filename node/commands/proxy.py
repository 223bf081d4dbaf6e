"""Record what other agents say to their models. Off until you say on; docs/PROXY.md has the whole.

    timmy proxy                        where it listens, how to point a client at it, who spoke
    timmy proxy on                     listen on this machine, from the next start of the node on
    timmy proxy on --screen block      and answer in the upstream's place where a crisis is met
    timmy proxy add near http://127.0.0.1:8080/v1
    timmy proxy add far https://api.example/v1 --wire anthropic
    timmy proxy off

Another agent changes one base URL, and its life is in this ledger: timmy log --type proxy,
timmy search, timmy prove. Its key passes through and is never recorded.
"""

import argparse
import re
from typing import Any, Final

from attest.verify.plain import one_line
from ledger.core.errors import TimmyError
from node import console, settings
from node.client import Client, NotRunning
from node.config import Config, load
from node.home import Home
from node.settings import written

_TABLES: Final = re.compile(r"^[ \t]*\[\[proxy\.upstreams\]\]", re.MULTILINE)
_LIST: Final = re.compile(r"^upstreams = \[\n(?:  \{.*\},?\n)*\]\n?", re.MULTILINE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("show", help="where it listens, and who spoke (what no action means)")
    on = actions.add_parser("on", help="listen, from the next start of the node on")
    on.add_argument("--port", type=int, help="where (8788; 0: any free one)")
    on.add_argument("--screen", choices=["record", "block"], help="what a crisis leads to")
    actions.add_parser("off", help="listen no more, from the next start on")
    add = actions.add_parser("add", help="name one more upstream")
    add.add_argument("name", help="as clients name it: /u/NAME/v1")
    add.add_argument("base_url", metavar="URL", help="where it is, up to /v1")
    add.add_argument("--wire", choices=["openai", "anthropic"], default="openai")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    home = Home.find(arguments.home)
    match arguments.action:
        case "on":
            return _switch(home, arguments, on=True)
        case "off":
            return _switch(home, arguments, on=False)
        case "add":
            return _add(home, arguments)
    return _show(home, as_json=arguments.json)


# ---- settings ------------------------------------------------------------------------------------


def _switch(home: Home, arguments: argparse.Namespace, *, on: bool) -> int:
    values: dict[str, Any] = {"enabled": on}
    if on and arguments.port is not None:
        values["port"] = arguments.port
    if on and arguments.screen is not None:
        values["screen"] = arguments.screen
    text = _own(home)
    for key, value in values.items():
        text = settings.with_value(text, "proxy", key, written(value))
    config = settings.change(home.config, text)
    port = config.proxy.port
    where = f"on 127.0.0.1:{port}" if port else "on any free port"
    return _told(arguments, config, f"the proxy listens {where}" if on else "the proxy is off")


def _add(home: Home, arguments: argparse.Namespace) -> int:
    """Write all upstreams: a list of one's own replaces the default."""
    known = [(up.name, up.base_url, up.wire) for up in load(home.config).proxy.upstreams]
    rows = [*known, (arguments.name, arguments.base_url, arguments.wire)]
    listed = "".join(f"  {_row(*row)},\n" for row in rows)
    text = _without_upstreams(_own(home))
    text = settings.with_value(text, "proxy", "upstreams", f"[\n{listed}]")
    config = settings.change(home.config, text)
    return _told(arguments, config, f"{arguments.name} is an upstream of the proxy")


def _row(name: str, base_url: str, wire: str) -> str:
    values = {"name": name, "base_url": base_url, "wire": wire}
    return "{ " + ", ".join(f"{key} = {written(value)}" for key, value in values.items()) + " }"


def _without_upstreams(text: str) -> str:
    """Take out the list that an earlier `add` wrote. Raises TimmyError for tables of a user's."""
    if _TABLES.search(text):
        raise TimmyError(
            "node.toml lists its upstreams as [[proxy.upstreams]]", hint="write the new one there"
        )
    return _LIST.sub("", text)


def _own(home: Home) -> str:
    if not home.ledger.exists():
        raise TimmyError(f"there is no agent at {home.path}", hint="be born first: timmy init")
    return home.config.read_text() if home.config.exists() else ""


def _told(arguments: argparse.Namespace, config: Config, what: str) -> int:
    if arguments.json:
        console.out_json({"enabled": config.proxy.enabled, "port": config.proxy.port})
    else:
        console.out(f"{what}, from the next start of the node on")
    return 0


# ---- show ----------------------------------------------------------------------------------------


def _show(home: Home, *, as_json: bool) -> int:
    """Exit 1 if it is off."""
    try:
        found = Client.find(home).call("GET", "/v1/proxy")
    except NotRunning:
        if not as_json:
            raise
        found = None
    if as_json:
        console.out_json(found)
    elif found is None:
        console.out("the proxy is off: timmy proxy on, and start the node again")
    else:
        _print(found)
    return 0 if found is not None else 1


def _print(found: dict[str, Any]) -> None:
    address = found["address"]
    console.out(f"the proxy listens on {address}, screen: {found['screen']}")
    console.out(f"  OpenAI clients     OPENAI_BASE_URL={address}/a/NAME/v1")
    console.out(f"  Anthropic clients  ANTHROPIC_BASE_URL={address}/a/NAME")
    console.out("NAME is whatever you call the agent; without /a/NAME it is default")
    console.table(
        ("upstream", "speaks", "is at"),
        [(one["name"], one["wire"], one["base_url"]) for one in found["upstreams"]],
    )
    if found["streams"]:
        console.table(
            ("agent", "exchanges", "crises", "newest"),
            [
                (
                    one_line(one["name"]),
                    str(one["exchanges"]),
                    str(one["crises"]),
                    f"event {one['newest']}",
                )
                for one in found["streams"]
            ],
        )
    else:
        console.out("nobody has spoken through it yet")
