"""Consensus-critical: reads a unified diff and applies it exactly, or refuses it.

Everybody must get the same files from the same bytes, and a reader of the diff must see all that it
does. So this is far stricter than patch(1): the context must match at exactly the stated lines (no
fuzz, no offsets), counts must be right, paths must be plain and appear with `a/` and `b/`, and
whatever is not a change of text in a named file is refused: renames, copies, modes, links, binary
data, prose around the diff. What `git diff --no-renames` prints is accepted as it is.

A path is relative to the repository. Which paths a patch may touch is `genesis.core.architecture`'s
to say; `apply` here knows one rule of it, that files below `runtime/agent/` are the tree.

Every refusal says its reason, the line of the diff, and the file and line that it speaks of.
Not covered: whether the change does any good (genesis.judge).
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from genesis.core import limits
from genesis.core.errors import Constitutional, InvalidPatch, InvalidTree, Reason
from genesis.core.tree import Tree, check_path

AGENT_PREFIX: Final = "runtime/agent/"
_NOWHERE: Final = "/dev/null"
_NO_NEWLINE: Final = b"\\ No newline at end of file"
_HUNK: Final = re.compile(rb"@@ -(\d{1,7})(?:,(\d{1,7}))? \+(\d{1,7})(?:,(\d{1,7}))? @@(?: .*)?")
_GIT: Final = re.compile(r"diff --git a/(\S+) b/(\S+)")
_INDEX: Final = re.compile(r"index [0-9a-f]{7,64}\.\.[0-9a-f]{7,64}( 100644)?")
_SEGMENT: Final = re.compile(r"[!-~]+")
_REFUSED: Final = {
    **dict.fromkeys(("old mode", "new mode", "new file mode", "deleted file mode"), Reason.MODE),
    **dict.fromkeys(("rename ", "copy ", "similarity ", "dissimilarity "), Reason.RENAME),
    **dict.fromkeys(("GIT binary patch", "Binary files"), Reason.BINARY),
    "index ": Reason.MODE,  # with the mode of a link or a submodule behind it
}
"""How a line of git's header begins that says more than a change of text."""


class PatchClass(StrEnum):
    """Who may decide about a patch."""

    ROUTINE = "routine"
    CONSTITUTIONAL = "constitutional"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """Lines `old`, found from line index `start` (0-based) on, become `new`. Lines keep ends.

    `line` is that of its header in the diff, `places` those of its old lines.
    """

    start: int
    old: tuple[bytes, ...]
    new: tuple[bytes, ...]
    line: int
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """What happens to one file, by its path in the repository. `line`: of its header."""

    path: str
    created: bool
    deleted: bool
    hunks: tuple[Hunk, ...]
    line: int


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


def parse(data: bytes, *, first_line: int = 1) -> Patch:
    """Read a unified diff. Raises InvalidPatch for everything this module does not apply.

    `first_line` is the number of its first line in the text it stands in.
    """
    if len(data) > limits.PATCH_BYTES_MAX:
        message = f"{len(data)} bytes, at most {limits.PATCH_BYTES_MAX}"
        raise InvalidPatch(message, reason=Reason.SIZE)
    if not data.endswith(b"\n"):
        message = "the last line does not end: the diff was cut" if data else "empty"
        reason = Reason.ENCODING if data else Reason.NOTHING
        raise InvalidPatch(message, reason=reason, line=first_line + data.count(b"\n"))
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = first_line + data.count(b"\n", 0, error.start)
        message = f"not UTF-8 at byte {error.start}"
        raise InvalidPatch(message, reason=Reason.ENCODING, line=line) from error
    lines = _Lines(data, first_line)
    changes: list[FileChange] = []
    while not lines.at_end:
        changes.append(_file_change(lines))
        check_files(changes)
    return Patch(data=data, changes=tuple(changes))


def check_files(changes: list[FileChange]) -> None:
    """Refuse a newest change of a file that was changed before, and one file too many."""
    newest = changes[-1]
    if len(changes) > limits.PATCH_FILES_MAX:
        raise InvalidPatch(
            f"more than {limits.PATCH_FILES_MAX} files",
            reason=Reason.SIZE, line=newest.line, path=newest.path,
        )  # fmt: skip
    if any(other.path == newest.path for other in changes[:-1]):
        raise InvalidPatch(
            f"{newest.path!r} is changed twice",
            reason=Reason.DUPLICATE, line=newest.line, path=newest.path,
        )  # fmt: skip


def apply(patch: Patch, tree: Tree) -> Tree:
    """Return the tree that `patch` makes of `tree`.

    Raises Constitutional if it reaches outside the agent's tree, InvalidPatch if it does not fit
    `tree` exactly, changes nothing, or leaves something that is no tree.
    """
    for change in patch.changes:
        if not change.path.startswith(AGENT_PREFIX):
            raise constitutional(change)
    files = {AGENT_PREFIX + path: data for path, data in tree.items()}
    made = apply_to(patch, files)
    try:
        return Tree({path.removeprefix(AGENT_PREFIX): data for path, data in made.items()})
    except InvalidTree as error:
        raise InvalidPatch(f"the result is no tree: {error}", reason=Reason.RESULT) from error


