"""Tools of MCP servers for the agent, and the agent for MCP clients (docs/MCP.md).

    timmy mcp list             servers of node.toml: how each is, and which tools it gives
    timmy mcp test files       reach one from here and list its tools; exit 1 if it cannot be
    timmy mcp serve            be an MCP server over standard input and output, for one client

serve is what a client starts (its settings take a command: timmy, arguments: mcp serve). It talks
to the running node with the token of the home. Servers are added in node.toml, [[mcp]].
"""

import argparse
import asyncio
from typing import Any, Final

from attest.verify.plain import one_line
from ledger.core.errors import TimmyError
from node import console
from node.client import Client
from node.config import load
from node.home import Home

_TOOLS_SHOWN: Final = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every server, as the running node has it")
    test = actions.add_parser("test", help="reach one, from here")
    test.add_argument("name", metavar="NAME")
    actions.add_parser("serve", help="serve this agent over standard input and output")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    home = Home.find(arguments.home)
    match arguments.action:
        case "list":
            return _list(home, as_json=bool(arguments.json))
        case "test":
            return asyncio.run(_test(home, arguments.name, as_json=bool(arguments.json)))
        case _:
            return _serve(home)


def _list(home: Home, *, as_json: bool) -> int:
    rows = Client.find(home).call("GET", "/v1/mcp")
    if as_json:
        console.out_json(rows)
        return 0
    for row in rows:
        console.out(f"{row['name']:24} {row['state']:9} {len(row['tools'])} tools, {_about(row)}")
        if row["error"]:
            console.out(one_line(f"  {row['error']}"))
        _show(row)
    if not rows:
        console.say("no MCP server is configured: [[mcp]] in node.toml")
    return 0


def _about(row: dict[str, Any]) -> str:
    held = {True: "confined", False: "not confined", None: "over HTTP"}[row["confined"]]
    return one_line(", ".join(filter(None, [held, row["privacy"], row.get("server", "")])))


def _show(row: dict[str, Any]) -> None:
    for tool in row["tools"][:_TOOLS_SHOWN]:
        console.out(f"  {tool}")
    if (more := len(row["tools"]) - _TOOLS_SHOWN) > 0:
        console.out(f"  and {more} more")
    for refused in row["refused"]:
        console.out(one_line(f"  not {refused['tool']}: {refused['why']}"))


async def _test(home: Home, name: str, *, as_json: bool) -> int:
    """Reach a server once, as the node would."""
    from node.engine import choose_engine
    from node.mcp.config import check_mcp, server_of
    from runtime.core.mcp_tools import take
    from runtime.mcp_servers import reach

    config = load(home.config)
    section = next((one for one in config.mcp if one.name == name), None)
    if section is None:
        names = ", ".join(one.name for one in config.mcp) or "none"
        raise TimmyError(f"there is no MCP server {name}", hint=f"node.toml has {names}")
    check_mcp(home, config)
    server = server_of(home, config, section)
    row: dict[str, Any] = {
        "name": name, "state": "failed", "error": "", "tools": [], "refused": [],
        "privacy": server.offerer.reach.word,
        "confined": None if server.program is None else server.program.confined,
    }  # fmt: skip
    try:
        async with reach(server, (await choose_engine(config)).engine) as connection:
            taken = take(await connection.tools(), server.offerer)
            row |= connection.about | {"state": "ready"}
            row["tools"] = sorted(spec.name for spec in taken.specs.values())
            row["refused"] = [{"tool": tool, "why": why} for tool, why in taken.refused]
    except Exception as error:  # noqa: BLE001 - whatever the server did is what is told
        from runtime.mcp_client import reason_of

        row["error"] = reason_of(error)
    if as_json:
        console.out_json(row)
    elif row["error"]:
        console.out(one_line(f"{name}: {row['error']}"))
    else:
        console.out(f"{name}: {len(row['tools'])} tools, {_about(row)}")
        _show(row)
    return 0 if row["state"] == "ready" else 1


def _serve(home: Home) -> int:
    from node.mcp.backend import Backend, address_of
    from node.mcp.server import make_server

    make_server(Backend(home, lambda: address_of(home))).run("stdio")
    return 0
