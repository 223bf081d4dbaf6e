"""edit_file: one exact text of a file for another. What occurs twice, or never, is refused."""

import asyncio
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runtime.core.errors import ToolFailed
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
from runtime.tools.writing import one_file

EDIT_BYTES_MAX: Final = 4 * 1024 * 1024
"""A file beyond this, before or after, is no text that somebody wrote."""


class Edit(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    path: Annotated[str, Meta(description="the file, from the working folder on", max_length=4096)]
    old: Annotated[str, Meta(description="the text as it stands there, exactly", min_length=1)]
    new: Annotated[str, Meta(description="what is to stand there instead")]
    all: Annotated[bool, Meta(description="every occurrence, not just the only one")] = False


SPEC: Final = ToolSpec(
    name="edit_file",
    description=(
        "Put one text of a file in the place of another. `old` must be exactly what stands in the "
        "file, spaces and line ends included, and must occur once unless `all` is true."
    ),
    schema=schema_of(Edit),
    effect=Effect.WRITES,
    permission=Permission(tool=FILE_EDIT, specifier=argument("path")),
    resource=one_file,
    toolset="files",
)


class EditFile:
    """See the module."""

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        args, path = parse(Edit, arguments), paths.decided(context)
        with paths.told(args.path):
            count = await asyncio.to_thread(_edit, path, args)
        return ToolResult(text=f"changed {args.path} in {count} place{'s' if count > 1 else ''}")


def _edit(path: str, args: Edit) -> int:
    with paths.reading(path) as file:
        data = file.read(EDIT_BYTES_MAX + 1)
    if len(data) > EDIT_BYTES_MAX:
        raise ToolFailed(f"{args.path} has more than {EDIT_BYTES_MAX} bytes")
    old, count = args.old.encode(), data.count(args.old.encode())
    if count == 0:
        raise ToolFailed(f"{args.path} does not hold this text{_nearly(data, args.old)}")
    if count > 1 and not args.all:
        raise ToolFailed(
            f"{args.path} holds this text {count} times: give more of what stands around it, "
            "or say all"
        )
    if args.old == args.new:
        raise ToolFailed("old and new are the same")
    new = args.new.encode()
    size = len(data) + count * (len(new) - len(old))
    if size > EDIT_BYTES_MAX:
        raise ToolFailed(f"{args.path} would have {size} bytes, at most {EDIT_BYTES_MAX}")
    paths.replace(path, data.replace(old, new))
    return count


def _nearly(data: bytes, old: str) -> str:
    """Say what the usual mistakes are, where one of them was made."""
    text = data.decode(errors="replace")
    if " ".join(old.split()) and " ".join(old.split()) in " ".join(text.split()):
        return ", but one that differs in spaces or line ends: read it again and copy it exactly"
    return ""
