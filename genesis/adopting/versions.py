"""Adopted versions on disk: `<home>/versions/<digest in hex>.cbor`, beside the trees.

A file is read-only, appears under its name complete or not at all, and is verified against its name
each time it is opened. Nothing here says which one is in force: the ledger does.

Not covered: removing old ones; a reader with root's rights who changes a file after the check.
"""

from pathlib import Path
from typing import Final

from genesis.core.adopting.layers import VERSION_BYTES_MAX, Version, digest_of
from genesis.core.errors import (
    InvalidTree,
    PrivateFileError,
    PrivateFileExists,
    PrivateFileMissing,
    TreeError,
)
from genesis.keys import private

FOLDER: Final = "versions"
_MODE: Final = 0o400


def version_path(home: Path, digest: bytes) -> Path:
    """Return where the version named `digest` lies, or would lie."""
    return home / FOLDER / f"{digest.hex()}.cbor"


def store_version(home: Path, version: Version, *, disk: private.Disk = private.REAL_DISK) -> bytes:
    """Keep a version, durably, and return its digest. Storing it again changes nothing.

    It is read back: what could not be opened later is found before anything relies on it. Raises
    TreeError if the machine cannot, or if a damaged one lies under this name.
    """
    path = version_path(home, version.digest)
    try:
        private.make_folder(path.parent, disk=disk)
        private.create(path, version.encode(), mode=_MODE, disk=disk)
    except PrivateFileExists:
        pass
    except PrivateFileError as error:
        raise TreeError(f"cannot store a version: {error}", hint=error.hint) from error
    load_version(home, version.digest)
    return version.digest


def load_version(home: Path, digest: bytes) -> Version:
    """Return a stored version, verified against its name. Raises TreeError."""
    path = version_path(home, digest)
    hint = f"restore {path} from a backup of this home"
    try:
        data = private.read(path, bytes_max=VERSION_BYTES_MAX)
        if digest_of(data) != digest:
            raise TreeError(f"version {digest.hex()} is damaged", hint=hint)
        return Version.decode(data)
    except PrivateFileMissing as error:
        raise TreeError(f"there is no version {digest.hex()}", hint=hint) from error
    except (PrivateFileError, InvalidTree) as error:
        raise TreeError(f"version {digest.hex()}: {error}", hint=error.hint or hint) from error
