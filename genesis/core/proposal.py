"""Consensus-critical: a proposal, a Markdown document that says what is to change, and why.

    +++                      front matter (`genesis.core.front`)
    title = "..."
    +++
    Words, for people.
    ```diff                  a unified diff, as `genesis.core.patch` reads it; any number
    ```
    ```file skills/a/SKILL.md    a new file, whole, that ends with a line's end
    ```

Only these two labels act, and only at the beginning of a line; other blocks are words. Everybody
must find the same changes in the same bytes, and whoever reads the rendered page must see each: so
raw HTML, which could hide a block, is refused, and so are CR, controls and signs that turn text
around. The changes, in the order of the document, are one diff: that is what a judge is given.

Which architecture a proposal fits, and whether its class is the one it says, `weigh` decides; the
class follows from the touched paths and from nothing else.

Not covered: letters of one script that look like those of another; whether the words are true.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from genesis.core import limits
from genesis.core.architecture import ROUTINE, Architecture, PathClass, patched, touched
from genesis.core.constitution import Software, check_path, constituted, migration_of
from genesis.core.errors import Constitutional, InvalidPatch, Reason
from genesis.core.front import MARK, Front, hidden_in, parse_front, render_front
from genesis.core.patch import (
    FileChange,
    Hunk,
    Patch,
    PatchClass,
    check_files,
    parse,
    path_fault,
    split,
)
from ledger.core import hashing

_FENCE: Final = re.compile(r"(`{3,}|~{3,})(.*)")
_NESTED: Final = re.compile(r"[ \t>*+\-0-9.)]+(?:`{3,}|~{3,})")
"""A fence in a list, in a quotation, or indented: where it ends depends on what is around it."""
_HTML: Final = re.compile(r" {0,3}<")
_ACTING: Final = frozenset({"diff", "file", "patch", "udiff"})
"""First words of labels that a reader takes for a change; two of them act."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A document that was read without complaint.

    The lines of `patch.changes` are those of the document; `patch.data` is all changes as one diff.
    """

    data: bytes
    front: Front
    patch: Patch

    @cached_property
    def digest(self) -> bytes:
        """The 32 bytes that name the document."""
        return hashing.digest(hashing.PROPOSAL, self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A proposal that fits: what it makes, and the classes of what it touches.

    `software`: what a constitutional one makes of it, None of a routine one.
    """

    result: Architecture
    classes: tuple[PathClass, ...]
    software: Software | None = None


def parse_proposal(data: bytes) -> Proposal:
    """Read a document. Raises InvalidPatch, with its line, for everything else."""
    text = _text(data)
    lines = text.split("\n")[:-1]
    if not lines or lines[0] != MARK:
        raise InvalidPatch(
            f"a proposal begins with front matter, {MARK}",
            reason=Reason.FRONT, line=1,
        )  # fmt: skip
    if MARK not in lines[1:]:
        raise InvalidPatch(f"no second {MARK} ends the front matter", reason=Reason.FRONT, line=1)
    end = lines.index(MARK, 1)
    front = parse_front("\n".join([*lines[1:end], ""]), first_line=2)
    parts: list[bytes] = []
    changes: list[FileChange] = []
    for block in _blocks(lines, end + 1):
        patch = _from_diff(block) if block.label == "diff" else _from_file(block)
        parts.append(_follows(patch, changes))
        for change in patch.changes:
            changes.append(change)
            check_files(changes)
    if not changes:
        raise InvalidPatch(
            "it changes nothing: there is no ```diff and no ```file block",
            reason=Reason.NOTHING, line=len(lines),
        )  # fmt: skip
    diff = b"".join(parts)
    if len(diff) > limits.PATCH_BYTES_MAX:
        message = f"its changes are {len(diff)} bytes, at most {limits.PATCH_BYTES_MAX}"
        raise InvalidPatch(message, reason=Reason.SIZE)
    return Proposal(data=data, front=front, patch=Patch(data=diff, changes=tuple(changes)))


