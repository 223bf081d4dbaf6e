"""Be born: make the agent's keys from its SOUL and entropy, and the first event of its ledger.

    timmy init                                  the default SOUL and name
    timmy init --soul MY-SOUL.md --name Ada     yours; a SOUL never changes afterwards

The recovery kit is shown once. Copy it by hand or keep it with --kit FILE, on a medium that is not
this machine: with it alone the agent can be handed on or recovered.
"""

import argparse
import os
import sys
from pathlib import Path

from attest.verify.plain import jsonable
from node import console
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--soul", type=Path, metavar="FILE", help="who the agent is, in your words")
    parser.add_argument("--name", default="Timmy", help="what it is called (Timmy)")
    parser.add_argument(
        "--network", choices=["regtest", "signet", "mainnet"], default="regtest",
        help="where it may be anchored one day (regtest)",
    )  # fmt: skip
    parser.add_argument("--kit", type=Path, metavar="FILE", help="write the recovery kit here")
    parser.add_argument(
        "--passphrase-fd", type=int, metavar="N", help="read the passphrase from this descriptor"
    )


def run(arguments: argparse.Namespace) -> int:
    """Be born."""
    from genesis.keys import passphrase
    from node.identity.birth import AlreadyBorn, Wish, be_born, is_born
    from node.identity.kits import shower

    home = Home.find(arguments.home)
    if is_born(home):
        raise AlreadyBorn(
            f"an agent lives in {home.path}", hint="choose another: timmy --home FOLDER init"
        )
    show, path = shower(home, arguments.name, arguments.kit, as_json=arguments.json)
    given = passphrase.obtain(
        state=home.state,
        environ=os.environ,
        descriptor=arguments.passphrase_fd,
        terminal=sys.stdin.isatty(),
        confirm=True,
    )
    wish = Wish(
        name=arguments.name,
        soul=arguments.soul,
        network=arguments.network,
        passphrase=given,
        show_kit=show,
    )
    with home.unmade_if_refused():
        home.make()  # the kit may be kept in it
        born = be_born(home, wish)
    if path is not None:
        console.say(f"the recovery kit is in {path}: move it off this machine")
    result = {
        "name": born.name,
        "npub": born.npub,
        "ledger": born.ledger_id,
        "home": str(born.home),
        "soul_sha256": born.soul.digest.sha256,
    }
    if arguments.json:
        console.out_json(result)
    else:
        for key, value in result.items():
            console.out(f"{key:12} {jsonable(value)}")
        console.out("start it:    timmy run")
    return 0
