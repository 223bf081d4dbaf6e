"""Each page of a small ledger damaged in three ways, the file cut in each, each frame of the log hit.

What `tests/salvage` samples is done for all of them here: whatever is not on the page is saved, and
nothing that is saved is false.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from tests.salvage import checks, ledgers


def run(root: Path, *, say: Callable[[str], None] = lambda _: None) -> dict:
    """Return how many were tried, and the problems met."""
    problems: list[str] = []
    trials = 0

    def sweep(name: str, numbers: Iterable[int], one: Callable[..., None]) -> None:
        nonlocal trials
        for number in numbers:
            trials += 1
            try:
                one(numbers=[number])
            except Exception as error:  # whatever it is, the sweep goes on and tells
                problems.append(f"{name} {number}: {error!r}")
        say(f"{trials} pages and frames, the last of them: {name}")

    original = ledgers.make(root / "original.db")
    numbers = range(1, original.pages + 1)
    for damage in (ledgers.zeros, ledgers.bit, ledgers.noise):
        one = partial(checks.pages, original, root, damage=damage)
        sweep(damage.__name__, numbers, one)
    sweep("cut", numbers, partial(checks.cuts, original, root))

    logged = ledgers.make_with_log(root / "logged.db")
    path, wal = root / "copy.db", root / "copy.db-wal"
    path.write_bytes(logged.path.read_bytes())
    logged_wal = logged.path.with_name("logged.db-wal").read_bytes()

    def frame(*, numbers: list[int]) -> None:
        wal.write_bytes(logged_wal)
        checks.frames(logged, path, wal, numbers=numbers)

    sweep("frame", range(checks.frame_count(logged)), frame)
    return {"trials": trials, "problems": problems}
