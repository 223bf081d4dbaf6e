# ruff: noqa: INP001 - copied into the zipapp by itself: no package
"""Runs first in the zipapp: a Python that its libraries were not built for is named, not traced.

The libraries are compiled for one version of Python and one kind of machine. Exit status 2, as for
any question that cannot be asked: 1 would be a verdict.
"""

import sys
import sysconfig
from pathlib import Path

_LIBRARIES = ("blake3", "cbor2", "coincurve")


def _check(folder: Path) -> None:
    try:
        for name in _LIBRARIES:
            __import__(name)
    except ImportError:
        here = sysconfig.get_config_var("EXT_SUFFIX")
        built = sorted({"." + path.name.partition(".")[2] for path in folder.rglob("*.so")})
        sys.stderr.write(
            f"timmy-verify: error: this file was built for {' '.join(built)}, this is {here}\n"
            "timmy-verify: hint: run it under the Python it was built for, or install the wheel\n"
        )
        sys.exit(2)


if __name__ == "__main__":
    _check(Path(__file__).parents[1])
