"""Consensus-critical: reads a unified diff and applies it to a tree, or refuses it.

Every judge must get the same tree from the same bytes, and a reader of the diff must see all that
it does. So this is far stricter than patch(1): the context must match at exactly the stated lines
(no fuzz, no offsets), counts must be right, paths must be plain and appear with `a/` and `b/`, and
whatever is not a change of text in a named file is refused: renames, copies, modes, links, binary
data, prose around the diff. What `git diff --no-renames` prints is accepted as it is.

A path is relative to the repository. Files below `runtime/agent/` are routine; a patch that
touches anything else is constitutional and is never applied here.

Not covered: whether the change does any good (genesis.judge).
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from genesis.core import limits
from genesis.core.errors import Constitutional, InvalidPatch, InvalidTree
from genesis.core.tree import Tree, check_path

AGENT_PREFIX: Final = "runtime/agent/"
_NOWHERE: Final = "/dev/null"
_NO_NEWLINE: Final = b"\\ No newline at end of file"
_HUNK: Final = re.compile(rb"@@ -(\d{1,7})(?:,(\d{1,7}))? \+(\d{1,7})(?:,(\d{1,7}))? @@(?: .*)?")
_GIT: Final = re.compile(r"diff --git a/(\S+) b/(\S+)")
_INDEX: Final = re.compile(r"index [0-9a-f]{7,64}\.\.[0-9a-f]{7,64}( 100644)?")
_SEGMENT: Final = re.compile(r"[!-~]+")
_REFUSED: Final = (
    *("old mode", "new mode", "rename ", "copy ", "similarity ", "dissimilarity "),
    *("GIT binary patch", "Binary files"),
)


class PatchClass(StrEnum):
    """Who may decide about a patch."""

    ROUTINE = "routine"
    CONSTITUTIONAL = "constitutional"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """Lines `old`, found from line index `start` (0-based) on, become `new`. Lines keep ends."""

    start: int
    old: tuple[bytes, ...]
    new: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """What happens to one file, by its path in the repository."""

    path: str
    created: bool
    deleted: bool
    hunks: tuple[Hunk, ...]


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A diff that was read without complaint. `data` is what its digest names."""

    data: bytes
    changes: tuple[FileChange, ...]

    @cached_property
    def sha256(self) -> bytes:
        """32 bytes."""
        return hashlib.sha256(self.data).digest()

    @property
    def patch_class(self) -> PatchClass:
        """Routine if every path lies in the agent's tree."""
        inside = all(change.path.startswith(AGENT_PREFIX) for change in self.changes)
        return PatchClass.ROUTINE if inside else PatchClass.CONSTITUTIONAL


def parse(data: bytes) -> Patch:
    """Read a unified diff. Raises InvalidPatch for everything this module does not apply."""
    if len(data) > limits.PATCH_BYTES_MAX:
        raise InvalidPatch(f"{len(data)} bytes, at most {limits.PATCH_BYTES_MAX}")
    if not data.endswith(b"\n"):
        raise InvalidPatch("the last line does not end: the diff was cut" if data else "empty")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise InvalidPatch(f"not UTF-8 at byte {error.start}") from error
    lines = _Lines(data)
    changes: list[FileChange] = []
    while not lines.at_end:
        changes.append(_file_change(lines))
        if len(changes) > limits.PATCH_FILES_MAX:
            raise InvalidPatch(f"more than {limits.PATCH_FILES_MAX} files")
    paths = [change.path for change in changes]
    for path in paths:
        if paths.count(path) > 1:
            raise InvalidPatch(f"{path!r} is changed twice")
    return Patch(data=data, changes=tuple(changes))


def apply(patch: Patch, tree: Tree) -> Tree:
    """Return the tree that `patch` makes of `tree`.

    Raises Constitutional if it reaches outside the agent's tree, InvalidPatch if it does not fit
    `tree` exactly, changes nothing, or leaves something that is no tree.
    """
    if patch.patch_class is PatchClass.CONSTITUTIONAL:
        outside = next(c.path for c in patch.changes if not c.path.startswith(AGENT_PREFIX))
        raise Constitutional(
            f"{outside!r} lies outside {AGENT_PREFIX}",
            hint="a constitutional change is signed by people with a key that is not on the node",
        )
    files = dict(tree.items())
    for change in patch.changes:
        path = change.path.removeprefix(AGENT_PREFIX)
        if change.created == (path in files):
            state = "exists" if change.created else "does not exist"
            raise InvalidPatch(f"{change.path!r} {state} in the tree")
        result = b"".join(_patched(change, _split(files.pop(path, b""))))
        if not change.deleted:
            files[path] = result
        elif result:
            raise InvalidPatch(f"{change.path!r} is deleted, but not all of its lines are")
    try:
        made = Tree(files)
    except InvalidTree as error:
        raise InvalidPatch(f"the result is no tree: {error}") from error
    if made.files == tree.files:
        raise InvalidPatch("the patch changes nothing")
    return made


class _Lines:
    """The diff's lines without their ends, with one line of sight."""

    def __init__(self, data: bytes) -> None:
        self._lines = data.split(b"\n")[:-1]
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._lines)

    @property
    def next(self) -> bytes:
        return b"" if self.at_end else self._lines[self._at]

    def take(self) -> bytes:
        if self.at_end:
            raise self.error("the diff ends too early")
        self._at += 1
        return self._lines[self._at - 1]

    def error(self, message: str) -> InvalidPatch:
        return InvalidPatch(f"line {self._at}: {message}")


