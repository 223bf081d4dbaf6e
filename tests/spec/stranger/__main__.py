"""Hold the stranger and the product's verifier to one another, on damaged bundles.

    python -m tests.spec.stranger --mutations 50000 --seed 7 [--keep FOLDER]

Prints how often each verdict was given, and every file they disagree on. This module and the tests
are the only ones here that import the product.
"""

import argparse
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from node.verifier import verify_bundle
from tests.spec.stranger.bundle import Result, verify
from tests.spec.stranger.mutate import Source, mutations, source
from tests.spec.test_vectors import BUNDLES, bundle_of

EXAMPLES = Path(__file__).parents[3] / "examples"


def product(data: bytes, soul: bytes | None) -> tuple[str, str | None]:
    """Verdict and standing that users are told."""
    report = verify_bundle(io.BytesIO(data), soul)
    standing = None if report.standing is None else report.standing.name.lower()
    return report.verdict, standing


def sources() -> list[Source]:
    """Every bundle of the vectors, good or bad, and the proofs that a real node made."""
    found = [source(case["name"], *bundle_of(case)) for case in BUNDLES["cases"]]
    soul = (EXAMPLES / "SOUL.md").read_bytes()
    files = sorted(EXAMPLES.glob("*.proof"))
    return found + [source(path.name, path.read_bytes(), soul) for path in files]


@dataclass(frozen=True, slots=True)
class Case:
    """One file, and what both verifiers say of it."""

    name: str
    data: bytes
    stranger: Result
    product: tuple[str, str | None]

    @property
    def agreed(self) -> bool:
        return (self.stranger.verdict, self.stranger.standing) == self.product


def compared(found: Iterable[Source], count: int, seed: int) -> Iterator[Case]:
    for name, data, soul in mutations(list(found), count, seed):
        yield Case(name, data, verify(data, soul), product(data, soul))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.spec.stranger", description=__doc__)
    parser.add_argument("--mutations", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the files that differ")
    arguments = parser.parse_args()
    verdicts: Counter[str] = Counter()
    reasons: Counter[str | None] = Counter()
    differing = 0
    for case in compared(sources(), arguments.mutations, arguments.seed):
        verdicts[case.stranger.verdict] += 1
        reasons[case.stranger.kind] += 1
        if not case.agreed:
            differing += 1
            print(f"{case.name}: stranger {case.stranger}, product {case.product}")
            if arguments.keep is not None:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                (arguments.keep / f"{arguments.seed}-{differing}.bundle").write_bytes(case.data)
    print(", ".join(f"{name} {count}" for name, count in verdicts.most_common()))
    print(", ".join(f"{name or 'good'} {count}" for name, count in reasons.most_common()))
    print(f"{differing} of {arguments.mutations} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
