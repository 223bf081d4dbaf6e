"""Walk from an event to what caused it, and to what caused that, back to the first word.

Each line is one event; its causes are indented below it. An event met twice is shown once. Last
comes the way to the block that dates the event, if it is anchored: the head that covers it, the
transaction that commits to the head.
"""

import argparse
from dataclasses import dataclass

from attest.verify.plain import one_line
from ledger.core.event import Event
from ledger.core.types import AGGREGATED, ANCHOR_REQUESTED, ANCHORED, SEAL_STREAM
from node import console
from node.commands.log import summary
from node.home import Home
from node.open import Reading, reading

_AFTER = -1
"""The depth of what came after the event, in `--json`."""
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
        start = home.views.resolve(arguments.event)
        steps, foreign, cut = walk(home, start)
        way = way_to_block(home, start)
    if arguments.json:
        steps += [Step(event, _AFTER) for event in way]
        console.out_json([console.row(step.event) | {"depth": step.depth} for step in steps])
        return 0
    for step in steps:
        event = step.event
        console.out(f"{'  ' * step.depth}{event.position} {event.type}: {one_line(summary(event))}")
    for line in foreign:
        console.out(f"in another ledger: {line}")
    for event in way:
        console.out(f"then {event.position} {event.type}: {_closing(event)}")
    if cut:
        console.say(f"cut after {_EVENTS_MAX} events")
    return 0


def way_to_block(home: Reading, event: Event) -> list[Event]:
    """Return the first head over `event` that a block commits to, and what told of the block.

    Between them stands the round of an aggregator, if the head is in a slot of one of its own.
    """
    own = home.log.stream(SEAL_STREAM, last=home.log.size)
    mined = {e.payload["digest"]: e for e in own if e.type == ANCHORED.name}
    ways = {digest: [block] for digest, block in mined.items()}
    for closed in own:
        if closed.type == AGGREGATED.name and closed.payload["root"] in mined:
            ways.setdefault(closed.payload["digest"], [closed, mined[closed.payload["root"]]])
    for request in own:
        if request.type == ANCHOR_REQUESTED.name and request.payload["size"] > event.position:
            way = ways.get(request.payload["digest"])
            if way is not None:
                return [request, *way]
    return []


def _closing(event: Event) -> str:
    payload = event.payload
    if event.type == ANCHOR_REQUESTED.name:
        return f"the head of {payload['size']} events, digest {payload['digest'].hex()}"
    if event.type == AGGREGATED.name:
        return f"a round of {payload['ledgers']} ledgers, root {payload['root'].hex()}"
    return f"block {payload['height']}, transaction {payload['txid'][::-1].hex()}"


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
