"""Show one event whole: envelope, payload, content, and where its words are, if they are gone."""

import argparse

from ledger.core.event import Event
from ledger.core.upcast import UPCASTERS, Reading, Standing
from node import console
from node.home import Home
from node.open import reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("event", help="position, or the start of an id in hex")


def run(arguments: argparse.Namespace) -> int:
    """Show one event."""
    with reading(Home.find(arguments.home)) as home:
        event = home.views.resolve(arguments.event)
        if arguments.json:
            console.out_json(console.row(event))
        else:
            _show(event)
    return 0


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
        console.out(f"{console.one_line(name):20} {console.one_line(text)}")


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
    shown = console.jsonable(value)
    return console.safe(shown) if isinstance(shown, str) else str(shown)
