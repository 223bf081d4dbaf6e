"""skill_list and skill_read: instructions that the operator adopted, one SKILL.md a folder.

    <skills>/<name>/SKILL.md   YAML front matter between lines of ---: name, description; then text

A draft is none: what lies in a folder `drafts`, or says `status: draft`, is neither listed nor
read, whoever wrote it. Links are not followed, and SKILL_BYTES_MAX is the most of one. Not covered:
files that a skill brings beside its SKILL.md; whether a skill is any good.
"""

import asyncio
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runtime.core.errors import ToolFailed
from runtime.core.tool import (
    Arguments,
    Effect,
    Permission,
    ToolContext,
    ToolResult,
    ToolSpec,
    argument,
)
from runtime.tools import paths
from runtime.tools.arguments import parse, schema_of

SKILL_BYTES_MAX: Final = 64 * 1024
SKILLS_MAX: Final = 200
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_FIELD: Final = re.compile(r"^([a-z_-]+):(.*)$", re.MULTILINE)
"""Blanks are taken off afterwards: a pattern that does it looks at each run of them many times."""
_DRAFTS: Final = "drafts"


class ListSkills(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""


class ReadSkill(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    name: Annotated[str, Meta(description="as skill_list names it", max_length=64)]


LIST: Final = ToolSpec(
    name="skill_list",
    description="List skills: instructions for kinds of work, to be read before such work.",
    schema=schema_of(ListSkills),
    effect=Effect.READS,
    permission=Permission(tool="Ledger"),
    toolset="skills",
)
READ: Final = ToolSpec(
    name="skill_read",
    description="Read a skill.",
    schema=schema_of(ReadSkill),
    effect=Effect.READS,
    permission=Permission(tool="Skill", specifier=argument("name")),
    toolset="skills",
)


@dataclass(frozen=True, slots=True)
class Skills:
    """Those of one folder."""

    folder: str

    def all(self) -> Iterator[tuple[str, str]]:
        """Yield name and description of each adopted one, by name."""
        for name in self.names()[:SKILLS_MAX]:
            try:
                text = self.text(name)
            except (OSError, ToolFailed):
                continue
            yield name, _fields(text).get("description", "")[:300]

    def names(self) -> list[str]:
        """Return the names that may be those of skills, in order."""
        try:
            return sorted(path.name for path in Path(self.folder).iterdir())
        except OSError:
            return []

    def text(self, name: str) -> str:
        """Return a skill. Raises ToolFailed for what is none, OSError."""
        if _NAME.fullmatch(name) is None or name == _DRAFTS:
            raise ToolFailed(f"there is no skill {name[:64]!r}")
        with paths.reading(f"{os.path.realpath(self.folder)}/{name}/SKILL.md") as file:
            data = file.read(SKILL_BYTES_MAX + 1)
        if len(data) > SKILL_BYTES_MAX:
            raise ToolFailed(f"the skill {name} has more than {SKILL_BYTES_MAX} bytes")
        text = data.decode(errors="replace")
        return checked(name, text)


def checked(name: str, text: str) -> str:
    """Return the text of a skill that is no draft. Raises ToolFailed."""
    if _fields(text).get("status", "").strip("\"'").lower() == "draft":
        raise ToolFailed(f"there is no skill {name!r}")
    return text


def _fields(text: str) -> dict[str, str]:
    """Return the plain fields of the front matter; nested ones are passed over."""
    if not text.startswith("---\n"):
        return {}
    found = _FIELD.findall(text[4:].partition("\n---")[0])
    return {name: value.strip() for name, value in found}


@dataclass(frozen=True, slots=True)
class ListSkillsTool:
    """Names and descriptions."""

    skills: Skills

    async def call(self, arguments: Arguments, _context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        parse(ListSkills, arguments)
        found = await asyncio.to_thread(lambda: list(self.skills.all()))
        text = "\n".join(f"{name}: {about}" for name, about in found)
        return ToolResult(text=text or "[there are no skills]")


@dataclass(frozen=True, slots=True)
class ReadSkillTool:
    """The words of one."""

    skills: Skills

    async def call(self, arguments: Arguments, _context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        name = parse(ReadSkill, arguments).name
        try:
            return ToolResult(text=await asyncio.to_thread(self.skills.text, name))
        except OSError as error:
            raise ToolFailed(f"there is no skill {name!r}") from error
