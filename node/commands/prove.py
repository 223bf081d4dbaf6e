"""Write a file that proves one event to a stranger who has nothing but your SOUL.md.

timmy prove 12 -o said.proof              signed by this agent's log key
timmy prove 12 --anchored -o said.proof   with the Bitcoin transactions and headers in it
timmy prove 12 --no-content -o fact.proof without the words: that it happened, not what it says
"""

import argparse
import io
from pathlib import Path

from ledger.core.bundle import Attachment
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import TimmyError
from ledger.core.types import EPOCH, EPOCH_STREAM
from ledger.files import write_atomically
from ledger.proof import prove
from node import console
from node.client import Client, NodeSaid, NotRunning
from node.home import Home
from node.open import Reading, reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("event", help="position, or the start of an id in hex")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--anchored", action="store_true", help="with the anchors in Bitcoin")
    parser.add_argument("--no-content", action="store_true", help="leave the words out")
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")


def run(arguments: argparse.Namespace) -> int:
    """Write the proof."""
    if arguments.output.exists() and not arguments.force:
        raise TimmyError(f"{arguments.output} is already there", hint="--force replaces it")
    home = Home.find(arguments.home)
    refresh(home)
    with reading(home) as opened:
        event = opened.views.resolve(arguments.event)
        data = make_proof(
            opened, event.position, anchored=arguments.anchored, content=not arguments.no_content
        )
    try:
        write_atomically(arguments.output, data, mode=0o644)
    except OSError as error:
        raise TimmyError(
            f"{arguments.output} cannot be written: {error.strerror}",
            hint="choose another place: -o FILE",
        ) from error
    result = {"file": str(arguments.output), "bytes": len(data), "position": event.position}
    if arguments.json:
        console.out_json(result)
    else:
        console.out(f"{arguments.output}: {len(data)} bytes prove event {event.position}")
        console.out(f"check it: timmy verify {arguments.output} --soul SOUL.md")
    return 0


def refresh(home: Home) -> None:
    """Have a running node release a head that covers everything."""
    try:
        Client.find(home).call("GET", "/v1/head")
    except (NotRunning, NodeSaid):
        return


def make_proof(home: Reading, position: int, *, anchored: bool, content: bool = True) -> bytes:
    """Return the bytes of a proof of the event at `position`."""
    heads: list[SignedCheckpoint] = [home.released()]
    own = home.log.stream(EPOCH_STREAM, last=home.log.size)
    also = [event.position for event in own if event.type == EPOCH.name]
    attachments: list[Attachment] = []
    if anchored:
        from node.anchoring import evidence

        found = evidence(home, position)
        heads, attachments = found.heads, [found.attachment]
        also.append(found.opened_at)
    file = io.BytesIO()
    without = () if content else (position,)
    prove(home.log, heads, position, file, also=also, attachments=attachments, without=without)
    return file.getvalue()
