"""Proposals in the making: a folder to edit, the diff it amounts to, what a git checkout says.

    <folder>/proposal.md     front matter to fill in, and words
    <folder>/runtime/agent/  and the rest of the architecture that may be changed, as files to edit

or, of a constitutional one, the files of this software that it is to change, and no others.

Nothing here decides anything: whatever comes of it is read as strictly as what was typed by hand.
"""

import difflib
import os
import re
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis.core import limits
from genesis.core.architecture import PathClass, class_of
from genesis.core.constitution import PACKAGES, in_software
from genesis.core.errors import InvalidPatch, Reason
from genesis.core.front import MARK, Front
from genesis.core.patch import AGENT_PREFIX, PatchClass, split
from genesis.core.proposal import diff_block, parse_proposal, render_proposal
from ledger.core.errors import TimmyError

DOCUMENT: Final = "proposal.md"
_CONTEXT_LINES: Final = 3
_GIT_SECONDS: Final = 60
"""A diff of two commits takes a tenth of a second."""
_COMMITS_MAX: Final = 100
"""A range of more is no one proposal."""
_CONSTITUTIONAL: Final = re.compile(rb'^class *= *"constitutional"', re.MULTILINE)
_TRAILERS: Final = {"evaluation:": "evaluation", "expected:": "expected"}
_TEMPLATE: Final = """\
+++
# One line: what changes.
title = ""
# Why, for a reader who was not there.
rationale = ""
# routine: the agent's code and data. constitutional: this software itself, and for people.
class = "{patch_class}"
# The task by which the change is to be judged.
evaluation = ""
# The effect you expect, and how one would see it.
expected = ""
# The architecture it is made against.
base = "{base}"
# If it takes up an earlier proposal again, the event of that one:
# follows = 412
# If reducers fold otherwise, the module of this change that takes the new state back:
# migration = "runtime/core/back.py"

# What judging it may take: beyond the seconds (600 at most) it is inconclusive. A later try of a
# routine change has as many times as much as it has cases. A judge asks no model; one that a fork
# is let ask (timmy fork --live-model) takes no more than these tokens and usd.
[budget]
seconds = 600
tokens = 0
usd = 0
+++

What else a reader should know. The diff of this folder is put behind these words.
"""


class DraftError(TimmyError):
    """A draft of a proposal cannot be made, or read."""


def make_folder(
    folder: Path,
    files: Mapping[str, str],
    base: str,
    patch_class: PatchClass = PatchClass.ROUTINE,
) -> None:
    """Write the files and a document to fill in. Raises DraftError if there is something there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DraftError(f"{folder} is not empty", hint="name a folder that is not there yet")
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(text.encode())
        (folder / DOCUMENT).write_text(_TEMPLATE.format(base=base, patch_class=patch_class))
    except OSError as error:
        raise DraftError(
            f"{error.filename} cannot be made: {error.strerror}", hint="name another folder"
        ) from error


def read_folder(folder: Path, patch_class: PatchClass = PatchClass.ROUTINE) -> dict[str, bytes]:
    """Return the files of a folder by path, without its document. Raises DraftError."""
    try:
        return dict(_files(folder, "", patch_class))
    except OSError as error:
        raise DraftError(
            f"{error.filename} cannot be read: {error.strerror}", hint="timmy patch new FOLDER"
        ) from error


def folder_of(file: Path) -> Path | None:
    """Return the folder of `make_folder` that `file` names, itself or by its document.

    A document that holds changes of its own names nothing but itself.
    """
    if file.is_dir():
        return file
    if file.name != DOCUMENT or not (file.parent / AGENT_PREFIX).is_dir():
        return None
    try:
        parse_proposal(file.read_bytes())
    except InvalidPatch as error:
        return file.parent if error.reason is Reason.NOTHING else None
    except OSError:  # whoever reads it says so
        pass
    return None


def folder_document(folder: Path, files: Callable[[], Mapping[str, bytes]]) -> bytes:
    """Return the document of a folder, with the diff of what was edited there. Raises DraftError.

    `files`: those that a routine patch may change, asked for only if it is one.
    """
    file = folder / DOCUMENT
    try:
        document = file.read_bytes()
    except OSError as error:
        raise DraftError(
            f"{file} cannot be read: {error.strerror}", hint="timmy patch new FOLDER"
        ) from error
    return with_diff(document, folder_diff(folder, document, files))


def folder_diff(folder: Path, document: bytes, files: Callable[[], Mapping[str, bytes]]) -> bytes:
    """Return what was edited in a folder: of a constitutional one, in the files that are there."""
    patch_class = class_in(document)
    made = read_folder(folder, patch_class)
    if patch_class is PatchClass.CONSTITUTIONAL:
        return software_diff(made)
    return diff_of(files(), made)


def class_in(document: bytes) -> PatchClass:
    """Return the class that a document says it is of; what it is the paths decide."""
    said = _CONSTITUTIONAL.search(document.partition(b"\n+++\n")[0])
    return PatchClass.ROUTINE if said is None else PatchClass.CONSTITUTIONAL


def _files(folder: Path, prefix: str, patch_class: PatchClass) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            if entry.name != "__pycache__":
                yield from _files(Path(entry.path), f"{path}/", patch_class)
        elif path != DOCUMENT:
            routine = patch_class is PatchClass.ROUTINE
            fits = class_of(path) is not PathClass.PINNED if routine else in_software(path)
            if not entry.is_file(follow_symlinks=False) or not fits:
                raise DraftError(
                    f"{path} has no place in {'an architecture' if routine else 'this software'}",
                    hint="runtime/agent/, skills/NAME/SKILL.md, skins/NAME.toml, thresholds.toml"
                    if routine
                    else f"files of {', '.join(PACKAGES)}, and none of {AGENT_PREFIX}",
                )
            with Path(entry.path).open("rb") as file:
                yield path, file.read(limits.TREE_BYTES_MAX + 1)


def software_files(paths: Collection[str]) -> dict[str, bytes]:
    """Return files of this software, to be edited. Raises DraftError for a path of none."""
    from node.agent.architecture import software_file  # heavy, and most never ask

    found = {path: data for path in paths if (data := software_file(path)) is not None}
    if missing := sorted(set(paths) - set(found)):
        raise DraftError(
            f"{missing[0]!r} is no file of this software", hint="timmy patch files --pinned"
        )
    return found


def software_diff(made: Mapping[str, bytes]) -> bytes:
    """Return the diff that makes these files of this software's, and leaves the others."""
    from node.agent.architecture import software_file

    old = {path: data for path in made if (data := software_file(path)) is not None}
    return diff_of(old, made)


