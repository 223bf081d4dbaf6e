"""Consensus-critical: which skills and thresholds hold: those adopted, or those of the operator.

Skills and thresholds are files of the operator's, and stay his. An adopted *version* holds the
files as they were adopted, and of each of his own files the digest that it had then:

    his own file is as it was then    what was adopted holds (or nothing, if that took it away)
    he changed, added or removed it   his own file holds, from that moment on

So the newer word counts, and an edit of his is never written over nor lost. It makes another
architecture, on which the next proposal stands. A version is stored under the digest of its bytes:

    CBOR([1, [[path, bytes], ...], [[path, BLAKE3(file context, bytes)], ...]]), sorted by path

A skin lies in the ledger, signed, and not in a file: an adoption puts it there (`node.agent`).

Not covered: code and prompts, which are the tree's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from genesis.core import limits
from genesis.core.architecture import PathClass, class_of, file_digest
from genesis.core.errors import InvalidTree
from genesis.core.tree import DIGEST_BYTES
from ledger.core import hashing
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor

FORMAT: Final = 1
CONTEXT: Final = "timmy-node 2026-11 adopted version v1"
LAYERED: Final = frozenset({PathClass.SKILL, PathClass.SKIN, PathClass.THRESHOLD})
"""Classes that the operator changes by hand: of everything else the adopted one holds."""
_ROW_BYTES: Final = 512
"""Two paths, two digests and what stands around them."""
VERSION_BYTES_MAX: Final = (
    limits.SKILLS_MAX * (limits.SKILL_BYTES_MAX + _ROW_BYTES)
    + limits.SKINS_MAX * (limits.SKIN_BYTES_MAX + _ROW_BYTES)
    + limits.THRESHOLDS_BYTES_MAX
    + _ROW_BYTES
)
"""As many skills and skins as there may be, of the largest size, and the thresholds."""


@dataclass(frozen=True)
class Version:
    """Files as adopted, and digests of the operator's own as they were then. Raises InvalidTree."""

    files: Mapping[str, bytes]
    own: Mapping[str, bytes]

    def __post_init__(self) -> None:
        for name in ("files", "own"):
            given = getattr(self, name)
            for path in given:
                if class_of(path) not in LAYERED:
                    raise InvalidTree(f"version: {path!r} has no operator's file beside it")
            ordered = {path: given[path] for path in sorted(given)}
            object.__setattr__(self, name, MappingProxyType(ordered))
        if bad := [path for path, one in self.own.items() if len(one) != DIGEST_BYTES]:
            raise InvalidTree(f"version: the digest of {bad[0]!r} is not {DIGEST_BYTES} bytes")

    @classmethod
    def of(cls, files: Mapping[str, bytes], own: Mapping[str, bytes]) -> "Version":
        """Return the version of an architecture's `files`, beside the operator's `own` as now."""
        kept = {path: data for path, data in files.items() if class_of(path) in LAYERED}
        return cls(kept, {path: file_digest(data) for path, data in own.items()})

    def encode(self) -> bytes:
        """Return the bytes that the digest is of."""
        rows: list[Any] = [[[path, one[path]] for path in one] for one in (self.files, self.own)]
        return encode([FORMAT, *rows])

    @classmethod
    def decode(cls, data: bytes) -> "Version":
        """Read what `encode` gave. Raises InvalidTree for anything else."""
        try:
            value = decode(data, bytes_max=VERSION_BYTES_MAX)
        except InvalidCbor as error:
            raise InvalidTree(f"version: {error}") from error
        match value:
            case [int(number), [*files], [*own]] if number == FORMAT and number is not True:
                read = cls(_rows(files), _rows(own))
                if read.encode() == data:
                    return read
        raise InvalidTree(f"version: not of format {FORMAT}")

    @cached_property
    def digest(self) -> bytes:
        """The 32 bytes that name it."""
        return digest_of(self.encode())

    def over(self, own: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return the files that hold, beside the operator's `own` as they are now."""
        held = {path: self.holds(path, own.get(path)) for path in sorted({*self.files, *own})}
        return {path: data for path, data in held.items() if data is not None}

    def holds(self, path: str, mine: bytes | None) -> bytes | None:
        """Return the bytes that hold at a path, beside the operator's own file there, if any."""
        unchanged = (None if mine is None else file_digest(mine)) == self.own.get(path)
        return self.files.get(path) if unchanged else mine


def digest_of(data: bytes) -> bytes:
    """Return the name of a version's bytes."""
    return hashing.digest(CONTEXT, data)


def _rows(rows: list[Any]) -> dict[str, bytes]:
    found = {}
    for row in rows:
        match row:
            case [str(path), bytes(data)]:
                found[path] = data
            case _:
                raise InvalidTree("version: a row is [path, bytes]")
    return found
