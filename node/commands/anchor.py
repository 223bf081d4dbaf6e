"""Put checkpoints into Bitcoin, in a chain of transactions that nobody can fork.

    timmy anchor fund       the address that pays for it, what is there, what a year costs now
    timmy anchor open       open the seal (once; needs a coin at that address; again if that coin
                            was spent elsewhere, a hundred blocks after)
    timmy anchor now        anchor everything so far; the node does it daily (attest.every)
    timmy anchor bump       pay more for the transaction that waits, over what was said since too
    timmy anchor status     where it stands
    timmy anchor recover --kit FILE      after timmy recover --new-keys: lead the seal away

Each transaction spends the seal of the one before it: two histories would be a double spend. The
network is the one the agent was born on; regtest and signet prove nothing about time. No single
transaction ever pays more than 0.001 BTC. `recover` needs the node stopped, the others running.

OpenTimestamps calendars date checkpoints too, for free, if node.toml names some:

    timmy anchor stamp      have everything so far stamped by them
    timmy anchor upgrade    ask now whether pending stamps are finished (the node does, by the hour)
    timmy anchor export-ots -o FILE      FILE.note and FILE.ots: the newest checkpoint in a block
    timmy anchor export-ots --size 9 -o FILE   the same of the checkpoint of 9 events
    timmy anchor export-ots 12 -o FILE   FILE.event and FILE.ots: that event 12 existed by then

Anyone checks those two files with the public `ots` program and no part of this one.
"""

import argparse
import os
import sys
from pathlib import Path
from shlex import quote
from typing import Any, Final

from attest.verify.plain import one_line
from ledger.core.errors import Refused, TimmyError
from ledger.files import write_atomically
from node import console
from node.client import Client
from node.home import Home

_EXPORT: Final = "export-ots"
_RECOVER: Final = "recover"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = ["fund", "open", "now", "bump", "status", _RECOVER, "stamp", "upgrade", _EXPORT]
    parser.add_argument("action", choices=actions)
    parser.add_argument("event", nargs="?", help=f"{_EXPORT}: position, or start of an id in hex")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=f"{_EXPORT}: its stem")
    parser.add_argument("--size", type=int, metavar="N", help=f"{_EXPORT}: of which checkpoint")
    parser.add_argument("--force", action="store_true", help=f"{_EXPORT}: replace files")
    parser.add_argument("--yes", action="store_true", help="open: yes, spend real money")
    parser.add_argument("--kit", metavar="FILE", help=f"{_RECOVER}: recovery kit; - for stdin")
    parser.add_argument("--passphrase-fd", type=int, metavar="N", help=f"{_RECOVER}: of the keys")


def run(arguments: argparse.Namespace) -> int:
    """Ask the node, or write files, or recover the seal without it."""
    if (arguments.kit is not None) != (arguments.action == _RECOVER):
        raise TimmyError("a kit recovers the seal, and nothing else", hint="timmy anchor --help")
    if arguments.action == _EXPORT:
        return _export(arguments)
    if (arguments.event, arguments.output, arguments.size) != (None, None, None):
        raise TimmyError(
            f"anchor {arguments.action} takes no event and no file", hint="timmy anchor --help"
        )
    home = Home.find(arguments.home)
    if arguments.action == _RECOVER:
        return _recover(home, arguments)
    client = Client.find(home)
    if arguments.action == "open":
        _confirm(client.call("POST", "/v1/anchor", {"action": "fund"}), yes=arguments.yes)
    found = client.call("POST", "/v1/anchor", {"action": arguments.action})
    if arguments.json:
        console.out_json(found)
    elif arguments.action == "fund":
        console.out(found["funding_address"])
        _show_cost(found)
    else:
        _show(found)
    return 0


def _confirm(found: dict[str, Any], *, yes: bool = False) -> None:
    """Say what it will cost; where that is real money, go on only after a yes."""
    _show_cost(found)
    if yes or found["network"] != "mainnet" or found["links"]:
        return
    if not sys.stdin.isatty():
        raise Refused(
            "opening the seal on mainnet spends real money, and there is no terminal to ask on",
            hint="--yes",
        )
    console.say("each day one anchor from now on, of real money. Type yes to open the seal:")
    if sys.stdin.readline().strip() != "yes":
        raise Refused("nothing was opened", hint="timmy anchor open asks again")


