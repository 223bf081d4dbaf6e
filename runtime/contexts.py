"""Reads the context files of the folder the agent works in, and records those that changed.

A name is relative to that folder, and a file outside of it is none, whatever leads there: a link is
followed to its end, and what is opened then is that very path without any link in it, for the agent
can write in that folder and a link may change between a look and an opening. What cannot be read as
text within the bounds is not shown and said to be so. Not covered: files that a context file names.

The names of adopted skills, each with what it is for, are kept on record in the same way, under a
name that no file has: a prompt refers to that event, and a suspect one waits for the operator.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from ledger.core import types
from ledger.core.errors import NotFound
from ledger.core.event import Draft, Event
from runtime.core.contexts import fit, known
from runtime.core.errors import ToolFailed
from runtime.core.injection import findings
from runtime.journal import Journal
from runtime.tools import paths

FILE_BYTES_MAX: Final = 256 * 1024
"""Ten times what is shown of one: larger ones are no descriptions."""
SKILLS: Final = "skills/"
"""Under this name, which is no file's, the list of adopted skills is kept."""
SKILLS_BYTES_MAX: Final = 2048
"""Of the list of skills: it is in every prompt, and skill_list tells the rest."""
_ABOUT_CHARS_MAX: Final = 160
_MORE: Final = "- and more: skill_list"
_TOO_LARGE: Final = "too large"
_NO_TEXT: Final = "no text"
_OUTSIDE: Final = "outside of the folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A file as it was found: as prompts show it, with its facts; or `why` it is not shown."""

    text: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    why: str = ""


class Contexts:
    """Context files of one folder: `refresh` before a prompt is built, ask `problems`."""

    def __init__(
        self,
        journal: Journal,
        folder: Path,
        names: tuple[str, ...],
        skills: Callable[[], Iterable[tuple[str, str]]] = tuple,
    ) -> None:
        """`skills` gives name and description of each that the agent may read."""
        self._skills = skills
        self._journal = journal
        self._folder = folder
        self._names = names
        self._stamps: dict[str, tuple[int, int, int]] = {}
        self.problems: dict[str, str] = {}

    async def refresh(self) -> None:
        """Record what changed since the last time. Raises what the ledger raises."""
        for name in self._names:
            stamp = await asyncio.to_thread(_stamp, self._folder / name)
            if stamp is not None and stamp == self._stamps.get(name):
                continue
            found = await asyncio.to_thread(_find, self._folder, name)
            await self._record(name, found)
            if stamp is not None:
                self._stamps[name] = stamp
        text = await asyncio.to_thread(skill_lines, self._skills())
        await self._record(SKILLS, _found(SKILLS, text.encode()) if text else None)

    async def allow(self, position: int, *, by: str) -> Event:
        """Show what the event at `position` read, although it is suspect.

        Raises NotFound if it is not the newest reading of a file.
        """
        async with self._journal.deciding:
            readings = {one.position: one for one in known(self._journal.state.entries)}
            if position not in readings:
                raise NotFound(
                    f"event {position} is not the newest reading of a context file",
                    hint="it changed since you looked at it: timmy context show, and again",
                )
            payload = {"sha256": readings[position].sha256, "by": by}
            return await self._append(types.CONTEXT_ALLOWED.name, payload, None)

    async def _record(self, name: str, found: _Found | None) -> None:
        self.problems.pop(name, None)
        if found is not None and found.why:
            self.problems[name] = found.why
            structlog.get_logger("runtime.contexts").warning(
                "a context file is not shown", name=name, why=found.why
            )
        async with self._journal.deciding:
            before = {one.name: one for one in known(self._journal.state.entries)}.get(name)
            if found is None or found.why:
                if before is not None:
                    await self._append(types.CONTEXT_GONE.name, {"name": name}, None)
            elif before is None or before.sha256 != found.facts["sha256"]:
                await self._append(types.CONTEXT_READ.name, found.facts, {"text": found.text})

    async def _append(
        self, kind: str, payload: dict[str, Any], content: dict[str, Any] | None
    ) -> Event:
        [event] = await self._journal.append(
            Draft(type=kind, stream=types.NODE_STREAM, payload=payload, content=content)
        )
        return event


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _find(folder: Path, name: str) -> _Found | None:
    try:
        path = (folder / name).resolve(strict=True)
        if not path.is_relative_to(folder.resolve(strict=True)):
            return _Found(why=_OUTSIDE)
        with paths.reading(str(path)) as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ToolFailed, IsADirectoryError):
        return _Found(why=_NO_TEXT)
    except (OSError, RuntimeError) as error:
        return _Found(why=str(getattr(error, "strerror", error)))
    if len(data) > FILE_BYTES_MAX:
        return _Found(why=_TOO_LARGE)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return _Found(why=_NO_TEXT)
    return _found(name, data) if text.strip() else None


def skill_lines(skills: Iterable[tuple[str, str]]) -> str:
    """Return a line for each skill, in at most SKILLS_BYTES_MAX bytes; "" if there is none."""
    lines: list[str] = []
    room = SKILLS_BYTES_MAX - len(_MORE) - 1
    for name, about in skills:
        line = f"- {name}: {' '.join(about.split())[:_ABOUT_CHARS_MAX]}"
        room -= len(line.encode()) + 1
        if room < 0:
            lines.append(_MORE)
            break
        lines.append(line)
    return "\n".join(lines)


def _found(name: str, data: bytes) -> _Found:
    shown, left_out = fit(data.decode())
    suspect = [[one.rule, one.line] for one in findings(shown)]
    facts = {
        "name": name,
        "sha256": hashlib.sha256(data).digest(),
        "bytes": len(data),
        "left_out": left_out,
        "findings": suspect,
    }
    return _Found(text=shown, facts=facts)
