"""Runs one target on one input and holds it to the contract; searches; measures growth."""

import itertools
import random as randomness
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .mutate import mutate


class Broken(AssertionError):
    """A parser broke its contract. `kind` names how, for the file the input is kept in."""

    def __init__(self, target, kind, data):
        super().__init__(f"{target}: {kind} on {len(data)} bytes: {data[:200]!r}")
        self.target, self.kind, self.data = target, kind, data


class NotCanonical(Exception):
    """What was accepted re-encodes to other bytes."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A parser: `run` takes bytes and returns, or raises one of the documented `errors`.

    `run` also re-encodes what it accepted, if the format is canonical, and calls what a caller
    would call next. `bulk` makes hostile input of about n bytes, for the measurement of growth.
    """

    name: str
    run: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    specimens: Callable[[], list[bytes]]
    kind: str = "bytes"
    bulk: dict[str, Callable[[int], bytes]] = field(default_factory=dict)
    weight: int = 1
    """Inputs of the sample are divided by this: what each costs in milliseconds or so."""


def same(data, encoded):
    """Demand that a canonical format was accepted in its one encoding."""
    if encoded != data:
        raise NotCanonical


def check(target, data):
    """Return "accepted", the error's name, or what `run` says it was. Raises Broken."""
    try:
        outcome = target.run(data)
    except target.errors as error:
        return type(error).__name__
    except Exception as error:
        raise Broken(target.name, type(error).__name__, data) from error
    return outcome if isinstance(outcome, str) else "accepted"


def inputs(target, seed):
    """Yield inputs for ever: the specimens, then mutations of them, and of some of what that made.

    Most begin at a specimen: what is built upon damage rarely gets past the first check.
    """
    random = randomness.Random(f"{target.name} {seed}")
    specimens, made = target.specimens(), []
    yield from specimens
    for number in itertools.count():
        pool = made if made and random.random() < 0.2 else specimens
        data = mutate(random, target.kind, random.choice(pool), specimens)
        yield data
        if number % 7 == 0 and len(data) < 100_000:
            if len(made) > 200:
                del made[random.randrange(200)]
            made.append(data)


def sample(target, count, seed=0):
    """Check `count` inputs and return how often each outcome came."""
    return Counter(check(target, data) for data in itertools.islice(inputs(target, seed), count))


def minimise(target, data, kind):
    """Cut pieces out of `data` as long as it still breaks in the same way."""

    def breaks(candidate):
        try:
            check(target, candidate)
        except Broken as error:
            return error.kind == kind
        return False

    width = len(data) // 2
    while width:
        at = 0
        while at < len(data):
            shorter = data[:at] + data[at + width :]
            if breaks(shorter):
                data = shorter
            else:
                at += width
        width //= 2
    return data


# ---- growth -------------------------------------------------------------------------------------


def cost(target, data):
    """Lines of Python that one run executes, and the peak of memory it takes, in bytes."""
    lines = 0

    def trace(_frame, event, _argument):
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        check(target, data)
    finally:
        sys.settrace(before)
    already = tracemalloc.is_tracing()
    if not already:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        base = tracemalloc.get_traced_memory()[0]
        check(target, data)
        peak = tracemalloc.get_traced_memory()[1] - base
    finally:
        if not already:
            tracemalloc.stop()
    return lines, peak
