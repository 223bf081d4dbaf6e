"""Pairs of a file and what is held beside it, damaged by a seed.

Mostly the file stays good, for a bad one is not compared: what is held is another head, another
file, the same life told otherwise; or the file lacks a record that tied the two.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.spec.stranger import tree
from tests.spec.stranger.mutate import Source, mutated
from tests.spec.stranger.remake import TENURES, Record, closed, named, note

HOW = ("told", "told", "told", "head", "head", "head", "less", "less", "other", "swapped")


@dataclass(frozen=True, slots=True)
class Pair:
    """A file, and what its reader holds: a bundle, or a note, which has no records."""

    file: Source
    held: Source


def beside(pairs: list[Pair], count: int, seed: int) -> Iterator[tuple[str, bytes, bytes]]:
    """`count` times: what was done to which, a file, and what is held."""
    chance = Random(seed)
    for number in range(count):
        pair, how = chance.choice(pairs), HOW[number % len(HOW)]
        file, held = pair.file.data, pair.held.data
        other = chance.choice(pairs)
        match how:
            case "told":
                held = _told(pair.held, other.held, chance)
            case "head":
                held = _head(pair.file, chance)
            case "less":
                file = _less(pair.file, chance)
            case "other":
                held = chance.choice((other.held, other.file)).data
            case _:
                file, held = held, file
        yield f"{number} {how}: {pair.held.name!r}", file, held


def _told(held: Source, other: Source, chance: Random) -> bytes:
    """What is held, told otherwise: a log made again, or a record of it changed."""
    if not held.records:
        return mutated("bytes", held, [], chance)
    events = [record for record in held.records if record[0] == "event"]
    whole = bool(events) and [record[1] for record in events] == list(range(len(events)))
    kind = "log" if whole and chance.random() < 0.7 else chance.choice(("records", "field"))
    return mutated(kind, held, other.records, chance)


def _head(file: Source, chance: Random) -> bytes:
    """A head over the events that the file has from the first on, or one that is in it."""
    notes = [record[1] for record in file.records if record[0] == "checkpoint"]
    if notes and chance.random() < 0.2:
        return bytes(chance.choice(notes))
    leaves: list[bytes] = []
    for record in file.records:
        if record[0] == "event" and record[1] == len(leaves):
            leaves.append(tree.leaf(record[2]))
    size = chance.randrange(len(leaves) + 2)
    root = tree.root(leaves[:size]) if chance.random() < 0.8 else bytes(32)
    by = named("log", chance.choice((0, 0, 1, chance.randrange(TENURES))))
    epoch = chance.choice((file.records[0][3], file.records[0][3], 0, 1, 2))
    return note(file.records[0][2], epoch, size, root, by)


def _less(file: Source, chance: Random) -> bytes:
    """The file without a record, mostly without one that ties it to other heads."""
    records: list[Record] = copy.copy(file.records)
    ties = [record for record in records if record[0] in ("consistency", "checkpoint")]
    if ties and chance.random() < 0.8:
        records.remove(chance.choice(ties))
    else:
        del records[chance.randrange(len(records))]
    return closed(records)
