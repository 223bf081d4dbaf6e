"""Consensus-critical: this software as one tree, and what a constitutional change makes of it.

The software is every file of its six packages but the agent's tree: what folds the ledger, and what
is pinned. It has a manifest of the same form as an architecture's, every file in it pinned, so that
its root depends on nothing but paths and bytes:

    root = BLAKE3(context, CBOR([1, [[path, "pinned", size, BLAKE3(file context, bytes)], ...]]))

A constitutional change touches it and nothing else. What the agent may change is proposed apart: it
is judged, approved and adopted in another way. Tests, documents and the lists of dependencies are
no part of the software that runs; they come with the version that people make of the change.

Not covered: whether the change is any good; interpreter and libraries.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final

from genesis.core import limits
from genesis.core.architecture import ROUTINE, Architecture, Entry, Manifest, PathClass
from genesis.core.errors import Constitutional, InvalidPatch, InvalidTree, Reason
from genesis.core.patch import AGENT_PREFIX, FileChange, Patch, apply_to
from ledger.core.hashing import tagged

PACKAGES: Final = ("attest", "genesis", "ledger", "mesh", "node", "runtime")
LEFT_OUT: Final = frozenset({"__pycache__", "node.toml"})
"""What an interpreter writes, and the default configuration, which an installation holds twice."""
CHANGE_TAG: Final = "timmy/software-change/v1"


def in_software(path: str) -> bool:
    """Whether a file of this path is one of the software's."""
    package, _, rest = path.partition("/")
    return (
        package in PACKAGES
        and bool(rest)
        and not f"{path}/".startswith(AGENT_PREFIX)
        and LEFT_OUT.isdisjoint(rest.split("/"))
    )


@dataclass(frozen=True)
class Software(Mapping[str, bytes]):
    """The software's files by path. Raises InvalidTree."""

    files: Mapping[str, bytes]

    def __post_init__(self) -> None:
        ordered = {path: self.files[path] for path in sorted(self.files)}
        object.__setattr__(self, "files", MappingProxyType(ordered))
        folders = {path[:at] for path in ordered for at in _slashes(path)}
        for path, data in ordered.items():
            if not in_software(path):
                raise InvalidTree(f"{path!r} is no file of this software")
            if path in folders:
                raise InvalidTree(f"{path!r} is a file and a folder")
            if len(data) > limits.TREE_BYTES_MAX:
                most = limits.TREE_BYTES_MAX
                raise InvalidTree(f"{path!r} of {len(data)} bytes, at most {most}")
        _ = self.manifest  # checks the paths, and how many there are

    def __getitem__(self, path: str) -> bytes:
        return self.files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __hash__(self) -> int:
        return hash(self.root)

    @cached_property
    def manifest(self) -> Manifest:
        """Path, size and digest of each, all of them as pinned."""
        return Manifest(
            tuple(Entry.of(path, PathClass.PINNED, data) for path, data in self.files.items())
        )

    @property
    def root(self) -> bytes:
        """The 32 bytes that name this software."""
        return self.manifest.root


def _slashes(path: str) -> Iterator[int]:
    return (at for at, sign in enumerate(path) if sign == "/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Constituted:
    """What a constitutional change makes: the architecture with its reducers, the software."""

    architecture: Architecture
    software: Software


def constituted(base: Architecture, software: Software, patch: Patch) -> Constituted:
    """Return what `patch` makes of both. `software`: as it is, the reducers of `base` in it.

    Which module folds only the software that runs can say: a new one is of no other class than the
    rest until then. Raises Constitutional for a path that is no file of this software, InvalidPatch
    for one that is the agent's, for what does not fit exactly, changes nothing, or leaves something
    that is no software.
    """
    for change in patch.changes:
        check_path(base, change)
    files = apply_to(patch, software)
    kept = {path: files[path] for path in base.reducers if path in files}
    rest = {path: data for path, data in base.items() if path not in base.reducers}
    try:
        return Constituted(
            architecture=Architecture({**rest, **kept}, frozenset(kept)), software=Software(files)
        )
    except InvalidTree as error:
        change = next((one for one in patch.changes if one.path in str(error)), patch.changes[0])
        raise InvalidPatch(
            f"the result is no software: {error}",
            reason=Reason.RESULT, line=change.line, path=change.path,
        ) from error  # fmt: skip


def check_path(base: Architecture, change: FileChange) -> None:
    """Raise for a path that a constitutional change may not touch."""
    if base.class_of(change.path) in ROUTINE:
        raise InvalidPatch(
            f"{change.path!r} is the agent's to change, the rest of it is not",
            reason=Reason.CLASS, line=change.line, path=change.path,
            hint="make two proposals: a routine one, and a constitutional one",
        )  # fmt: skip
    if not in_software(change.path):
        raise Constitutional(
            f"{change.path!r} is pinned, and no file of the software that runs",
            reason=Reason.PINNED, line=change.line, path=change.path,
            hint="tests, documents and dependencies come with the version that people make of it",
        )  # fmt: skip


def migration_of(software: Software, patch: Patch, path: str, *, line: int = 0) -> bytes:
    """Return the module that a proposal declares as its migration, as `patch` leaves it.

    `software`: what the patch makes. Raises InvalidPatch, at `line`, unless it is a Python module
    of it that the patch brings or changes: what nobody looks at with the change declares nothing.
    """
    touched = {change.path for change in patch.changes}
    data = software.get(path)
    if data is None or path not in touched or not path.endswith(".py"):
        raise InvalidPatch(
            f"the migration {path!r} is no Python module that it brings or changes",
            reason=Reason.FRONT, line=line, path=path,
            hint="declare a module of the same proposal: docs/spec/proposal.md",
        )  # fmt: skip
    return data


def change_digest(before: bytes, after: bytes) -> bytes:
    """Return the 32 bytes by which a verdict names a change: of the roots before and after."""
    return tagged(CHANGE_TAG, before + after)


def changed_paths(before: Software, after: Software) -> tuple[str, ...]:
    """Return the paths whose files come, go, or are other ones, in order."""
    return tuple(path for path in sorted({*before, *after}) if before.get(path) != after.get(path))
