"""Consensus-critical: an architecture tree as a value, and the digest that names it.

The tree is the patchable part of an agent: the files of `runtime/agent/`, by relative path. Paths
are plain ASCII and may not collide on a file system that folds case, so that every machine holds
the same tree under the same digest:

    digest = BLAKE3(context, CBOR([[path, BLAKE3(context, bytes)], ...])), sorted by path

Files are text; there are no links, no modes and no empty folders, since a digest over those would
differ between machines. Not covered: whether the code does any good (genesis.judge).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from genesis.core import limits
from genesis.core.errors import InvalidTree
from ledger.core import hashing
from ledger.core.codec import encode

ENTRY: Final = "main.py"
SUFFIXES: Final = frozenset({".py", ".md", ".toml", ".txt"})
DIGEST_BYTES: Final = 32

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def check_path(path: str) -> None:
    """Raise InvalidTree unless `path` is a plain relative path that may be in a tree."""
    segments = path.split("/")
    if len(path) > limits.PATH_CHARS_MAX:
        raise InvalidTree(f"path of {len(path)} characters, at most {limits.PATH_CHARS_MAX}")
    if len(segments) > limits.PATH_DEPTH_MAX:
        raise InvalidTree(f"path {path!r} is {len(segments)} deep, at most {limits.PATH_DEPTH_MAX}")
    if not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise InvalidTree(f"path {path!r} is not plain: letters, digits, '_', '-', '.', '/'")
    if not path.endswith(tuple(SUFFIXES)):
        raise InvalidTree(f"{path!r} is none of {', '.join(sorted(SUFFIXES))}")


@dataclass(frozen=True)
class Tree(Mapping[str, bytes]):
    """Files by relative path, checked on construction. Raises InvalidTree."""

    files: Mapping[str, bytes]

    def __post_init__(self) -> None:
        ordered = {name: self.files[name] for name in sorted(self.files)}
        object.__setattr__(self, "files", MappingProxyType(ordered))
        if len(self.files) > limits.TREE_FILES_MAX:
            raise InvalidTree(f"{len(self.files)} files, at most {limits.TREE_FILES_MAX}")
        for path, data in self.files.items():
            check_path(path)
            _check_text(path, data)
        total = sum(map(len, self.files.values()))
        if total > limits.TREE_BYTES_MAX:
            raise InvalidTree(f"{total} bytes, at most {limits.TREE_BYTES_MAX}")
        _check_collisions(self.files)
        if ENTRY not in self.files:
            raise InvalidTree(f"there is no {ENTRY}")

    def __getitem__(self, path: str) -> bytes:
        return self.files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def digest(self) -> bytes:
        """The 32 bytes that name this tree."""
        pairs: list[Any] = [
            [path, hashing.digest(hashing.TREE_FILES, data)] for path, data in self.files.items()
        ]
        return hashing.digest(hashing.TREE_FILES, encode(pairs))


def _check_text(path: str, data: bytes) -> None:
    if len(data) > limits.TREE_FILE_BYTES_MAX:
        raise InvalidTree(f"{path}: {len(data)} bytes, at most {limits.TREE_FILE_BYTES_MAX}")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidTree(f"{path}: not UTF-8 at byte {error.start}") from error
    if "\0" in text:
        raise InvalidTree(f"{path}: a NUL in a text file")


def _check_collisions(files: Mapping[str, bytes]) -> None:
    """Two names that some file system takes for one, or a file where a folder must be."""
    seen: dict[str, str] = {}
    for path in files:
        other = seen.setdefault(path.lower(), path)
        if other != path:
            raise InvalidTree(f"{path!r} and {other!r} differ in case only")
    for path in seen:
        segments = path.split("/")
        for depth in range(1, len(segments)):
            parent = "/".join(segments[:depth])
            if parent in seen:
                raise InvalidTree(f"{seen[parent]!r} is a file and a folder")
