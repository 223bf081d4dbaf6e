"""architecture_list, architecture_read, architecture_search, patch_propose: the agent on itself.

Three look: what it is made of, in which classes, under which root; the words of a file; where words
stand in all of them. The fourth proposes a change of it, as a document (docs/spec/proposal.md), and
is asked about unless a rule says otherwise. A proposal changes nothing: people read it, successors
try it. What is pinned is named by its root and not shown; its source is public, and not the
agent's.

Which files there are, and what becomes of a document, is the host's (`Drawings`). Not covered:
adopting anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Protocol

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
)
from runtime.tools.arguments import parse, schema_of

_LINES_MAX: Final = 1_000
"""Of a file in one look: the longest module has half of it."""
_HITS_MAX: Final = 100
_LINE_CHARS_MAX: Final = 500
_DOCUMENT_CHARS_MAX: Final = 64 * 1024
"""What a model may propose in one call; a person may propose four times as much."""
_TOOLSET: Final = "architecture"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of an architecture."""

    path: str
    kind: str
    text: str


class Drawings(Protocol):
    """What the host shows and takes."""

    def files(self) -> tuple[str, Sequence[File]]:
        """Return the root in hex, and every file by path. Raises ToolFailed."""

    async def propose(self, document: str, context: ToolContext) -> str:
        """Record a proposal and say which. Raises ToolFailed with reason and line."""


class ListFiles(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""


class ReadFile(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    path: Annotated[str, Meta(description="as architecture_list names it", max_length=160)]
    first_line: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


class Search(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    words: Annotated[str, Meta(description="exact words", min_length=1, max_length=200)]


class Propose(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    document: Annotated[
        str,
        Meta(
            description=(
                "Markdown. It begins with TOML between lines of +++: title, rationale, class "
                '("routine"), evaluation, expected, all text. Then words, and the change: '
                "```diff with a unified diff (--- a/PATH, +++ b/PATH, exact context), or "
                "```file PATH with a new file."
            ),
            min_length=1,
            max_length=_DOCUMENT_CHARS_MAX,
        ),
    ]


_LOOKS: Final = Permission(tool="Architecture")
LIST: Final = ToolSpec(
    name="architecture_list",
    description="List what you are made of: code, prompts, skills, skins, thresholds, reducers.",
    schema=schema_of(ListFiles),
    effect=Effect.READS,
    permission=_LOOKS,
    toolset=_TOOLSET,
)
READ: Final = ToolSpec(
    name="architecture_read",
    description="Read a file of what you are made of.",
    schema=schema_of(ReadFile),
    effect=Effect.READS,
    permission=_LOOKS,
    toolset=_TOOLSET,
)
SEARCH: Final = ToolSpec(
    name="architecture_search",
    description="Find exact words in what you are made of.",
    schema=schema_of(Search),
    effect=Effect.READS,
    permission=_LOOKS,
    toolset=_TOOLSET,
)
PROPOSE: Final = ToolSpec(
    name="patch_propose",
    description=(
        "Propose a change of what you are made of. It is judged in a sandbox and decided by "
        "people; proposing changes nothing."
    ),
    schema=schema_of(Propose),
    effect=Effect.WRITES,
    permission=Permission(tool="Patch"),
    resource=lambda _: "proposals",
    toolset=_TOOLSET,
)


def _lines(text: str) -> list[str]:
    """Return lines as a diff counts them: LF alone ends one, whatever else looks like an end."""
    return text.removesuffix("\n").split("\n") if text else []


@dataclass(frozen=True, slots=True)
class ListArchitecture:
    """Path, class and size of each, and the root."""

    drawings: Drawings

    async def call(self, arguments: Arguments, _context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        parse(ListFiles, arguments)
        root, files = self.drawings.files()
        rows = [f"{one.path} ({one.kind}, {len(_lines(one.text))} lines)" for one in files]
        return ToolResult(text="\n".join([f"architecture {root}", *rows]))


@dataclass(frozen=True, slots=True)
class ReadArchitecture:
    """Lines of one file, numbered."""

    drawings: Drawings

    async def call(self, arguments: Arguments, _context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        args = parse(ReadFile, arguments)
        _, files = self.drawings.files()
        found = next((one for one in files if one.path == args.path), None)
        if found is None:
            raise ToolFailed(f"{args.path!r} is no file of the architecture")
        lines = _lines(found.text)
        first = args.first_line - 1
        shown = lines[first : first + _LINES_MAX]
        left = len(lines) - first - len(shown)
        rows = [f"{n}: {line[:_LINE_CHARS_MAX]}" for n, line in enumerate(shown, first + 1)]
        note = [f"[{left} more lines: first_line {first + len(shown) + 1}]"] if left > 0 else []
        return ToolResult(text="\n".join([*rows, *note]) or "[no lines there]")


@dataclass(frozen=True, slots=True)
class SearchArchitecture:
    """Lines that hold the words, with path and number."""

    drawings: Drawings

    async def call(self, arguments: Arguments, _context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        words = parse(Search, arguments).words
        _, files = self.drawings.files()
        hits = [
            f"{one.path}:{n}: {line.strip()[:_LINE_CHARS_MAX]}"
            for one in files
            for n, line in enumerate(_lines(one.text), 1)
            if words in line
        ]
        more = [f"[{len(hits) - _HITS_MAX} more]"] if len(hits) > _HITS_MAX else []
        return ToolResult(text="\n".join([*hits[:_HITS_MAX], *more]) or "[nothing was found]")


@dataclass(frozen=True, slots=True)
class ProposePatch:
    """Records a proposal, or says by its line why not."""

    drawings: Drawings

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        document = parse(Propose, arguments).document
        if context.book is None:
            raise ToolFailed("there is no ledger to write to")
        return ToolResult(text=await self.drawings.propose(document, context))
