"""Joins several orders of the same events into one: reciprocal rank fusion, in whole numbers.

Cormack, Clarke and Buettcher (SIGIR 2009): an event at rank r of a list adds weight / (K + r).
Ranks join what cannot be added: how telling the words are, whether names and days fit, how fresh it
is. Integers throughout, so the order is the same on every machine; events that come out equal are
ordered by position, newest first.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

K: Final = 20
"""Smaller makes the first ranks count for more. 60 is usual for lists of thousands."""
SCALE: Final = 1_000_000
MILLI: Final = 1_000


def telling(count: int, of: int) -> int:
    """How much a word tells that is in `count` of `of` events: thousandths of a bit, at least 50.

    log2 by bit length and a straight line between powers of two: no float, no library's rounding.
    """
    return max(50, _log2_milli(of + 1) - _log2_milli(count + 1))


def _log2_milli(number: int) -> int:
    whole = number.bit_length() - 1
    return whole * MILLI + (number - (1 << whole)) * MILLI // (1 << whole)


def ordered(scores: Mapping[int, int]) -> list[int]:
    """Positions by score, highest first; equal ones newest first."""
    return sorted(scores, key=lambda position: (-scores[position], -position))


def fuse(lists: Iterable[tuple[int, Mapping[int, int]]]) -> dict[int, int]:
    """Join (weight, scores by position); equal scores of one list share a rank."""
    total: dict[int, int] = {}
    for weight, scores in lists:
        for position, rank in _ranks(scores).items():
            total[position] = total.get(position, 0) + weight * SCALE // (K + rank)
    return total


def _ranks(scores: Mapping[int, int]) -> dict[int, int]:
    found: dict[int, int] = {}
    rank, last = 0, None
    for number, position in enumerate(ordered(scores), 1):
        if scores[position] != last:
            rank, last = number, scores[position]
        found[position] = rank
    return found


def distance(one: str, two: str, most: int) -> int:
    """Edits from one word to the other (optimal string alignment); `most` + 1 if more.

    Insertion, deletion, replacement and swap of neighbours count one each.
    """
    if abs(len(one) - len(two)) > most:
        return most + 1
    before: Sequence[int] = ()
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, b in enumerate(two, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == two[j - 2] and one[i - 2] == b:
                best = min(best, earlier[j - 2] + 1)
            row.append(best)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)