def diff_of(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> bytes:
    """Return the unified diff that makes `new` of `old`, by path; empty if they are the same."""
    return b"".join(
        _one(path, old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    )


def _one(path: str, old: bytes | None, new: bytes | None) -> bytes:
    head = f"diff --git a/{path} b/{path}\n".encode()
    if old is None:
        head += b"new file mode 100644\n"
    if new is None:
        head += b"deleted file mode 100644\n"
    lines = difflib.diff_bytes(
        difflib.unified_diff,
        split(old or b""),
        split(new or b""),
        b"/dev/null" if old is None else f"a/{path}".encode(),
        b"/dev/null" if new is None else f"b/{path}".encode(),
        n=_CONTEXT_LINES,
    )
    ended = (
        line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"
        for line in lines
    )
    return head + b"".join(ended)


def with_diff(document: bytes, diff: bytes) -> bytes:
    """Return a document with a diff behind its words; without a diff, as it is."""
    if not diff:
        return document
    ended = document if document.endswith(b"\n") else document + b"\n"
    return ended + b"\n" + diff_block(diff)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a proposal needs beside its diff; "" where nobody said it."""

    title: str = ""
    rationale: str = ""
    evaluation: str = ""
    expected: str = ""


def document_of(said: Said, diff: bytes, patch_class: PatchClass = PatchClass.ROUTINE) -> bytes:
    """Return the document around a diff. Raises DraftError for what nobody said."""
    for name in ("title", "rationale", "evaluation", "expected"):
        if not getattr(said, name).strip():
            raise DraftError(
                f"the proposal has no {name}",
                hint=f"--{name} TEXT; of commits also a line '{name.capitalize()}: ...'",
            )
    front = Front(
        title=said.title[: limits.TITLE_CHARS_MAX],
        rationale=said.rationale[: limits.FIELD_CHARS_MAX],
        patch_class=patch_class,
        evaluation=said.evaluation[: limits.FIELD_CHARS_MAX],
        expected=said.expected[: limits.FIELD_CHARS_MAX],
    )
    return render_proposal(front, "", diff)


def from_git(repository: Path, given: str) -> tuple[Said, bytes]:
    """Return what the commits of BASE..HEAD say, and their diff. Raises DraftError.

    Title: the subject of the newest commit. Rationale: its body; of several commits, all messages.
    Lines 'Evaluation: ...' and 'Expected: ...' of the bodies are those fields.
    """
    base, dots, head = given.partition("..")
    if not dots or not base or not head or head.startswith(".") or given.startswith("-"):
        raise DraftError(f"{given!r} is not a range of commits", hint="--git main..my-branch")
    ends = [
        _git(
            repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{end}^{{commit}}"
        )
        .decode()
        .strip()
        for end in (base, head)
    ]
    log = _git(repository, "log", f"-n{_COMMITS_MAX + 1}", "--format=%B%x00", "..".join(ends), "--")
    messages = [one.strip() for one in log.decode(errors="replace").split("\0") if one.strip()]
    if not messages:
        raise DraftError(f"there are no commits in {given}", hint="BASE..HEAD, the older one first")
    if len(messages) > _COMMITS_MAX:
        raise DraftError(
            f"more than {_COMMITS_MAX} commits in {given}", hint="propose smaller changes"
        )
    diff = _git(
        repository, "diff", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
        "--src-prefix=a/", "--dst-prefix=b/", f"--unified={_CONTEXT_LINES}", *ends, "--",
    )  # fmt: skip
    return _said(messages), diff


def _said(messages: list[str]) -> Said:
    """Read messages, newest first."""
    found: dict[str, str] = {}
    words: list[str] = []
    for message in messages:
        kept = []
        for line in message.split("\n"):
            first, _, rest = line.partition(" ")
            name = _TRAILERS.get(first.casefold())
            if name is None:
                kept.append(line)
            else:
                found.setdefault(name, rest.strip())
        words.append("\n".join(kept).strip())
    title, _, body = words[0].partition("\n")
    rationale = "\n\n".join(words) if len(words) > 1 else body.strip() or title
    return Said(title=title, rationale=rationale, **found)


def _git(repository: Path, *arguments: str) -> bytes:
    """Run git and return what it prints. Raises DraftError."""
    command = ["git", "-C", os.fspath(repository), "-c", "core.quotePath=true", *arguments]
    hint = "--repo FOLDER names the checkout; git must be installed"
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DraftError("git cannot be run", hint=hint) from error
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().split("\n")[-1]
        raise DraftError(f"git: {why or 'no such commit: ' + arguments[-1]}"[:300], hint=hint)
    return done.stdout


def is_document(data: bytes) -> bool:
    """Whether a file is a proposal, and not a bare diff."""
    return data.startswith((f"{MARK}\n".encode(), f"{MARK}\r".encode()))
