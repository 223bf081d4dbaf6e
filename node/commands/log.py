"""List events, newest last.

timmy log                 the last 20
timmy log --last 100      more
timmy log --from 0        everything from event 0 on
timmy log --type message  only types that start so
"""

import argparse
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from ledger.core.event import Event
from ledger.core.upcast import UPCASTERS, Standing
from ledger.views import words_of
from node import console
from node.home import Home
from node.open import reading

_OPAQUE: Final = {
    Standing.UNKNOWN: "of a type unknown to this version",
    Standing.NEWER: "newer than this version",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--last", type=int, default=20, metavar="N", help="how many (20)")
    parser.add_argument("--from", type=int, dest="start", metavar="POSITION", help="from here on")
    parser.add_argument("--type", default="", metavar="PREFIX", help="only these types")


def run(arguments: argparse.Namespace) -> int:
    """List events."""
    with reading(Home.find(arguments.home)) as home:
        if arguments.start is not None:
            events = list(_matching(home.log.events(arguments.start), arguments.type))
        else:
            backwards = (home.log.read(p) for p in range(home.log.size - 1, -1, -1))
            newest = islice(_matching(backwards, arguments.type), max(0, arguments.last))
            events = list(newest)[::-1]
    if arguments.json:
        console.out_json([console.row(event) for event in events])
    else:
        show(events)
    return 0


def _matching(events: Iterable[Event], prefix: str) -> Iterator[Event]:
    return (event for event in events if event.type.startswith(prefix))


def show(events: list[Event]) -> None:
    """Print events as a table."""
    console.table(
        ["event", "when", "type", "says"],
        (
            [str(event.position), console.when(event.ts_ms), event.type, summary(event)]
            for event in events
        ),
    )


def summary(event: Event) -> str:
    """Say in a few words what an event is about."""
    if event.redacted:
        return "(redacted)"
    reading = UPCASTERS.read(event)
    if reading.standing.opaque:
        return f"({_OPAQUE[reading.standing]})"
    words = " ".join(words_of(event).split())
    if words:
        return words if len(words) <= 160 else words[:159] + "…"
    facts = {k: v for k, v in reading.event.payload.items() if isinstance(v, str | int)}
    return ", ".join(f"{key} {value}" for key, value in list(facts.items())[:4])
