"""Consensus-critical: what an agent is made of, as one manifest under one root.

An architecture is the files by which an agent is as it is: the code and the prompts of its tree,
the skills and the skins it has, the thresholds it works within, and the reducers that fold its
ledger. Each has a path, as in the repository, and the path says of what class it is:

    runtime/agent/**.py              agent code
    runtime/agent/**.md .txt .toml   prompt
    skills/NAME/SKILL.md             skill, as adopted
    skins/NAME.toml                  skin, as its author wrote it
    thresholds.toml                  threshold
    what the host folds with         reducer
    anything else                    pinned

    root = BLAKE3(context, CBOR([1, [[path, class, size, BLAKE3(file context, bytes)], ...]]))

sorted by path. A file's digest is the one that it has in the tree (`genesis.core.tree`), so a
manifest leads to the tree's digest, too. What is pinned stands in a second manifest of the same
form, beside the first. Code, prompts, skills, skins and thresholds are the agent's to change by a
patch; a reducer decides what a ledger means, and is not.

Not covered: interpreter, libraries, models and their weights, the permission rules, SOUL.md, which
is fixed in genesis; and whether the files are any good.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from genesis.core import limits, thresholds
from genesis.core.errors import InvalidPatch, InvalidTree, Reason
from genesis.core.patch import AGENT_PREFIX, Patch, apply_to, constitutional, path_fault
from genesis.core.tree import DIGEST_BYTES, Tree
from ledger.core import hashing
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor
from runtime.core.errors import SkinRefused
from runtime.core.skins import parse_skin

VERSION: Final = 1
_SKILL: Final = re.compile(r"skills/[a-z0-9][a-z0-9-]{0,63}/SKILL\.md")
_SKIN: Final = re.compile(r"skins/([a-z0-9][a-z0-9-]{0,31})\.toml")
_REDUCER: Final = re.compile(r"(?:ledger|runtime)/core/[a-z_]+\.py")
_DRAFTS: Final = "skills/drafts/"
"""A folder of drafts, which no agent reads: nothing in it is a skill."""


class PathClass(StrEnum):
    """What a file is to the agent."""

    AGENT_CODE = "agent-code"
    PROMPT = "prompt"
    SKILL = "skill"
    SKIN = "skin"
    THRESHOLD = "threshold"
    REDUCER = "reducer"
    PINNED = "pinned"


ROUTINE: Final = frozenset(PathClass) - {PathClass.REDUCER, PathClass.PINNED}
"""Classes that a patch may change: data, and the code that runs in a sandbox."""
_COUNTS: Final = {PathClass.SKILL: limits.SKILLS_MAX, PathClass.SKIN: limits.SKINS_MAX}
_SIZES: Final = {
    PathClass.SKILL: limits.SKILL_BYTES_MAX,
    PathClass.SKIN: limits.SKIN_BYTES_MAX,
}


def class_of(path: str) -> PathClass:
    """Return the class of a path. Of reducers only the host knows which they are: PINNED here."""
    if path.startswith(AGENT_PREFIX):
        return PathClass.AGENT_CODE if path.endswith(".py") else PathClass.PROMPT
    if path == thresholds.PATH:
        return PathClass.THRESHOLD
    if _SKILL.fullmatch(path) and not path.startswith(_DRAFTS):
        return PathClass.SKILL
    return PathClass.SKIN if _SKIN.fullmatch(path) else PathClass.PINNED


def class_fits(path: str, claimed: PathClass) -> bool:
    """Whether a manifest may say this of a path."""
    if claimed is PathClass.REDUCER:
        return _REDUCER.fullmatch(path) is not None
    return claimed is class_of(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a manifest. Raises InvalidTree."""

    path: str
    path_class: PathClass
    size: int
    digest: bytes

    def __post_init__(self) -> None:
        if fault := path_fault(self.path):
            raise InvalidTree(f"manifest: {fault}")
        if not class_fits(self.path, self.path_class):
            raise InvalidTree(f"manifest: {self.path!r} is not {self.path_class.value}")
        most = limits.TREE_BYTES_MAX
        if type(self.size) is not int or not 0 <= self.size <= most:
            raise InvalidTree(f"manifest: {self.path!r}: {self.size!r:.40} bytes, at most {most}")
        if type(self.digest) is not bytes or len(self.digest) != DIGEST_BYTES:
            raise InvalidTree(f"manifest: the digest of {self.path!r} is not {DIGEST_BYTES} bytes")

    @classmethod
    def of(cls, path: str, path_class: PathClass, data: bytes) -> "Entry":
        """Return the entry of a file with these bytes."""
        return cls(path=path, path_class=path_class, size=len(data), digest=file_digest(data))


def file_digest(data: bytes) -> bytes:
    """Return the 32 bytes that name a file's content, in a tree and in a manifest."""
    return hashing.digest(hashing.TREE_FILES, data)


