"""The Python that runs an agent process: this one's base installation, bare.

The child does not get the host's environment: `-I` ignores PYTHON* variables and the user's
packages, `-S` leaves site-packages away, `-B` writes no bytecode. A virtual environment is thereby
of no concern, and the one package an agent may import besides the standard library is put on its
path by itself.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Final

_SYSTEM_LIBRARIES: Final = (
    *("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib"),
    *("/lib", "/lib64", "/etc/ld.so.cache", "/nix/store", "/gnu/store"),
)
"""Where dynamic linkers look, on the distributions we know."""


def executable() -> Path:
    """Return the base interpreter's file, links resolved."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))


def command(program: str) -> list[str]:
    """Return the start of a command line that runs the text `program`; arguments may follow."""
    return [*_bare(), "-c", program]


def run(path: Path) -> list[str]:
    """Return the start of a command line that runs the program at `path`; arguments may follow."""
    return [*_bare(), str(path)]


def _bare() -> list[str]:
    return [str(executable()), "-I", "-S", "-B", "-X", "utf8"]


def package(name: str) -> Path | None:
    """Return the folder of an installed package, or None."""
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def needed_paths() -> list[Path]:
    """Return what the interpreter reads: itself, its library, the system's shared libraries.

    No entry lies inside an earlier one.
    """
    candidates = [
        *(Path(name) for name in _SYSTEM_LIBRARIES),
        Path(sys.base_prefix) / "lib",
        Path(sys.base_exec_prefix) / sys.platlibdir,
        executable(),
    ]
    found: list[Path] = []
    for path in candidates:
        if path.exists() and not any(path.is_relative_to(parent) for parent in found):
            found.append(path)
    return found
