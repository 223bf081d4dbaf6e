"""Be born: make the agent's keys from its SOUL and entropy, and the first event of its ledger.

    timmy init                                  the default SOUL and name
    timmy init --soul MY-SOUL.md --name Ada     yours; a SOUL never changes afterwards

The recovery kit is shown once. Copy it by hand or keep it with --kit FILE, on a medium that is not
this machine: with it alone the agent can be handed on or recovered.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ledger.core.errors import TimmyError
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
    from genesis import passphrase
    from node.birth import AlreadyBorn, Wish, be_born, is_born

    home = Home.find(arguments.home)
    if is_born(home):
        raise AlreadyBorn(
            f"an agent lives in {home.path}", hint="choose another: timmy --home FOLDER init"
        )
    if arguments.kit is not None and arguments.kit.exists():
        raise TimmyError(f"{arguments.kit} is already there", hint="a kit is never overwritten")
    given = passphrase.obtain(
        state=home.state,
        environ=os.environ,
        descriptor=arguments.passphrase_fd,
        terminal=sys.stdin.isatty(),
        confirm=True,
    )
    show, path = _how_to_show(home, arguments)
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
            console.out(f"{key:12} {console.jsonable(value)}")
        console.out("start it:    timmy run")
    return 0


def _how_to_show(
    home: Home, arguments: argparse.Namespace
) -> tuple[Callable[[str], None], Path | None]:
    """Choose where the kit goes: the operator's file, the terminal, or the state directory."""
    from genesis.private import create
    from node.birth import keep_kit

    kit: Path | None = arguments.kit
    if kit is not None:
        return lambda text: create(kit.absolute(), text.encode()), kit
    if not arguments.json and sys.stdin.isatty():
        return show_on_terminal, None
    return keep_kit(home, arguments.name)


def show_on_terminal(text: str) -> None:
    """Show the kit and wait for the person to have copied it."""
    console.say("your recovery kit, shown once; copy it, then press Enter")
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
    sys.stdin.readline()
