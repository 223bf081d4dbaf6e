"""`python -m tests.fuzz [--target NAME ...] [--seconds N] [--seed N]`: search for broken contracts.

Without --target all of them take turns. What is found is cut down and kept in tests/fuzz/corpus,
one file an input, named by target and failure. Exits 1 if anything was found.
"""

import argparse
import hashlib
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from .engine import Broken, check, inputs, minimise
from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
HANG_SECONDS = 30


class Hang(Exception):
    """One input took longer than any should."""


def _hang(_signal, _frame):
    raise Hang


def keep(found):
    try:
        data = minimise(TARGETS[found.target], found.data, found.kind)
    except Hang:
        data = found.data
    name = f"{found.kind}-{hashlib.sha256(data).hexdigest()[:8]}.bin"
    path = CORPUS / found.target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def campaign(target, seconds, seed):
    """Search one target; a failure of a kind that is known already is not kept again."""
    outcomes, known = Counter(), set()
    end = time.monotonic() + seconds
    for data in inputs(target, seed):
        if time.monotonic() > end:
            break
        signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
        try:
            outcomes[check(target, data)] += 1
        except Broken as found:
            outcomes[found.kind] += 1
            if found.kind not in known:
                known.add(found.kind)
                print(f"{target.name}: {found.kind}: {keep(found)}", flush=True)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    total = sum(outcomes.values())
    print(f"{target.name}: {total} inputs: {dict(outcomes.most_common(8))}", flush=True)
    return len(known)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=float, default=10, help="for each target")
    parser.add_argument("--seed", default=None, help="any word; without it, another each time")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else str(time.time_ns())
    print(f"seed {seed}")
    signal.signal(signal.SIGALRM, _hang)
    names = arguments.target or sorted(TARGETS)
    return min(1, sum(campaign(TARGETS[name], arguments.seconds, seed) for name in names))


if __name__ == "__main__":
    sys.exit(main())