def constitutional(change: FileChange) -> Constitutional:
    """Return the refusal of a change that is not the agent's to make."""
    return Constitutional(
        f"{change.path!r} is pinned: it lies outside {AGENT_PREFIX} and the agent's data",
        reason=Reason.PINNED, line=change.line, path=change.path,
    )  # fmt: skip


def apply_to(patch: Patch, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what `patch` makes of `files`, by path in the repository; those stay as they are.

    Raises InvalidPatch if it does not fit them exactly, or changes nothing.
    """
    made = dict(files)
    for change in patch.changes:
        if change.created == (change.path in made):
            state = "exists" if change.created else "does not exist"
            reason = Reason.EXISTS if change.created else Reason.MISSING
            raise InvalidPatch(
                f"{change.path!r} {state} in the tree",
                reason=reason, line=change.line, path=change.path,
            )  # fmt: skip
        result = b"".join(_patched(change, split(made.pop(change.path, b""))))
        if not change.deleted:
            made[change.path] = result
        elif result:
            raise InvalidPatch(
                f"{change.path!r} is deleted, but not all of its lines are",
                reason=Reason.CONTEXT, line=change.line, path=change.path,
            )  # fmt: skip
    if made == files:
        raise InvalidPatch("the patch changes nothing", reason=Reason.NOTHING)
    return made


class _Lines:
    """The diff's lines without their ends, with one line of sight."""

    def __init__(self, data: bytes, first_line: int) -> None:
        self._lines = data.split(b"\n")[:-1]
        self._at = 0
        self._first_line = first_line

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._lines)

    @property
    def next(self) -> bytes:
        return b"" if self.at_end else self._lines[self._at]

    @property
    def number(self) -> int:
        """Of the line that was taken last."""
        return self._first_line + self._at - 1

    def take(self) -> bytes:
        if self.at_end:
            raise self.error("the diff ends too early", Reason.HUNK)
        self._at += 1
        return self._lines[self._at - 1]

    def error(self, message: str, reason: Reason, path: str = "") -> InvalidPatch:
        line = max(self.number, self._first_line)
        return InvalidPatch(message, reason=reason, line=line, path=path)


def _file_change(lines: _Lines) -> FileChange:
    line = lines.number + 1
    named, made, gone = _git_header(lines)
    if named is not None and (lines.at_end or lines.next.startswith(b"diff --git ")):
        if not made and not gone:
            raise lines.error(f"{named!r} is named and not changed", Reason.NOTHING, named)
        return FileChange(path=named, created=made, deleted=gone, hunks=(), line=line)  # empty file
    old, new = _path(lines, b"--- ", "a/"), _path(lines, b"+++ ", "b/")
    path = new if old is None else old
    if path is None or (None not in (old, new) and old != new):
        raise lines.error("a file is changed under another name", Reason.RENAME, path or "")
    if named is not None and (path, old is None, new is None) != (named, made, gone):
        raise lines.error(f"the headers of {named!r} contradict each other", Reason.HEADER, named)
    hunks = tuple(_hunks(lines, path))
    if not hunks:
        raise lines.error(f"{path!r} has no hunk", Reason.HUNK, path)
    return FileChange(path=path, created=old is None, deleted=new is None, hunks=hunks, line=line)


def _git_header(lines: _Lines) -> tuple[str | None, bool, bool]:
    """Return the path, whether it is new, whether it goes; (None, ..) for a plain diff."""
    if not lines.next.startswith(b"diff --git "):
        return None, False, False
    found = _GIT.fullmatch(lines.take().decode())
    if found is None or found[1] != found[2]:
        raise lines.error("not 'diff --git a/PATH b/PATH' with one plain path", Reason.PATH)
    path = _checked_path(lines, found[1])
    made = gone = False
    while not lines.at_end and not lines.next.startswith((b"--- ", b"diff --git ")):
        line = lines.take().decode()
        if line == "new file mode 100644":
            made = True
        elif line == "deleted file mode 100644":
            gone = True
        elif not _INDEX.fullmatch(line):
            kind = next((word for word in _REFUSED if line.startswith(word)), None)
            if kind is None:
                raise lines.error(f"unexpected {line[:60]!r}", Reason.HEADER, path)
            raise lines.error(f"{line[:60]!r} is not allowed", _REFUSED[kind], path)
    return path, made, gone


def _path(lines: _Lines, mark: bytes, prefix: str) -> str | None:
    line = lines.take()
    if line.startswith(b"Binary files "):
        raise lines.error("a change of binary data is not allowed", Reason.BINARY)
    if not line.startswith(mark):
        expected, found = mark.decode().strip(), line.decode()[:60]
        raise lines.error(f"expected {expected!r}, found {found!r}", Reason.HEADER)
    name = line[len(mark) :].split(b"\t")[0].decode()  # diff -u puts a time after the tab
    if name == _NOWHERE:
        return None
    if not name.startswith(prefix):
        raise lines.error(f"path {name[:80]!r} does not begin with {prefix!r}", Reason.PATH)
    return _checked_path(lines, name.removeprefix(prefix))


