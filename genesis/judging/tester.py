"""Runs the tests that a patch brings, in the sandbox, beside the tree that they are about.

It stands in the tree's place of main.py: makes the folder a package as that does, imports each
`test_*.py` and calls its functions `test_*`, as pytest would those that ask for nothing. What it
says is a claim: the tests run in this very process, and can make it say anything.
"""

import importlib
import importlib.util
import socket
import sys
from pathlib import Path

PACKAGE = "agent"


def counted(folder: Path) -> tuple[int, int]:
    """Return how many functions went through, and how many did not; a module counts as one."""
    passed = failed = 0
    for path in sorted(folder.rglob("test_*.py")):
        name = ".".join(path.relative_to(folder).with_suffix("").parts)
        try:
            module = importlib.import_module(f"{PACKAGE}.{name}")
        except BaseException:  # noqa: BLE001 - a test may raise anything, SystemExit too
            failed += 1
            continue
        for test in [value for key, value in vars(module).items() if key.startswith("test_")]:
            try:
                test()
            except BaseException:  # noqa: BLE001 - as above
                failed += 1
            else:
                passed += 1
    return passed, failed


def load(folder: Path) -> None:
    """Make `folder` importable as a package."""
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise SystemExit(f"{folder} cannot be loaded")
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    with socket.socket(fileno=0) as channel:
        here = Path(__file__).resolve().parent
        load(here)
        channel.sendall(b"%d %d\n" % counted(here))