def _show_cost(found: dict[str, Any]) -> None:
    if found["balance_sat"] is None:
        console.say("no Bitcoin node is configured: what it costs nobody can tell")
        return
    console.say(f"{found['balance_sat']} sat are at {found['funding_address']}")
    console.say(
        f"at {found['sat_per_kvb'] / 1000:g} sat/vB an anchor costs about {found['anchor_sat']} "
        f"sat, one a day {found['year_sat']} sat a year; none ever over {found['fee_sat_max']} sat"
    )


def _show(found: dict[str, Any]) -> None:
    if "network" in found:
        _show_seal(found)
    if "stamps_trouble" in found:
        console.out(f"stamps   {one_line(found['stamps_trouble'])}")
    for stamp in found["stamps"]:
        console.out(f"stamp    {stamp['size']} events, {stamp['standing']}")
        console.table(
            ["calendar", "standing", "block", "checked", "trouble"],
            [
                [
                    part["url"],
                    part["standing"],
                    str(part["height"] or "-"),
                    "yes" if part["checked"] else "-",
                    part["trouble"] or "",
                ]
                for part in stamp["calendars"]
            ],
        )


def _show_seal(found: dict[str, Any]) -> None:
    console.out(f"network  {found['network']}")
    console.out(f"funding  {found['funding_address']}")
    if found["waiting"]:
        console.out(f"waiting  {one_line(found['waiting'])}")
    if found["hint"]:
        console.say(one_line(found["hint"]))
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


def _recover(home: Home, arguments: argparse.Namespace) -> int:
    from genesis.core.recovery import check_kit
    from genesis.keys import passphrase
    from node.assembly import open_ledger
    from node.identity.kits import read_kit
    from node.identity.recovering import recover_seal

    kit = read_kit(arguments.kit)
    log, lineage = open_ledger(home)
    with log:
        check_kit(kit, lineage.genesis, announced=[t.next_key_digest for t in lineage.tenures])
        given = passphrase.obtain(
            state=home.state,
            environ=os.environ,
            descriptor=arguments.passphrase_fd,
            terminal=sys.stdin.isatty(),
        )
        found = recover_seal(home, log, kit, given.text)
    if arguments.json:
        console.out_json(found)
    else:
        console.out(f"sent {found['txid'].hex()}, fee {found['fee_sat']} sat")
        console.out("start the node: it sends it until a block has it; timmy anchor bump pays more")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from node.anchors.stamp_export import export_checkpoint, export_event
    from node.open import reading

    stem: Path | None = arguments.output
    if stem is None:
        raise TimmyError(f"anchor {_EXPORT} needs a place", hint="-o FILE")
    if arguments.event is not None and arguments.size is not None:
        raise TimmyError("an event is one thing, a checkpoint another", hint="leave --size out")
    ending = ".note" if arguments.event is None else ".event"
    file, ots = stem.with_name(stem.name + ending), stem.with_name(stem.name + ".ots")
    for path in (file, ots):
        if path.exists() and not arguments.force:
            raise TimmyError(f"{path} is already there", hint="--force replaces it")
    home = Home.find(arguments.home)
    with reading(home) as opened:
        if arguments.event is None:
            found = export_checkpoint(opened, arguments.size)
            what = f"the checkpoint of {found.size} events"
        else:
            position = opened.views.resolve(arguments.event).position
            found = export_event(opened, position)
            what = f"event {position}"
    for path, data in ((file, found.data), (ots, found.ots.encode())):
        try:
            write_atomically(path, data, mode=0o644)
        except OSError as error:
            raise TimmyError(
                f"{path} cannot be written: {error.strerror}", hint="choose another place: -o FILE"
            ) from error
    result = {
        "file": str(file),
        "ots": str(ots),
        "sha256": found.ots.digest,
        "size": found.size,
        "network": found.network,
        "heights": list(found.heights),
        "check": f"ots{_place(found.network, home)} verify -f {quote(str(file))} {quote(str(ots))}",
    }
    if arguments.json:
        console.out_json(result)
        return 0
    if found.heights:
        console.out(f"{file} and {ots}: {what}, by block {found.heights[0]} of {found.network}")
        console.out(f"check it: {result['check']}")
    else:
        console.out(f"{file} and {ots}: {what}, pending at calendars")
        console.out(f"when a block has it: ots upgrade {quote(str(ots))}; {result['check']}")
    return 0


def _place(network: str, home: Home) -> str:
    """Options that show the public client the chain; mainnet's bitcoind it finds by itself."""
    if network == "mainnet":
        return ""
    from node.config import load

    url = load(home.config).attest.rpc_url.replace("://", "://USER:PASSWORD@", 1)
    return f"{' --btc-regtest' if network == 'regtest' else ''} --bitcoin-node {url}"
