"""Architecture trees on disk: `<home>/trees/<digest in hex>/`, and which one is adopted.

A stored tree is read-only and is verified against its name each time it is opened, so that a bit
that flipped, or a hand that helped, is found before the code runs. It appears under its name
complete or not at all. `<home>/trees/current` names the adopted one in a line of text; it is
replaced atomically, and what was adopted before stays on disk to go back to.

Not covered: removing old trees; a reader with root's rights who changes a file after the check.
"""

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Final

from genesis.core import limits
from genesis.core.errors import InvalidTree, TreeError
from genesis.core.tree import DIGEST_BYTES, Tree
from ledger.files import sync_folder, write_atomically

FOLDER: Final = "trees"
_CURRENT: Final = "current"
_IGNORED: Final = frozenset({"__pycache__"})
"""Written by an interpreter beside the files of a source checkout; never part of a tree."""


def read_tree(folder: Path) -> Tree:
    """Return the tree that lies in `folder`. Raises InvalidTree, or TreeError if unreadable."""
    files: dict[str, bytes] = {}
    try:
        _read_folder(folder, "", files)
    except OSError as error:
        raise TreeError(f"{folder}: {error.strerror}") from error
    return Tree(files)


def _read_folder(folder: Path, prefix: str, files: dict[str, bytes]) -> None:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _IGNORED:
                if prefix.count("/") >= limits.PATH_DEPTH_MAX:
                    raise InvalidTree(f"{path!r} is deeper than {limits.PATH_DEPTH_MAX}")
                _read_folder(Path(entry.path), path + "/", files)
            continue
        files[path] = _read_file(Path(entry.path), path)
        if len(files) > limits.TREE_FILES_MAX:
            raise InvalidTree(f"more than {limits.TREE_FILES_MAX} files")


def _read_file(file: Path, path: str) -> bytes:
    """Read without following a link, and without waiting for whoever writes into a pipe."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if file.is_symlink():
            raise InvalidTree(f"{path!r} is a link") from error
        raise
    with os.fdopen(fd, "rb") as opened:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise InvalidTree(f"{path!r} is not a regular file")
        return opened.read(limits.TREE_FILE_BYTES_MAX + 1)


def write_tree(tree: Tree, folder: Path, *, durable: bool = True) -> None:
    """Write the files of `tree`, read-only, into the existing empty `folder`."""
    folders = {folder}
    for path, data in tree.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        folders.update(parent for parent in target.parents if parent.is_relative_to(folder))
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        with os.fdopen(fd, "wb") as opened:
            opened.write(data)
            if durable:
                opened.flush()
                os.fsync(fd)
    for made in folders if durable else ():
        sync_folder(made)


def store_tree(home: Path, tree: Tree) -> Path:
    """Keep `tree` in `home` and return its folder. Storing a tree again changes nothing.

    Raises TreeError if the machine cannot, or if a damaged tree lies under this name.
    """
    target = tree_path(home, tree.digest)
    if target.exists():
        return open_tree(home, tree.digest)
    try:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        working = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
        try:
            write_tree(tree, working)
            _rename(working, target)
        except BaseException:
            discard(working)
            raise
    except OSError as error:
        raise TreeError(f"cannot store tree {tree.digest.hex()}: {error.strerror}") from error
    return open_tree(home, tree.digest)


def open_tree(home: Path, digest: bytes) -> Path:
    """Return the folder of a stored tree, verified just now. Raises TreeError."""
    load_tree(home, digest)
    return tree_path(home, digest)


def load_tree(home: Path, digest: bytes) -> Tree:
    """Return a stored tree as a value, verified against its name. Raises TreeError."""
    folder = tree_path(home, digest)
    if not folder.is_dir():
        raise TreeError(f"there is no tree {digest.hex()}")
    hint = f"remove {folder} and fetch or build the tree again"
    try:
        tree = read_tree(folder)
    except InvalidTree as error:
        raise TreeError(f"tree {digest.hex()} is damaged: {error}", hint=hint) from error
    if tree.digest != digest:
        raise TreeError(
            f"tree {digest.hex()} is damaged: its files have digest {tree.digest.hex()}", hint=hint
        )
    return tree


def tree_path(home: Path, digest: bytes) -> Path:
    """Return where the tree named `digest` (32 bytes) lies, or would lie."""
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"tree digest of {len(digest)} bytes, expected {DIGEST_BYTES}")
    return home / FOLDER / digest.hex()


def set_current(home: Path, digest: bytes) -> None:
    """Adopt a stored tree: durable, and at no moment is there none. Raises TreeError."""
    folder = open_tree(home, digest).parent
    try:
        write_atomically(folder / _CURRENT, f"{digest.hex()}\n".encode())
    except OSError as error:
        raise TreeError(f"cannot adopt tree {digest.hex()}: {error.strerror}") from error


def current(home: Path) -> bytes | None:
    """Return the digest of the adopted tree, None if none ever was. Raises TreeError."""
    try:
        # Not `read_text`, which takes a carriage return for the end of a line.
        text = (home / FOLDER / _CURRENT).read_bytes().decode("ascii")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise TreeError(f"cannot read which tree is adopted: {error}") from error
    name = text.removesuffix("\n")
    try:
        digest = bytes.fromhex(name)
    except ValueError:
        digest = b""
    if len(digest) != DIGEST_BYTES or digest.hex() != name:
        raise TreeError(f"{_CURRENT} does not name a tree: {text[:80]!r}")
    return digest


def _rename(working: Path, target: Path) -> None:
    """Give the finished folder its name; if another process was first, both made the same."""
    for folder in sorted((p for p in working.rglob("*") if p.is_dir()), reverse=True):
        folder.chmod(0o555)
    try:
        working.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        discard(working)
    else:
        target.chmod(0o555)
        sync_folder(target.parent)


def discard(working: Path) -> None:
    """Remove a folder and what is in it, read-only trees included."""
    for folder in (working, *(p for p in working.rglob("*") if p.is_dir())):
        folder.chmod(0o700)
    shutil.rmtree(working, ignore_errors=True)
