"""Show one event whole: envelope, payload, content, and where its words are, if they are gone.

timmy show 12                             of this home
timmy show --from salvage.bundle 12       of a bundle: what proves it is for timmy verify to say
"""

import argparse
from pathlib import Path
from typing import Final

from attest.verify.plain import jsonable, one_line
from ledger.core.bundle import Reader
from ledger.core.errors import NotFound, TimmyError
from ledger.core.event import Event, Record
from ledger.core.upcast import UPCASTERS, Reading, Standing
from node import console
from node.home import Home
from node.open import reading

_ID_DIGITS_MIN: Final = 8
"""Fewer are a position, or fit too many ids."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("event", help="position, or the start of an id in hex")
    parser.add_argument("--from", type=Path, dest="bundle", metavar="FILE", help="of a bundle")


def run(arguments: argparse.Namespace) -> int:
    """Show one event."""
    if arguments.bundle is not None:
        event = _from_bundle(arguments.bundle, arguments.event)
    else:
        with reading(Home.find(arguments.home)) as home:
            event = home.views.resolve(arguments.event)
    if arguments.json:
        console.out_json(console.row(event))
    else:
        _show(event)
    return 0


def _from_bundle(path: Path, wanted: str) -> Event:
    """Return an event of a bundle, its own commitments checked. Reads to it, not to the end."""
    try:
        with path.open("rb") as file:
            for item in Reader(file):
                if isinstance(item, Record):
                    event = Event.open(item)
                    if str(item.position) == wanted or _is_id(event, wanted):
                        return event
    except OSError as error:
        raise TimmyError(
            f"{path} cannot be read: {error.strerror}", hint="name a bundle: --from FILE"
        ) from error
    raise NotFound(f"there is no event {wanted} in {path}", hint=f"see: timmy verify {path}")


def _is_id(event: Event, wanted: str) -> bool:
    return len(wanted) >= _ID_DIGITS_MIN and event.id.hex().startswith(wanted.lower())


def _show(event: Event) -> None:
    reading = UPCASTERS.read(event)
    event = reading.event
    rows = [
        ("event", str(event.position)),
        ("id", event.id.hex()),
        ("type", event.type),
        *_standing(reading),
        ("when", console.when(event.ts_ms)),
        ("stream", f"{event.stream.hex()} number {event.envelope.stream_sequence}"),
    ]
    rows += [("cause", f"{c.position}  {c.id.hex()}") for c in event.envelope.causes]
    rows += [(f"payload.{key}", _text(value)) for key, value in sorted(event.payload.items())]
    for key, value in sorted((event.content or {}).items()):
        rows.append((f"content.{key}", _text(value)))
    if event.redacted:
        rows.append(("content", "redacted: erased, its commitment stays"))
    for name, text in rows:
        console.out(f"{one_line(name):20} {one_line(text)}")


def _standing(reading: Reading) -> list[tuple[str, str]]:
    """Say what this version makes of the event, unless it is of the newest schema it knows."""
    schema = reading.event.envelope.schema
    match reading.standing:
        case Standing.UNKNOWN:
            text = "unknown to this version: kept, proven, not interpreted"
        case Standing.NEWER:
            text = f"schema {schema}, newer than this version: kept, proven, not interpreted"
        case Standing.OLDER:
            text = f"schema {schema}, an older one: the payload is shown as this version reads it"
        case Standing.CURRENT:
            return []
    return [("read as", text)]


def _text(value: object) -> str:
    shown = jsonable(value)
    return console.safe(shown) if isinstance(shown, str) else str(shown)