@dataclass(frozen=True)
class Manifest:
    """Entries sorted by path, no two with one path. Raises InvalidTree."""

    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if len(self.entries) > limits.MANIFEST_FILES_MAX:
            raise InvalidTree(
                f"manifest of {len(self.entries)} files, at most {limits.MANIFEST_FILES_MAX}"
            )
        paths = [entry.path for entry in self.entries]
        if paths != sorted(set(paths)):
            raise InvalidTree("manifest: its paths are not in order, each once")

    def encode(self) -> bytes:
        """Return the bytes that the root is of."""
        rows: list[Any] = [
            [one.path, one.path_class.value, one.size, one.digest] for one in self.entries
        ]
        return encode([VERSION, rows])

    @classmethod
    def decode(cls, data: bytes) -> "Manifest":
        """Read what `encode` gave. Raises InvalidTree for anything else."""
        try:
            value = decode(data, bytes_max=MANIFEST_BYTES_MAX)
        except InvalidCbor as error:
            raise InvalidTree(f"manifest: {error}") from error
        match value:
            case [version, [*rows]] if type(version) is int and version == VERSION:
                return cls(tuple(map(_entry, rows)))
        raise InvalidTree(f"manifest: not of version {VERSION}")

    @cached_property
    def root(self) -> bytes:
        """The 32 bytes that name all of it."""
        return hashing.digest(hashing.ARCHITECTURE, self.encode())

    @property
    def tree_digest(self) -> bytes:
        """Digest of the tree that these entries hold (`genesis.core.tree.Tree.digest`)."""
        pairs: list[Any] = [
            [entry.path.removeprefix(AGENT_PREFIX), entry.digest]
            for entry in self.entries
            if entry.path.startswith(AGENT_PREFIX)
        ]
        return hashing.digest(hashing.TREE_FILES, encode(pairs))

    def get(self, path: str) -> Entry | None:
        """Return the entry of a path."""
        return next((entry for entry in self.entries if entry.path == path), None)


MANIFEST_BYTES_MAX: Final = limits.MANIFEST_FILES_MAX * (limits.PATH_CHARS_MAX + 64)
"""Each entry is a path, a class of ten letters, a number and a digest."""


def _entry(row: Any) -> Entry:
    match row:
        case [str(path), str(name), size, digest] if name in set(PathClass):
            return Entry(path=path, path_class=PathClass(name), size=size, digest=digest)
    raise InvalidTree("manifest: an entry is [path, class, size, digest]")


@dataclass(frozen=True)
class Architecture(Mapping[str, bytes]):
    """Files by path, each in its place and within its bounds. Raises InvalidTree.

    `reducers`: the paths among them that the host folds with. Every other must be of a class that
    a patch may change: what is pinned is no file of an architecture.
    """

    files: Mapping[str, bytes]
    reducers: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        ordered = {path: self.files[path] for path in sorted(self.files)}
        object.__setattr__(self, "files", MappingProxyType(ordered))
        if missing := self.reducers - ordered.keys():
            raise InvalidTree(f"{min(missing)!r} is named as a reducer, and not there")
        _ = self.tree  # checks the paths and the bytes of it
        counts = dict.fromkeys(_COUNTS, 0)
        for path, data in ordered.items():
            kind = self.class_of(path)
            if kind is PathClass.PINNED:
                raise InvalidTree(f"{path!r} has no place in an architecture")
            if kind in counts:
                counts[kind] += 1
            _check(path, kind, data)
        for kind, most in _COUNTS.items():
            if counts[kind] > most:
                raise InvalidTree(f"{counts[kind]} files are {kind.value}, at most {most}")

    def __getitem__(self, path: str) -> bytes:
        return self.files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __hash__(self) -> int:
        return hash(self.root)

    def class_of(self, path: str) -> PathClass:
        """Return what a path is in this architecture."""
        return PathClass.REDUCER if path in self.reducers else class_of(path)

    @cached_property
    def tree(self) -> Tree:
        """The part that runs as a process of its own."""
        return Tree(
            {
                path.removeprefix(AGENT_PREFIX): data
                for path, data in self.files.items()
                if path.startswith(AGENT_PREFIX)
            }
        )

    @cached_property
    def manifest(self) -> Manifest:
        """Path, class, size and digest of each."""
        return Manifest(
            tuple(Entry.of(path, self.class_of(path), data) for path, data in self.files.items())
        )

    @property
    def root(self) -> bytes:
        """The 32 bytes that name it."""
        return self.manifest.root


def _check(path: str, kind: PathClass, data: bytes) -> None:
    if kind is PathClass.THRESHOLD:
        thresholds.parse_thresholds(data)
        return
    most = _SIZES.get(kind)
    if most is None:
        return
    if len(data) > most:
        raise InvalidTree(f"{path!r} of {len(data)} bytes, at most {most}")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidTree(f"{path!r}: not UTF-8 at byte {error.start}") from error
    if kind is PathClass.SKIN:
        found = _SKIN.fullmatch(path)
        try:
            skin = parse_skin(text)
        except SkinRefused as error:
            raise InvalidTree(f"{path!r}: {error}") from error
        if found is None or found[1] != skin.name:
            raise InvalidTree(f"{path!r} holds the skin {skin.name!r}: a file is named as its skin")


def patched(base: Architecture, patch: Patch) -> Architecture:
    """Return what `patch` makes of `base`.

    Raises Constitutional if it touches what is pinned or folds a ledger, InvalidPatch if it does
    not fit exactly, changes nothing, or leaves something that is no architecture.
    """
    for change in patch.changes:
        if base.class_of(change.path) not in ROUTINE:
            raise constitutional(change)
    files = apply_to(patch, base)
    try:
        made = Architecture(files, base.reducers)
        thresholds.check_floors(base.get(thresholds.PATH), made.get(thresholds.PATH))
    except InvalidTree as error:
        line, path = _accused(patch, str(error))
        raise InvalidPatch(
            f"the result is no architecture: {error}", reason=Reason.RESULT, line=line, path=path
        ) from error
    return made


def _accused(patch: Patch, why: str) -> tuple[int, str]:
    """Line and path of the change that an error speaks of; of the first one if of none."""
    for change in patch.changes:
        if change.path.removeprefix(AGENT_PREFIX) in why:
            return change.line, change.path
    return patch.changes[0].line, patch.changes[0].path


def touched(base: Architecture, patch: Patch) -> tuple[PathClass, ...]:
    """Return the classes of what a patch touches, each once, in the order of `PathClass`."""
    found = {base.class_of(change.path) for change in patch.changes}
    return tuple(kind for kind in PathClass if kind in found)
