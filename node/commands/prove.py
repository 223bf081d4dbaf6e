"""Write a file that proves one event to a stranger who has nothing but your SOUL.md.

timmy prove 12 -o said.proof              signed by this agent's log key
timmy prove 12 --anchored -o said.proof   with the Bitcoin transactions and headers in it
timmy prove 12 --receipt FILE -o f.proof  with the slot that an aggregator gave it: a time
timmy prove 12 --no-content -o fact.proof without the words: that it happened, not what it says
timmy prove 12 --since 8 -o said.proof    for a reader who holds a head of 8 events: this goes on
                                          from it (he checks: timmy verify said.proof --held HEAD)
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

from attest.core.delegation import Segment, SlottedLink
from ledger.core.bundle import Attachment
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import Refused, TimmyError
from ledger.core.lineage import LINEAGE_TYPES
from ledger.core.types import LINEAGE_STREAM
from ledger.files import write_atomically
from ledger.proof import prove
from node import console
from node.anchors.evidence import Evidence, aggregated, evidence, read_receipt
from node.client import refresh
from node.home import Home
from node.open import Reading, reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("event", help="position, or the start of an id in hex")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--anchored", action="store_true", help="with the anchors in Bitcoin")
    parser.add_argument(
        "--receipt",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="what an aggregator gave: with --anchored the part delegated to it, else a time",
    )
    parser.add_argument("--no-content", action="store_true", help="leave the words out")
    parser.add_argument(
        "--since", type=int, action="append", default=[], metavar="SIZE",
        help="lead on from the head of SIZE events that the reader holds; may be repeated",
    )  # fmt: skip
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
            opened,
            event.position,
            anchored=arguments.anchored,
            content=not arguments.no_content,
            since=arguments.since,
            receipts=[read_receipt(path) for path in arguments.receipt],
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


def make_proof(
    home: Reading,
    position: int,
    *,
    anchored: bool,
    content: bool = True,
    since: Sequence[int] = (),
    anchored_to: int = 0,
    receipts: Sequence[Segment | SlottedLink] = (),
    head: SignedCheckpoint | None = None,
) -> bytes:
    """Return the bytes of a proof of the event at `position`.

    An `anchored` one carries the seal chain up to the first anchor over that event, and over the
    one at `anchored_to`; `receipts` are what aggregators gave. It is of the last released head, or
    of an earlier `head`, and then nothing of what came after that is in it.
    """
    size = None if head is None else head.size
    heads: list[SignedCheckpoint] = [head or home.released()]
    for older in since:
        if not 0 < older <= heads[0].size:
            raise TimmyError(
                f"nothing leads on from size {older}: the last released head is of {heads[0].size}"
            )
    heads += [head for head in home.cosigned(heads[0]) if head.size > position]
    own = home.log.stream(LINEAGE_STREAM, last=home.log.size)
    also = [
        event.position
        for event in own
        if event.type in LINEAGE_TYPES and (size is None or event.position < size)
    ]
    attachments: list[Attachment] = []
    if anchored or receipts:
        last = max(position, anchored_to)
        found = _from_bitcoin(home, last, receipts, anchored=anchored, size=size)
        heads, attachments = [*found.heads, *heads], [found.attachment]
        also += found.also
    file = io.BytesIO()
    without = () if content else (position,)
    prove(
        home.log,
        heads,
        position,
        file,
        also=also,
        attachments=attachments,
        without=without,
        since=since,
    )
    return file.getvalue()


def _from_bitcoin(
    home: Reading,
    position: int,
    receipts: Sequence[Segment | SlottedLink],
    *,
    anchored: bool,
    size: int | None,
) -> Evidence:
    slots = [receipt for receipt in receipts if isinstance(receipt, SlottedLink)]
    if anchored:
        segments = [receipt for receipt in receipts if isinstance(receipt, Segment)]
        if slots:
            raise Refused(
                "a receipt of one link shows a time only, and is no part of an anchored proof",
                hint="without --anchored; or ask the aggregator for all links: --since",
            )
        return evidence(home, position, segments, size=size)
    if len(receipts) != 1 or not slots:
        raise Refused(
            f"{len(receipts)} receipts, and not one of a single link: which time is to be shown?",
            hint="one receipt that the aggregator wrote without --since; or --anchored",
        )
    return aggregated(home, position, slots[0])
