"""Start the node; be born first if there is no agent here. Ctrl-C stops it.

With --join TOKEN it asks to be taken into a fleet (timmy mesh invite), and its operator takes it in
(timmy mesh admit); the token is needed once. With --join - it is read from standard input, so that
other users of the machine do not see it among the processes.

Without a terminal a birth takes the passphrase from TIMMY_PASSPHRASE or a descriptor, or makes one
and keeps it 0600 in the state directory, and says so.
"""

import argparse
import asyncio
import gc
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attest.verify.plain import jsonable
from ledger.core.errors import TimmyError
from node import console
from node.config import Config, load
from node.home import Home

_TOKEN_CHARS_MAX: Final = 4096


class Stopped(TimmyError):
    """A start that its user ended."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--passphrase-fd", type=int, metavar="N", help="read the passphrase from this descriptor"
    )
    parser.add_argument(
        "--join",
        metavar="TOKEN",
        help="join the fleet that timmy mesh invite names (-: from stdin)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run until asked to stop."""
    os.umask(0o077)  # whatever any part of the node writes is its user's alone
    home = Home.find(arguments.home)
    config = load(home.config)
    token = _token(arguments.join)
    terminal = sys.stdin.isatty() and not arguments.json
    with home.unmade_if_refused():
        home.make()
        given = _born_or_unlocked(home, arguments.passphrase_fd, terminal=terminal)
    _keep(home, token)
    try:
        return asyncio.run(_live(home, config, given.text, arguments.json))
    except Stopped as error:
        console.say(str(error))
        return 0


def _token(text: str | None) -> Any:
    """Read a token, before anything is done. Raises InvalidToken."""
    from mesh.core.fleet.joining import Token

    if text == "-":
        text = sys.stdin.readline(_TOKEN_CHARS_MAX)
    return None if text is None else Token.parse(text.strip())


def _keep(home: Home, token: Any) -> None:
    """Keep the token until the operator has taken this node in. Raises Refused in another fleet."""
    from ledger.core.errors import Refused
    from node.fleet.files import fleet_files

    if token is None:
        return
    files = fleet_files(home)
    fleet = files.load()
    if fleet is not None and fleet.fleet_id != token.fleet_id:
        raise Refused(
            f"this node is of fleet {fleet.fleet_id.hex()}, the token is of another",
            hint="a node is of one fleet; remove <home>/fleet to leave it",
        )
    files.put_token(token)


def _born_or_unlocked(home: Home, descriptor: int | None, *, terminal: bool) -> Any:
    """See that an agent lives here, and return its passphrase."""
    from genesis.keys import passphrase
    from node.identity.birth import is_born

    born = is_born(home)
    _check_operator_key(home)
    if not born and not terminal:
        given = _unattended(home, descriptor)
    else:
        given = passphrase.obtain(
            state=home.state,
            environ=os.environ,
            descriptor=descriptor,
            terminal=terminal,
            confirm=not born,
        )
    if not born:
        _be_born(home, given, terminal=terminal)
    return given


def _check_operator_key(home: Home) -> None:
    """Refuse to go on beside an operator's key that others may read; the node does not open it."""
    from genesis.keys import keystore

    if keystore.operator_path(home.operator).exists():
        keystore.read_keystore(keystore.operator_path(home.operator), role="operator")


def _unattended(home: Home, descriptor: int | None) -> Any:
    from genesis.core.errors import PassphraseMissing
    from genesis.keys import passphrase

    try:
        return passphrase.obtain(
            state=home.state, environ=os.environ, descriptor=descriptor, terminal=False
        )
    except PassphraseMissing:
        made = passphrase.generate(home.state)
        console.say(f"made a passphrase and kept it, 0600, in {made.source}")
        return made


def _be_born(home: Home, given: Any, *, terminal: bool) -> None:
    from node.identity.birth import Wish, be_born, keep_kit
    from node.identity.kits import show_on_terminal

    console.say(f"there is no agent in {home.path}: one is being born with the default SOUL")
    console.say("(with a SOUL and name of your own: timmy init --soul FILE --name NAME)")
    keep, path = keep_kit(home, "Timmy")
    show = show_on_terminal if terminal else keep
    wish = Wish(name="Timmy", soul=None, network="regtest", passphrase=given, show_kit=show)
    be_born(home, wish)
    if not terminal:
        console.say(f"the recovery kit is in {path}: move it off this machine")


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage in the block, and never again in what was made in it.

    A thousand modules leave none; looking through all of them again and again while they come, and
    once more at the end, was a good part of a start and a stop.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.freeze()


async def _live(home: Home, config: Config, text: str, as_json: bool) -> int:  # noqa: FBT001 - private
    with uncollected():
        from ledger.core.lineage import Lineage
        from ledger.log import Log
        from node.identity import succession
        from node.logs import configure
        from node.supervisor import node, stop_on_signal

    configure(home, config.node, console=True)

    def unlock(log: Log, lineage: Lineage) -> succession.Unlocked:
        return succession.unlock(home, log, lineage, text)

    stopping = stop_on_signal()
    shown = console.Progress("taking up the ledger")

    def progress(done: int, total: int) -> None:
        if stopping.is_set():
            raise Stopped("stopped while the ledger was being taken up")
        shown(done, total)

    try:
        async with node(home, config, unlock, progress) as started:
            shown.end()
            status = await started.status()
            if as_json:
                console.out_json(status)
            else:
                _greet(status)
            await stopping.wait()
            console.say("stopping")
    finally:
        shown.end()
    return 0


def _command() -> str:
    """Return what a person types to run this very program."""
    mine = Path(sys.argv[0]).absolute()
    found = shutil.which("timmy")
    if mine.name != "timmy" or (found is not None and Path(found).absolute() == mine):
        return "timmy"
    return os.path.relpath(mine)


def _greet(status: dict[str, Any]) -> None:
    rows = [
        ("name", status["name"]),
        ("npub", status["npub"]),
        ("ledger", f"{jsonable(status['ledger'])} ({status['events']} events)"),
        ("home", status["home"]),
        ("api", status["api"]),
        ("relay", status["relay"] or "off"),
        ("models", ", ".join(status["models"])),
        ("sandbox", console.engine_line(status["sandbox"], status["sandbox_why"])),
    ]
    for name, value in rows:
        console.out(f"{name:9} {value}")
    home = "" if status["home"] == str(Home.find(None).path) else f" --home {status['home']}"
    timmy = _command() + home
    console.out(f"talk to it: {timmy} say hello, or {timmy} chat; stop it with Ctrl-C")
    if status["sandbox"] == "none":
        console.say("warning: the agent process is not confined here: timmy doctor says why")
