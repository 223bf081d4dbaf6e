"""search_files: a regular expression over the text of files, by ripgrep in the sandbox.

What it finds in a file that may not be read without asking is left out, as read_file would ask;
how many files that were is said. Bounds: MATCHES_MAX lines, of LINE_CHARS each; files over 8 MB,
binary files and what .gitignore names are passed over, as ripgrep does.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from runtime.bubblewrap import SCRIPT_ENV
from runtime.core.errors import ToolFailed
from runtime.core.permission_rules import FILE_READ
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
from runtime.tools.confined import Confined, Ran

MATCHES_MAX: Final = 200
LINE_CHARS: Final = 300
_SECONDS: Final = 25.0
_NONE: Final = 1
"""ripgrep's exit status for: nothing found."""


class Search(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    pattern: Annotated[str, Meta(description="a regular expression", min_length=1, max_length=1000)]
    path: Annotated[str, Meta(description="file or folder to search", max_length=4096)] = "."
    glob: Annotated[str, Meta(description="only files like this: *.py", max_length=300)] = ""
    any_case: Annotated[bool, Meta(description="capitals and small letters are the same")] = False
    around: Annotated[int, Meta(description="lines shown before and after", ge=0, le=5)] = 0


SPEC: Final = ToolSpec(
    name="search_files",
    description="Find lines of files by a regular expression (ripgrep). Returns file:line: text.",
    schema=schema_of(Search),
    effect=Effect.READS,
    permission=Permission(tool=FILE_READ, specifier=argument("path", ".")),
    toolset="files",
)


@dataclass(frozen=True, slots=True)
class SearchFiles:
    """See the module. `may_read(path, folder)` asks the rules about a file that was found."""

    confined: Confined
    may_read: Callable[[str, str], bool]

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        args, path = parse(Search, arguments), paths.decided(context)
        program = shutil.which("rg", path=SCRIPT_ENV["PATH"])
        if program is None:
            raise ToolFailed("ripgrep (rg) is not installed here: list files and read them instead")
        inside = path == context.folder or path.startswith(context.folder + os.sep)
        ran = await self.confined.run(
            [program, *_options(args), "--", args.pattern, path],
            folder=context.folder if inside else path,
            write=False,
            seconds=_SECONDS,
        )
        return self._result(args, ran, context)

    def _result(self, args: Search, ran: Ran, context: ToolContext) -> ToolResult:
        if ran.timed_out:
            raise ToolFailed(f"it took longer than {_SECONDS:g} s: search a smaller folder")
        if ran.code > _NONE:
            raise ToolFailed(f"ripgrep: {ran.output.strip()[-500:]}")
        lines: list[str] = []
        hidden: set[str] = set()
        allowed: dict[str, bool] = {}
        for found in _matches(ran.output):
            file = found["path"].get("text")
            if file is None:
                continue
            if file not in allowed:
                allowed[file] = self.may_read(file, context.folder)
            if not allowed[file]:
                hidden.add(file)
                continue
            text = (found["lines"].get("text") or "[no text]").rstrip("\n")[:LINE_CHARS]
            lines.append(f"{paths.shown(file, context)}:{found['line_number']}: {text}")
        more = len(lines) > MATCHES_MAX or ran.left_out
        notes = ["[there is more: narrow the pattern or the folder]"] if more else []
        if hidden:
            notes.append(f"[{len(hidden)} files that may not be read without asking were left out]")
        text = "\n".join([*lines[:MATCHES_MAX], *notes]) or f"[nothing fits {args.pattern}]"
        return ToolResult(text=text, left_out=ran.left_out)


def _options(args: Search) -> list[str]:
    return [
        *("--no-config", "--json", "--sort=path", "--max-filesize=8M", f"--context={args.around}"),
        *(["--ignore-case"] if args.any_case else []),
        *([f"--glob={args.glob}"] if args.glob else []),
    ]


def _matches(output: str) -> list[dict[str, Any]]:
    """Read ripgrep's JSON lines; the first may be half a line, if there was too much."""
    found = []
    for line in output.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and value.get("type") in ("match", "context"):
            found.append(value["data"])
    return found