def _checked_path(lines: _Lines, path: str) -> str:
    """Confine a path to the repository; what a tree allows is checked only below the prefix."""
    fault = path_fault(path)
    if fault:
        raise lines.error(fault, Reason.PATH)
    return path


def path_fault(path: str) -> str:
    """Say why a path is none that a patch may name, or nothing."""
    segments = path.split("/")
    plain = all(_SEGMENT.fullmatch(s) and s not in (".", "..") for s in segments)
    if not plain or "\\" in path or len(path) > limits.PATH_CHARS_MAX:
        return f"path {path[:80]!r} is not a plain path inside the repository"
    if path.startswith(AGENT_PREFIX):
        try:
            check_path(path.removeprefix(AGENT_PREFIX))
        except InvalidTree as error:
            return str(error)
    return ""


def _hunks(lines: _Lines, path: str) -> Iterator[Hunk]:
    """Yield the hunks of one file: in order, apart, and consistent with one another."""
    end, shift = 0, 0
    while lines.next.startswith(b"@@"):
        found, line = _HUNK.fullmatch(lines.take()), lines.number
        if found is None:
            raise lines.error("not a hunk header '@@ -l,s +l,s @@'", Reason.HUNK, path)
        old_line, old_count, new_line, new_count = (
            int(found[1]),
            int(found[2] or 1),
            int(found[3]),
            int(found[4] or 1),
        )
        start = old_line - 1 if old_count else old_line
        if start < end or (new_line - 1 if new_count else new_line) != start + shift:
            message = "the hunk's line numbers do not follow from the hunks before it"
            raise lines.error(message, Reason.ORDER, path)
        old, new, places = _hunk_lines(lines, path, old_count, new_count)
        if old == new:
            raise lines.error("the hunk changes nothing", Reason.NOTHING, path)
        yield Hunk(start=start, old=old, new=new, line=line, places=places)
        end, shift = start + old_count, shift + new_count - old_count


def _hunk_lines(
    lines: _Lines, path: str, old_count: int, new_count: int
) -> tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[int, ...]]:
    old: list[bytes] = []
    new: list[bytes] = []
    places: list[int] = []
    while len(old) < old_count or len(new) < new_count:
        line = lines.take()
        number = lines.number
        sides = {b" ": (old, new), b"-": (old,), b"+": (new,)}.get(line[:1])
        if sides is None:
            raise lines.error("a hunk's line begins with ' ', '-' or '+'", Reason.HUNK, path)
        ended = lines.next != _NO_NEWLINE
        if not ended:
            lines.take()
        for side in sides:
            if side and not side[-1].endswith(b"\n"):
                raise lines.error("a line follows the one without an end", Reason.HUNK, path)
            side.append(line[1:] + (b"\n" if ended else b""))
        if line[:1] != b"+":
            places.append(number)
        if len(old) > old_count or len(new) > new_count:
            message = f"more lines than the {old_count} and {new_count} stated"
            raise lines.error(message, Reason.HUNK, path)
    return tuple(old), tuple(new), tuple(places)


def split(data: bytes) -> list[bytes]:
    """Return the lines of a file with their ends; only LF ends one, and the last may have none."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _patched(change: FileChange, lines: list[bytes]) -> list[bytes]:
    made: list[bytes] = []
    at = 0
    for hunk in change.hunks:
        made += lines[at : hunk.start]
        at = hunk.start + len(hunk.old)
        found = tuple(lines[hunk.start : at])
        if found != hunk.old or hunk.start > len(lines):
            raise _differs(change, hunk, found)
        made += hunk.new
        _check_ends(change, hunk, [*made, *lines[at : at + 1]])
    return made + lines[at:]


def _check_ends(change: FileChange, hunk: Hunk, lines: list[bytes]) -> None:
    """Only the last line of a file may lack an end: others would run together with the next."""
    first = max(0, len(lines) - len(hunk.new) - 2)
    for index in range(first, len(lines) - 1):
        if not lines[index].endswith(b"\n"):
            raise InvalidPatch(
                f"{change.path!r} would lose a line's end at line {index + 1}",
                reason=Reason.CONTEXT, line=hunk.line, path=change.path, at=index + 1,
            )  # fmt: skip


def _differs(change: FileChange, hunk: Hunk, found: tuple[bytes, ...]) -> InvalidPatch:
    """Return the refusal of a hunk, with the first line that is not as it says."""
    same = 0
    while same < min(len(found), len(hunk.old)) and found[same] == hunk.old[same]:
        same += 1
    at = hunk.start + same + 1
    line = hunk.places[same] if same < len(hunk.places) else hunk.line
    what = "differs from the diff at" if same < len(found) else "ends before"
    return InvalidPatch(
        f"{change.path!r} {what} line {at}",
        reason=Reason.CONTEXT, line=line, path=change.path, at=at,
    )  # fmt: skip
