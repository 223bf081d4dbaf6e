"""Start a new epoch after a loss, with the recovery kit: the way out when the guard stops the node.

    timmy recover --kit FILE        or: --kit - to read it from standard input

Use this only if the newer ledger, or the state directory, is lost for good. What the node released
and no longer has is given up publicly: the record, signed by the recovery key, names what is kept,
and every later head carries the new epoch. Two recoveries of one log contradict each other for all
to see, so do it once.
"""

import argparse
import os
import sys
from pathlib import Path

from ledger.core.errors import Refused, TimmyError
from node import console
from node.home import Home

_KIT_BYTES_MAX = 64 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--kit", required=True, metavar="FILE", help="recovery kit; - for stdin")
    parser.add_argument("--reason", default="the guard was lost", help="kept in the ledger")
    parser.add_argument("--passphrase-fd", type=int, metavar="N", help="of the agent's keystore")
    parser.add_argument("--yes", action="store_true", help="yes, the newer state is lost for good")


def run(arguments: argparse.Namespace) -> int:
    """Begin the next epoch."""
    from genesis import keystore, passphrase
    from genesis.core.recovery import check_kit, parse_kit
    from ledger.core.epoch import EpochRecord
    from ledger.core.errors import GuardError
    from ledger.core.event import Draft
    from ledger.core.types import EPOCH, EPOCH_STREAM
    from ledger.release import GuardFile, Release, check_guard
    from node.open import epoch_of, genesis_of, open_log

    if not arguments.yes:
        raise Refused(
            "a new epoch gives up whatever was released and is not in this ledger",
            hint="say so with --yes, if the newer state is lost for good",
        )
    home = Home.find(arguments.home)
    kit = parse_kit(_read(arguments.kit))
    with open_log(home, write=True) as log:
        genesis = genesis_of(log)
        check_kit(kit, genesis)
        epoch = epoch_of(log, genesis)
        try:
            guard = GuardFile(home.state, log.ledger_id)
            check_guard(guard, log.tree, log.ledger_id, genesis.keys["log"], epoch)
        except GuardError as error:
            console.say(str(error))
        else:
            raise Refused(
                "the guard and the ledger agree: there is nothing to recover from",
                hint="start the node: timmy run",
            )
        given = passphrase.obtain(
            state=home.state,
            environ=os.environ,
            descriptor=arguments.passphrase_fd,
            terminal=sys.stdin.isatty(),
        )
        keys = keystore.unlock_agent(home.path, given.text, genesis=genesis)
        record = EpochRecord(
            ledger_id=log.ledger_id,
            epoch=epoch + 1,
            kept_size=log.size,
            kept_root=log.tree.root(),
        )
        payload = record.to_payload(kit.recovery_key, arguments.reason)
        [event] = log.append_now(Draft(type=EPOCH.name, stream=EPOCH_STREAM, payload=payload))
        Release.begin(log, home.state, keys.log, epoch=record.epoch)
    result = {"epoch": record.epoch, "kept_size": record.kept_size, "position": event.position}
    if arguments.json:
        console.out_json(result)
    else:
        console.out(f"epoch {record.epoch} begins; {record.kept_size} events are kept")
    return 0


def _read(name: str) -> str:
    try:
        with sys.stdin.buffer if name == "-" else Path(name).open("rb") as file:
            return file.read(_KIT_BYTES_MAX).decode()
    except OSError as error:
        raise TimmyError(
            f"{name} cannot be read: {error.strerror}", hint="name the file that holds your kit"
        ) from error
    except UnicodeDecodeError as error:
        raise TimmyError(
            f"{name} is not UTF-8", hint="the kit is the text that was shown at birth"
        ) from error
