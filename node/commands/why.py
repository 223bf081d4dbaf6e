"""Walk from an event to what caused it, and to what caused that, back to the first word.

Each line is one event; its causes are indented below it. An event met twice is shown once.
"""

import argparse
from dataclasses import dataclass

from ledger.core.event import Event
from node import console
from node.commands.log import summary
from node.console import one_line
from node.home import Home
from node.open import Reading, reading

_EVENTS_MAX = 500
"""A page of explanation; the rest is cut and said to be."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event on the way back, `depth` causes away from where the walk began."""

    event: Event
    depth: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("event", help="position, or the start of an id in hex")


def run(arguments: argparse.Namespace) -> int:
    """Walk the causes of one event."""
    with reading(Home.find(arguments.home)) as home:
        steps, foreign, cut = walk(home, home.views.resolve(arguments.event))
    if arguments.json:
        console.out_json([console.row(step.event) | {"depth": step.depth} for step in steps])
        return 0
    for step in steps:
        event = step.event
        console.out(f"{'  ' * step.depth}{event.position} {event.type}: {one_line(summary(event))}")
    for line in foreign:
        console.out(f"in another ledger: {line}")
    if cut:
        console.say(f"cut after {_EVENTS_MAX} events")
    return 0


def walk(home: Reading, start: Event) -> tuple[list[Step], list[str], bool]:
    """Return the causes of `start` in depth-first order, causes in other ledgers, and if cut."""
    steps: list[Step] = []
    foreign: list[str] = []
    seen: set[int] = set()
    waiting = [Step(start, 0)]
    while waiting and len(steps) < _EVENTS_MAX:
        step = waiting.pop()
        if step.event.position in seen:
            continue
        seen.add(step.event.position)
        steps.append(step)
        for cause in reversed(step.event.envelope.causes):
            if cause.ledger is not None:
                foreign.append(f"{cause.ledger.hex()} event {cause.position}")
            else:
                waiting.append(Step(home.log.read(cause.position), step.depth + 1))
    return steps, foreign, bool(waiting)
