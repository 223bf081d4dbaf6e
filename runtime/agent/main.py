"""Starts the agent: `python -I main.py`, with the host on file descriptor 0.

A tree may lie in a folder of any name and is started as a file, with nothing of ours on sys.path.
So its folder is made the package `agent` here, and the modules beside this one import each other
relatively.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

PACKAGE = "agent"


def load(folder: Path) -> None:
    """Make `folder` importable as the package `agent`."""
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise SystemExit(f"{folder} cannot be loaded")
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    load(Path(__file__).resolve().parent)
    raise SystemExit(importlib.import_module(f"{PACKAGE}.process").main())
