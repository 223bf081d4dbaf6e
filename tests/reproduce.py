"""Judges one proposal many times over two homes and two versions of Python: is it one digest?

    python -m tests.reproduce                  20 judgements, and what they took
    python -m tests.reproduce --rounds 4       fewer
    python -m tests.reproduce --other PYTHON   the second interpreter (build/python-*, as made by
                                               tests/other_python.sh)

The first is the owner's, in his node; the others are from the file that he exported, in turn by his
home and another one, by this Python and the other. A judgement in which the machine was too busy
to tell says so, is made again, and is counted. Not part of `make test`: it takes minutes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.node.test_node_patches import draft
from tests.node.world import Home

ROOT = Path(__file__).parents[1]
ROUNDS = 20
TRIES_MAX = 10
SECONDS_MAX = 900


def others() -> list[str]:
    """Interpreters with the libraries of this software that lie beside it."""
    made = sorted((ROOT / "build").glob("python-*/.ready"))
    return [str(ready.parent / "bin" / "python") for ready in made]


def version(python: str) -> str:
    code = "import platform; print(platform.python_version())"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def judged(home: Home, python: str, bundle: Path, file: Path) -> tuple[dict, int]:
    """Judge the bundle until something is found out; returns that, and how often it was not."""
    for unsure in range(TRIES_MAX):
        done = subprocess.run(
            [python, "-m", "node", "--json", "patch", "judge", "--bundle", str(bundle), "-o", str(file)],
            env=home.env | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
            timeout=SECONDS_MAX, check=False,
        )  # fmt: skip
        if done.returncode > 1:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout)
        if found["decision"] != "inconclusive":
            return found, unsure
    raise SystemExit(f"{TRIES_MAX} times the machine was too busy to tell")


def prepared(folder: Path) -> tuple[list[Home], str, Path]:
    """Two homes, the owner's digest, and the bundle that he exported."""
    homes = [Home(folder / name).configure() for name in ("owner", "other")]
    for home in homes:
        home.run("init").good()
    owner, bundle = homes[0], folder / "proposal.patch"
    with owner.running() as node:
        for words in ("the roof needs new tiles", "and bring marmalade"):
            node.say(words)
        made = owner.run("--json", "patch", "propose", str(draft(owner))).good().json
        at = str(made["position"])
        for _ in range(TRIES_MAX):
            found = owner.run("--json", "patch", "judge", at).json
            if found["decision"] != "inconclusive":
                break
        owner.run("patch", "export", at, str(bundle)).good()
    return homes, found["digest"], bundle


def main() -> int:
    """Run it, print a table and what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"judgements ({ROUNDS})")
    parser.add_argument(
        "--other", action="append", default=[], metavar="PYTHON", help="a second interpreter"
    )
    given = parser.parse_args()
    pythons = [sys.executable, *(given.other or others()[:1])]
    versions = {python: version(python) for python in pythons}
    if len(set(versions.values())) < 2:
        print("no second version of Python is set up here: tests/other_python.sh")
    with tempfile.TemporaryDirectory(prefix="timmy-reproduce-") as name:
        homes, digest, bundle = prepared(Path(name))
        print(f"{'owner':8} {versions[sys.executable]:8} {digest}")
        digests, unsure, took = {digest}, 0, []
        for number in range(1, given.rounds):
            home = homes[number % 2]
            python = pythons[number // 2 % len(pythons)]
            started = time.monotonic()
            found, again = judged(home, python, bundle, Path(name) / f"{number}.json")
            took.append(time.monotonic() - started)
            unsure += again
            digests.add(found["digest"])
            print(f"{home.root.name:8} {versions[python]:8} {found['digest']} {found['decision']}")
    print(
        f"{given.rounds} judgements, 2 homes, Python {' and '.join(sorted(set(versions.values())))}: "
        f"{len(digests)} digest(s); {unsure} more were inconclusive; "
        f"median {sorted(took)[len(took) // 2]:.1f} s"
    )
    return 0 if len(digests) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