def weigh(proposal: Proposal, base: Architecture, software: Software | None = None) -> Weighed:
    """Return what a proposal makes of `base`; a constitutional one, of `software` as well.

    Without `software` whoever asks may not propose a constitutional change. Raises Constitutional
    if it touches what is pinned and may not, InvalidPatch if it does not fit, was made against
    another base, or names a class that its paths are not of.
    """
    front = proposal.front
    if front.base is not None and front.base != base.root:
        raise InvalidPatch(
            f"it was made against {front.base.hex()[:16]}, the architecture is "
            f"{base.root.hex()[:16]}",
            reason=Reason.BASE, line=_front_line(proposal, "base"),
            hint="make the diff anew, or leave base out: then the lines it names must still fit",
        )  # fmt: skip
    classes = touched(base, proposal.patch)
    if front.patch_class is PatchClass.ROUTINE:
        return Weighed(result=patched(base, proposal.patch), classes=classes)
    if set(classes) <= ROUTINE:
        patched(base, proposal.patch)
        raise InvalidPatch(
            "it calls itself constitutional, and all it touches is routine",
            reason=Reason.CLASS, line=_front_line(proposal, "class"), hint='class = "routine"',
        )  # fmt: skip
    for change in proposal.patch.changes:
        check_path(base, change)
    if software is None:
        change = proposal.patch.changes[0]
        raise Constitutional(
            f"{change.path!r} is pinned: only the operator may propose a change of it",
            reason=Reason.PINNED, line=change.line, path=change.path,
        )  # fmt: skip
    made = constituted(base, software, proposal.patch)
    if front.migration:
        line = _front_line(proposal, "migration")
        migration_of(made.software, proposal.patch, front.migration, line=line)
    return Weighed(result=made.architecture, classes=classes, software=made.software)


def render_proposal(front: Front, prose: str, diff: bytes) -> bytes:
    """Return a document with these parts. Of a diff it is, `parse_proposal` gives the same."""
    words = f"\n{prose.strip()}\n" if prose.strip() else ""
    block = b"\n" + diff_block(diff) if diff else b""
    return render_front(front).encode() + words.encode() + block


def diff_block(diff: bytes) -> bytes:
    """Return the block of a diff, its fence longer than any in it: a file may hold some, too."""
    longest = max((len(run) for run in re.findall(rb"`+", diff)), default=0)
    fence = b"`" * max(3, longest + 1)
    return fence + b"diff\n" + diff + fence + b"\n"


def _front_line(proposal: Proposal, key: str) -> int:
    lines = proposal.data.decode().split("\n")
    return next((n for n, line in enumerate(lines, 1) if line.startswith(key)), 1)


def _text(data: bytes) -> str:
    if len(data) > limits.DOCUMENT_BYTES_MAX:
        message = f"{len(data)} bytes, at most {limits.DOCUMENT_BYTES_MAX}"
        raise InvalidPatch(message, reason=Reason.SIZE)
    count = data.count(b"\n")
    if count > limits.DOCUMENT_LINES_MAX:
        message = f"{count} lines, at most {limits.DOCUMENT_LINES_MAX}"
        raise InvalidPatch(message, reason=Reason.SIZE, line=limits.DOCUMENT_LINES_MAX + 1)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"not UTF-8 at byte {error.start}"
        raise InvalidPatch(message, reason=Reason.ENCODING, line=line) from error
    at = text.find("\r")
    if at >= 0:
        raise InvalidPatch(
            "a carriage return: lines end with LF alone",
            reason=Reason.ENCODING, line=text.count("\n", 0, at) + 1,
        )  # fmt: skip
    hidden = hidden_in(text)
    if hidden is not None:
        raise InvalidPatch(
            f"a sign that cannot be seen: U+{ord(text[hidden]):04X}",
            reason=Reason.HIDDEN, line=text.count("\n", 0, hidden) + 1,
        )  # fmt: skip
    if text and not text.endswith("\n"):
        raise InvalidPatch(
            "the last line does not end: the document was cut",
            reason=Reason.ENCODING, line=count + 1,
        )  # fmt: skip
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """A block that acts. `line`: of its fence."""

    label: str
    path: str
    lines: list[str]
    line: int

    @property
    def data(self) -> bytes:
        return "".join(f"{line}\n" for line in self.lines).encode()


