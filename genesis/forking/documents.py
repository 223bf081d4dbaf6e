"""The patch that a fork tries: a proposal's document, or a bare diff, with the task it is tried by.

A document without `evaluation` takes the task that is given with it; of one that has it, the task
given counts. A bare diff has no other words at all. What is refused is refused with the name of the
file and its line, before anything was forked.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from genesis.core import limits, patch
from genesis.core.architecture import Architecture
from genesis.core.constitution import Software
from genesis.core.errors import ForkError, PatchError
from genesis.core.front import MARK, Budget, Front
from genesis.core.patch import PatchClass
from genesis.core.proposal import Proposal, Weighed, parse_proposal, weigh

_UNNAMED: Final = "patch"
_UNSAID: Final = "not said"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Bytes, and what to call them in an error."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A document that fits the parent. `task` is what it is to be tried by.

    `software`: what a constitutional one changes, as it is; None of a routine one.
    """

    proposal: Proposal
    weighed: Weighed
    task: str
    allowed: Budget | None = None
    """What the document lets its evaluation take; None where it does not say."""
    software: Software | None = None


def read(path: str | Path) -> Document:
    """Read a document of a bounded size. Raises ForkError."""
    file = Path(path)
    try:
        with file.open("rb") as opened:
            data = opened.read(limits.DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        raise ForkError(
            f"{file}: {error.strerror}", hint="name a proposal.md, or a diff"
        ) from error
    return Document(name=str(path), data=data)


def understood(
    given: Document | bytes | str,
    base: Architecture,
    task: str,
    software: Callable[[], Software] | None = None,
) -> Read:
    """Return what `given` changes of `base`; a constitutional one, of `software`, which is read
    then. Raises PatchError, with the file and its line.
    """
    match given:
        case Document():
            document = given
        case str():
            document = Document(name=_UNNAMED, data=given.encode(errors="surrogatepass"))
        case _:
            document = Document(name=_UNNAMED, data=given)
    try:
        proposal = _proposal(document.data, task)
        wanted = proposal.front.patch_class is PatchClass.CONSTITUTIONAL
        here = software() if wanted and software is not None else None
        weighed = weigh(proposal, base, here)
    except PatchError as error:
        raise placed(error, document.name) from error
    front = proposal.front
    return Read(
        proposal=proposal,
        weighed=weighed,
        task=front.evaluation,
        allowed=front.budget if "budget" in _keys(document.data) else None,
        software=here,
    )


def placed(error: PatchError, name: str) -> PatchError:
    """Return the same refusal with the name of the file before its line."""
    words = str(error).removeprefix(f"line {error.line}: ")
    where = f"{name}:{error.line}" if error.line else name
    found = type(error)(
        f"{where}: {words}", reason=error.reason, path=error.path, at=error.at, hint=error.hint
    )
    found.line = error.line
    return found


def _proposal(data: bytes, task: str) -> Proposal:
    if not data.startswith(f"{MARK}\n".encode()):
        front = Front(
            title="A diff", rationale=_UNSAID, patch_class=PatchClass.ROUTINE,
            evaluation=task or _UNSAID, expected=_UNSAID,
        )  # fmt: skip
        return Proposal(data=data, front=front, patch=patch.parse(data))
    proposal = _filled(data) if task and _lacks_task(data) else parse_proposal(data)
    if not task:
        return proposal
    return replace(proposal, front=replace(proposal.front, evaluation=task))


def _lacks_task(data: bytes) -> bool:
    """Whether the front matter can be read and names no task."""
    keys = _keys(data)
    return bool(keys) and "evaluation" not in keys


def _keys(data: bytes) -> frozenset[str]:
    """What stands in the front matter; nothing where it cannot be read, and the parser says why."""
    front = data.split(f"\n{MARK}\n".encode(), 1)[0].removeprefix(MARK.encode())
    try:
        return frozenset(tomllib.loads(front.decode()))
    except (ValueError, RecursionError):
        return frozenset()


def _filled(data: bytes) -> Proposal:
    """Read a document as if its front matter had a task; its lines are those that it has."""
    mark = f"{MARK}\n".encode()
    try:
        return parse_proposal(mark + f'evaluation = "{_UNSAID}"\n'.encode() + data[len(mark) :])
    except PatchError as error:
        line = max(1, error.line - 1) if error.line else 0
        words = str(error).removeprefix(f"line {error.line}: ")
        raise type(error)(
            words, reason=error.reason, line=line, path=error.path, at=error.at, hint=error.hint
        ) from error
