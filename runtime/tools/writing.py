"""write_file: a whole file, in one step: the old one or the new one is there, never a half."""

import asyncio
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runtime.core.permission_rules import FILE_EDIT
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


class Write(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    path: Annotated[str, Meta(description="the file, from the working folder on", max_length=4096)]
    text: Annotated[str, Meta(description="all of its text")]


def one_file(arguments: Arguments) -> str | None:
    """Resource of a writing call: its file, by the name it was given.

    Two names of one file are two resources; both writes replace the file whole, so the later wins.
    """
    path = arguments.get("path")
    return f"file:{path}" if isinstance(path, str) else None


SPEC: Final = ToolSpec(
    name="write_file",
    description=(
        "Write a whole text file; what was in it is gone. Folders that are missing are made. "
        "To change a part of a file use edit_file."
    ),
    schema=schema_of(Write),
    effect=Effect.WRITES,
    permission=Permission(tool=FILE_EDIT, specifier=argument("path")),
    resource=one_file,
    toolset="files",
)


class WriteFile:
    """See the module."""

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        args, path = parse(Write, arguments), paths.decided(context)
        data = args.text.encode()
        with paths.told(args.path):
            new = await asyncio.to_thread(paths.replace, path, data)
        return ToolResult(text=f"{'made' if new else 'wrote'} {args.path}: {len(data)} bytes")