def _file_change(lines: _Lines) -> FileChange:
    named, made, gone = _git_header(lines)
    if named is not None and (lines.at_end or lines.next.startswith(b"diff --git ")):
        if not made and not gone:
            raise lines.error(f"{named!r} is named and not changed")
        return FileChange(path=named, created=made, deleted=gone, hunks=())  # an empty file
    old, new = _path(lines, b"--- ", "a/"), _path(lines, b"+++ ", "b/")
    path = new if old is None else old
    if path is None or (None not in (old, new) and old != new):
        raise lines.error("a file is changed under another name")
    if named is not None and (path, old is None, new is None) != (named, made, gone):
        raise lines.error(f"the headers of {named!r} contradict each other")
    hunks = tuple(_hunks(lines))
    if not hunks:
        raise lines.error(f"{path!r} has no hunk")
    return FileChange(path=path, created=old is None, deleted=new is None, hunks=hunks)


def _git_header(lines: _Lines) -> tuple[str | None, bool, bool]:
    """Return the path, whether it is new, whether it goes; (None, ..) for a plain diff."""
    if not lines.next.startswith(b"diff --git "):
        return None, False, False
    found = _GIT.fullmatch(lines.take().decode())
    if found is None or found[1] != found[2]:
        raise lines.error("not 'diff --git a/PATH b/PATH' with one plain path")
    made = gone = False
    while not lines.at_end and not lines.next.startswith((b"--- ", b"diff --git ")):
        line = lines.take().decode()
        if line == "new file mode 100644":
            made = True
        elif line == "deleted file mode 100644":
            gone = True
        elif not _INDEX.fullmatch(line):
            kind = next((word.strip() for word in _REFUSED if line.startswith(word)), None)
            raise lines.error(f"{kind} is not allowed" if kind else f"unexpected {line[:60]!r}")
    return _checked_path(lines, found[1]), made, gone


def _path(lines: _Lines, mark: bytes, prefix: str) -> str | None:
    line = lines.take()
    if not line.startswith(mark):
        raise lines.error(f"expected {mark.decode().strip()!r}, found {line.decode()[:60]!r}")
    name = line[len(mark) :].split(b"\t")[0].decode()  # diff -u puts a time after the tab
    if name == _NOWHERE:
        return None
    if not name.startswith(prefix):
        raise lines.error(f"path {name[:80]!r} does not begin with {prefix!r}")
    return _checked_path(lines, name.removeprefix(prefix))


def _checked_path(lines: _Lines, path: str) -> str:
    """Confine a path to the repository; what a tree allows is checked only below the prefix."""
    segments = path.split("/")
    plain = all(_SEGMENT.fullmatch(s) and s not in (".", "..") for s in segments)
    if not plain or "\\" in path or len(path) > limits.PATH_CHARS_MAX:
        raise lines.error(f"path {path[:80]!r} is not a plain path inside the repository")
    if path.startswith(AGENT_PREFIX):
        try:
            check_path(path.removeprefix(AGENT_PREFIX))
        except InvalidTree as error:
            raise lines.error(str(error)) from error
    return path


def _hunks(lines: _Lines) -> Iterator[Hunk]:
    """Yield the hunks of one file: in order, apart, and consistent with one another."""
    end, shift = 0, 0
    while lines.next.startswith(b"@@"):
        found = _HUNK.fullmatch(lines.take())
        if found is None:
            raise lines.error("not a hunk header '@@ -l,s +l,s @@'")
        old_line, old_count, new_line, new_count = (
            int(found[1]),
            int(found[2] or 1),
            int(found[3]),
            int(found[4] or 1),
        )
        start = old_line - 1 if old_count else old_line
        if start < end or (new_line - 1 if new_count else new_line) != start + shift:
            raise lines.error("the hunk's line numbers do not follow from the hunks before it")
        old, new = _hunk_lines(lines, old_count, new_count)
        if old == new:
            raise lines.error("the hunk changes nothing")
        yield Hunk(start=start, old=old, new=new)
        end, shift = start + old_count, shift + new_count - old_count


def _hunk_lines(
    lines: _Lines, old_count: int, new_count: int
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    old: list[bytes] = []
    new: list[bytes] = []
    while len(old) < old_count or len(new) < new_count:
        line = lines.take()
        sides = {b" ": (old, new), b"-": (old,), b"+": (new,)}.get(line[:1])
        if sides is None:
            raise lines.error("a hunk's line begins with ' ', '-' or '+'")
        ended = lines.next != _NO_NEWLINE
        if not ended:
            lines.take()
        for side in sides:
            if side and not side[-1].endswith(b"\n"):
                raise lines.error("a line follows the one without an end")
            side.append(line[1:] + (b"\n" if ended else b""))
        if len(old) > old_count or len(new) > new_count:
            raise lines.error(f"more lines than the {old_count} and {new_count} stated")
    return tuple(old), tuple(new)


def _split(data: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _patched(change: FileChange, lines: list[bytes]) -> Iterator[bytes]:
    at = 0
    for hunk in change.hunks:
        yield from lines[at : hunk.start]
        at = hunk.start + len(hunk.old)
        if tuple(lines[hunk.start : at]) != hunk.old:
            raise InvalidPatch(f"{change.path!r} differs from the diff at line {hunk.start + 1}")
        yield from hunk.new
        if hunk.new and not hunk.new[-1].endswith(b"\n") and at < len(lines):
            raise InvalidPatch(f"{change.path!r} would lose a line's end at line {at}")
    yield from lines[at:]
