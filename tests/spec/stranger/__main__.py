"""Hold the stranger and the product's verifier to one another, on damaged bundles.

    python -m tests.spec.stranger --mutations 50000 --held 10000 --seed 7 [--keep FOLDER]

`--held` is how many files are verified beside what is held. Prints how often each verdict was given, and every file they disagree on. This module and the tests
are the only ones here that import the product.
"""

import argparse
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from attest.verify.bundle import verify_bundle
from tests.spec.stranger.bundle import Result, verify
from tests.spec.stranger.mutate import Source, mutations, source
from tests.spec.stranger.mutate_held import Pair, beside
from tests.spec.test_vectors import BUNDLES, HELD, bundle_of, held_of

EXAMPLES = Path(__file__).parents[3] / "examples"


def product(data: bytes, soul: bytes | None, held: bytes | None = None) -> tuple[str, str | None]:
    """Verdict and standing that users are told."""
    older = None if held is None else io.BufferedReader(io.BytesIO(held))
    report = verify_bundle(io.BytesIO(data), soul, held=older)
    standing = None if report.standing is None else report.standing.name.lower()
    return report.verdict, standing


def sources() -> list[Source]:
    """Every bundle of the vectors, good or bad, and the proofs that a real node made."""
    found = [source(case["name"], *bundle_of(case)) for case in BUNDLES["cases"]]
    soul = (EXAMPLES / "SOUL.md").read_bytes()
    files = sorted(EXAMPLES.glob("*.proof"))
    return found + [source(path.name, path.read_bytes(), soul) for path in files]


def pairs() -> list[Pair]:
    """Every file of the vectors that has something held beside it."""
    found = []
    for case in HELD["cases"]:
        file, held = held_of(case)
        name = case["name"]
        found.append(Pair(source(name, file, None), source(name, held, None)))
    return found


@dataclass(frozen=True, slots=True)
class Case:
    """One file, what is held beside it, and what both verifiers say of it."""

    name: str
    data: bytes
    held: bytes | None
    stranger: Result
    product: tuple[str, str | None]

    @property
    def agreed(self) -> bool:
        return (self.stranger.verdict, self.stranger.standing) == self.product


def compared(found: Iterable[Source], count: int, seed: int) -> Iterator[Case]:
    for name, data, soul in mutations(list(found), count, seed):
        yield Case(name, data, None, verify(data, soul), product(data, soul))


def compared_beside(found: list[Pair], count: int, seed: int) -> Iterator[Case]:
    for name, data, held in beside(found, count, seed):
        yield Case(name, data, held, verify(data, None, held), product(data, None, held))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.spec.stranger", description=__doc__)
    parser.add_argument("--mutations", type=int, default=10_000, metavar="N")
    parser.add_argument("--held", type=int, default=2_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the files that differ")
    arguments = parser.parse_args()
    differing = told(compared(sources(), arguments.mutations, arguments.seed), arguments)
    differing += told(compared_beside(pairs(), arguments.held, arguments.seed), arguments)
    return 1 if differing else 0


def told(cases: Iterable[Case], arguments: argparse.Namespace) -> int:
    """Print what was found, keep the files that differ; gives how many do."""
    verdicts: Counter[str] = Counter()
    reasons: Counter[str | None] = Counter()
    differing = 0
    for case in cases:
        verdicts[case.stranger.verdict] += 1
        reasons[case.stranger.kind] += 1
        if not case.agreed:
            differing += 1
            print(f"{case.name}: stranger {case.stranger}, product {case.product}")
            if arguments.keep is not None:
                keep(case, arguments.keep / f"{arguments.seed}-{differing}")
    print(", ".join(f"{name} {count}" for name, count in verdicts.most_common()))
    print(", ".join(f"{name or 'good'} {count}" for name, count in reasons.most_common()))
    print(f"{differing} of {verdicts.total()} differ")
    return differing


def keep(case: Case, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".bundle").write_bytes(case.data)
    if case.held is not None:
        path.with_suffix(".held").write_bytes(case.held)


if __name__ == "__main__":
    sys.exit(main())
