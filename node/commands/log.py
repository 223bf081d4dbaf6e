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

from ledger.core.errors import StoreDamaged
from ledger.core.event import Event
from ledger.core.upcast import UPCASTERS, Standing
from ledger.log import Log
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
    """List events; exit 1 if some of them cannot be read."""
    lost: list[StoreDamaged] = []
    with reading(Home.find(arguments.home)) as home:
        if arguments.start is not None:
            events = list(_matching(_onwards(home.log, arguments.start, lost), arguments.type))
        else:
            whole = _readable(home.log, range(home.log.size - 1, -1, -1), lost)
            newest = islice(_matching(whole, arguments.type), max(0, arguments.last))
            events = list(newest)[::-1]
    if arguments.json:
        console.out_json([console.row(event) for event in events])
    else:
        show(events)
    if lost:
        console.say(f"warning: {len(lost)} events cannot be read, the first one met: {lost[0]}")
        console.say(f"warning: {lost[0].hint}")
    return 1 if lost else 0


def _onwards(log: Log, start: int, lost: list[StoreDamaged]) -> Iterator[Event]:
    """Yield every event from `start` on that can be read."""
    following = max(0, start)
    while following < log.size:
        try:
            for event in log.events(following):
                following = event.position + 1
                yield event
        except StoreDamaged:
            yield from _readable(log, range(following, following + 1), lost)
            following += 1


def _readable(log: Log, positions: range, lost: list[StoreDamaged]) -> Iterator[Event]:
    """Yield the events at `positions`; what cannot be read goes to `lost`."""
    for position in positions:
        try:
            yield log.read(position)
        except StoreDamaged as error:
            lost.append(error)


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
