"""Which project a memory belongs to: a digest of its git remote, or of its folder without one.

The same project has the same digest wherever it is checked out, and the ledger does not say where.
A digest of something guessable hides nothing from who guesses it.
"""

import subprocess
from pathlib import Path
from typing import Final

from ledger.core import hashing
from ledger.core.errors import TimmyError

PROJECT: Final = "timmy-node 2026-11 project v1"
PROJECT_BYTES: Final = 16
_GIT_SECONDS: Final = 10
"""git reads one small file; a file system that does not answer is not waited for."""


def project_hash(folder: Path) -> bytes:
    """Return the 16 bytes that name the project in `folder`. Raises TimmyError."""
    if not folder.is_dir():
        raise TimmyError(f"{folder} is no folder", hint="name the folder of the project")
    name = _remote(folder) or str(folder.resolve())
    return hashing.digest(PROJECT, name.encode(errors="surrogateescape"))[:PROJECT_BYTES]


def _remote(folder: Path) -> str:
    command = ["git", "-C", str(folder), "config", "--get", "remote.origin.url"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().removesuffix("/").removesuffix(".git")