def _blocks(lines: list[str], start: int) -> list[_Block]:
    """Return the blocks that act. Other blocks are passed over as a whole."""
    found: list[_Block] = []
    at = start
    while at < len(lines):
        fence = _FENCE.fullmatch(lines[at])
        if fence is None:
            _check_words(lines[at], at)
            at += 1
            continue
        acting = _acting(fence, at)
        end = _end(lines, at, fence[1])
        if acting is not None:
            label, path = acting
            found.append(_Block(label=label, path=path, lines=lines[at + 1 : end], line=at + 1))
        at = end + 1
    return found


def _check_words(line: str, at: int) -> None:
    """Refuse a line outside of blocks by which a reader could see other blocks than we do."""
    if _HTML.match(line):
        raise _error("raw HTML could hide a change from a reader", Reason.HIDDEN, at)
    if _NESTED.match(line):
        raise _error("a block begins where the line begins, not in a list", Reason.FENCE, at)


def _end(lines: list[str], at: int, fence: str) -> int:
    """Return the index of the line that ends a block: as many of its sign, or more, alone."""
    closing = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*")
    for index in range(at + 1, len(lines)):
        if closing.fullmatch(lines[index]):
            return index
    raise _error("a block that does not end", Reason.FENCE, at)


def _acting(fence: re.Match[str], at: int) -> tuple[str, str] | None:
    """Return label and path of a block that acts, None of one that does not."""
    mark, label = fence.groups()
    if mark[0] == "`" and "`" in label:
        raise _error("a label with a backtick in it", Reason.FENCE, at)
    words = label.split()
    if not words or words[0].casefold() not in _ACTING:
        return None
    path = label.removeprefix("file ") if label.startswith("file ") else ""
    if mark[0] != "`" or (label != "diff" and (not path or path.split() != [path])):
        raise _error(
            f"{label[:60]!r} is no label of a change: ```diff or ```file PATH, at the line's "
            "beginning, and nothing behind",
            Reason.FENCE, at,
        )  # fmt: skip
    return (label, "") if label == "diff" else ("file", path)


def _from_diff(block: _Block) -> Patch:
    if not block.lines:
        raise _error("an empty diff", Reason.NOTHING, block.line - 1)
    return parse(block.data, first_line=block.line + 1)


def _from_file(block: _Block) -> Patch:
    """Return a new file as the diff that makes it."""
    path = block.path
    if fault := path_fault(path):
        raise _error(fault, Reason.PATH, block.line - 1)
    new = tuple(split(block.data))
    hunk = Hunk(start=0, old=(), new=new, line=block.line, places=())
    change = FileChange(
        path=path, created=True, deleted=False, hunks=(hunk,) if new else (), line=block.line
    )
    if not new:
        data = f"diff --git a/{path} b/{path}\nnew file mode 100644\n".encode()
        return Patch(data=data, changes=(change,))
    counted = "1" if len(new) == 1 else f"1,{len(new)}"
    head = f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +{counted} @@\n".encode()
    return Patch(data=head + b"".join(b"+" + line for line in new), changes=(change,))


def _follows(patch: Patch, before: list[FileChange]) -> bytes:
    """Return a diff that may stand behind others: an empty file's header has no end of its own."""
    if not before or before[-1].hunks or patch.data.startswith(b"diff --git "):
        return patch.data
    change = patch.changes[0]
    modes = ((change.created, "new"), (change.deleted, "deleted"))
    said = "".join(f"{word} file mode 100644\n" for given, word in modes if given)
    return f"diff --git a/{change.path} b/{change.path}\n{said}".encode() + patch.data


def _error(message: str, reason: Reason, at: int) -> InvalidPatch:
    return InvalidPatch(message, reason=reason, line=at + 1)
