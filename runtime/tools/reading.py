"""read_file: lines of a text file, numbered, from any line on.

Bounds: LINES_MAX lines of at most LINE_CHARS each; at most SCAN_BYTES are looked through for the
first of them. Not covered: binary files, which are named as such; encodings beside UTF-8, whose
bytes that are none become replacement signs.
"""

import asyncio
from typing import Annotated, BinaryIO, Final

import msgspec
from msgspec import Meta

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

LINES_MAX: Final = 2_000
"""Forty pages; a model that needs more asks for the next lines."""
LINE_CHARS: Final = 2_000
"""A longer line is data or minified code."""
SCAN_BYTES: Final = 64 * 1024 * 1024
"""What is read to come to a line far down: half a second."""
_PROBE_BYTES: Final = 8_192


class Read(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    path: Annotated[str, Meta(description="the file, from the working folder on", max_length=4096)]
    first: Annotated[int, Meta(description="first line, counted from 1", ge=1)] = 1
    lines: Annotated[int, Meta(description="how many lines", ge=1, le=LINES_MAX)] = LINES_MAX


SPEC: Final = ToolSpec(
    name="read_file",
    description="Read lines of a text file. Each comes with its number.",
    schema=schema_of(Read),
    effect=Effect.READS,
    permission=Permission(tool=FILE_READ, specifier=argument("path")),
    toolset="files",
)


class ReadFile:
    """See the module."""

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        args, path = parse(Read, arguments), paths.decided(context)
        with paths.told(args.path):
            return await asyncio.to_thread(_read, path, args)


def _read(path: str, args: Read) -> ToolResult:
    with paths.reading(path) as file:
        if b"\0" in file.read(_PROBE_BYTES):
            raise ToolFailed(f"{args.path} is no text: it has zero bytes")
        file.seek(0)
        found, more, size = _lines(file, args)
    if not found:
        what = "it is empty" if args.first == 1 else f"it has fewer than {args.first} lines"
        return ToolResult(text=f"[{args.path}: {what}]")
    text = "".join(f"{number:6}\t{line}\n" for number, line in enumerate(found, args.first))
    if more:
        text += f"[there is more: go on with line {args.first + len(found)}]\n"
    return ToolResult(text=text, left_out=size)


def _lines(file: BinaryIO, args: Read) -> tuple[list[str], bool, int]:
    """Return the lines, whether there are more, and how many bytes of long lines were left out."""
    found: list[str] = []
    number = scanned = left_out = 0
    while data := file.readline(SCAN_BYTES - scanned + 1):
        scanned += len(data)
        if scanned > SCAN_BYTES:
            raise ToolFailed(
                f"{args.path} is too large to be read to there: over {SCAN_BYTES} bytes"
            )
        number += 1
        if number < args.first:
            continue
        if len(found) == args.lines:
            return found, True, left_out
        line = data.decode(errors="replace").rstrip("\r\n")
        left_out += max(0, len(line) - LINE_CHARS)
        end = f" [... {len(line) - LINE_CHARS} characters]" if len(line) > LINE_CHARS else ""
        found.append(line[:LINE_CHARS] + end)
    return found, False, left_out
