"""Hand the agent over to new keys: the same agent, SOUL and npub; new log, seal and funding keys.

    timmy handoff --kit OLD-KIT --new-kit NEW-KIT
    timmy handoff --kit -                             the kit on standard input

Needs the kit's next key and this home's keystore: neither a thief of the machine nor a finder of
the kit can hand over alone. The node must be stopped. A new kit is made and shown, with a new next
key and the same recovery key; the old kit hands nothing over any more.

To move to another machine, so that the new keys never were on the old one:

    old machine   stop the node for good, then timmy backup -o moving.backup
    new machine   timmy restore moving.backup
                  bring <state>/<ledger id>/head along: it says what was released last
                  timmy handoff --kit OLD-KIT --new-kit NEW-KIT

If the seal is open, the running node then moves it in Bitcoin, with the money; the old keystore is
kept until that is 100 blocks deep. A crash leaves the old keys in charge, or a handoff that this
command, or the next start, finishes.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from ledger.core.errors import TimmyError
from node import console
from node.home import Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--kit", required=True, metavar="FILE", help="recovery kit; - for stdin")
    parser.add_argument("--new-kit", type=Path, metavar="FILE", help="write the new kit here")
    parser.add_argument("--reason", default="", help="kept in the ledger for good")
    parser.add_argument("--passphrase-fd", type=int, metavar="N", help="of the agent's keystore")


def run(arguments: argparse.Namespace) -> int:
    """Hand over."""
    from genesis.core.recovery import check_kit, render_kit
    from genesis.keys import passphrase
    from ledger.core.handoff import REASON_CHARS_MAX
    from node.assembly import open_ledger
    from node.identity import kits, succession

    if len(arguments.reason) > REASON_CHARS_MAX:
        raise TimmyError(
            f"a reason of {len(arguments.reason)} characters, at most {REASON_CHARS_MAX}",
            hint="a sentence or two: it stays in the ledger for good",
        )
    home = Home.find(arguments.home)
    kit = kits.read_kit(arguments.kit)
    log, lineage = open_ledger(home)
    with log:
        given = passphrase.obtain(
            state=home.state,
            environ=os.environ,
            descriptor=arguments.passphrase_fd,
            terminal=sys.stdin.isatty(),
        )
        finished = succession.finish(home, log, lineage, given.text)
        if finished is not None:
            return _tell(finished, arguments, None)
        check_kit(kit, lineage.genesis, announced=[lineage.newest.next_key_digest])
        succession.check_ready(home, log, lineage)
        show, path = kits.shower(
            home, lineage.genesis.name, arguments.new_kit, as_json=arguments.json
        )
        prepared = succession.prepare_handoff(
            home, lineage, kit, given.text, reason=arguments.reason
        )
        show(render_kit(prepared.heir.kit, remark=kits.REMARK))
        tenure = succession.hand_over(home, log, lineage, prepared)
    return _tell(tenure, arguments, path)


def _tell(tenure: Any, arguments: argparse.Namespace, path: Path | None) -> int:
    if path is not None:
        console.say(f"the new recovery kit is in {path}: move it off this machine")
    result = {
        "number": tenure.number,
        "position": tenure.position,
        "keys": dict(tenure.keys),
        "kit": None if path is None else str(path),
    }
    if arguments.json:
        console.out_json(result)
    else:
        console.out(f"handed over: key {tenure.number} is in charge from here on")
        console.out("start it:    timmy run")
    return 0
