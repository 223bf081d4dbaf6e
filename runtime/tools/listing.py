"""list_files: names below a folder, by a pattern. Links are named and not followed."""

import asyncio
import os
from fnmatch import fnmatchcase
from typing import Annotated, Final

import msgspec
from msgspec import Meta

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

NAMES_MAX: Final = 500
"""Ten screens."""
LOOKED_AT_MAX: Final = 50_000
"""Names looked at in a large tree: a second."""
_HIDDEN: Final = frozenset({".git", "node_modules", "__pycache__", ".venv"})
"""Folders that nobody means by "all files"; name one as `path` to see it."""


class List(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    path: Annotated[str, Meta(description="the folder", max_length=4096)] = "."
    pattern: Annotated[
        str,
        Meta(description="of names (*.py) or of paths (src/*.py); * alone: all", max_length=300),
    ] = "*"
    deep: Annotated[bool, Meta(description="also what lies in folders below")] = True


SPEC: Final = ToolSpec(
    name="list_files",
    description="List files and folders. A folder's name ends in a slash.",
    schema=schema_of(List),
    effect=Effect.READS,
    permission=Permission(tool=FILE_READ, specifier=argument("path", ".")),
    toolset="files",
)


class ListFiles:
    """See the module."""

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        args, path = parse(List, arguments), paths.decided(context)
        with paths.told(args.path):
            names, more = await asyncio.to_thread(_list, path, args)
        text = "\n".join(names) or f"[{args.path}: nothing fits {args.pattern}]"
        note = f"\n[there is more: at most {NAMES_MAX} names are listed]" if more else ""
        return ToolResult(text=text + note)


def _list(path: str, args: List) -> tuple[list[str], bool]:
    found: list[str] = []
    looked_at = 0
    with paths.parent_of(path) as (parent, name):
        root = os.open(name, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        for folder, folders, files, _ in os.fwalk(".", dir_fd=root, onerror=_passed_over):
            folders.sort()
            names = [f"{one}/" for one in folders] + sorted(files)
            looked_at += len(names)
            base = folder.removeprefix("./").removeprefix(".")
            for one in names:
                full = f"{base}/{one}" if base else one
                if _fits(full, one, args.pattern):
                    found.append(full)
            if len(found) > NAMES_MAX or looked_at > LOOKED_AT_MAX:
                return found[:NAMES_MAX], True
            folders[:] = [one for one in folders if one not in _HIDDEN] if args.deep else []
    finally:
        os.close(root)
    return found, False


def _passed_over(_error: OSError) -> None:
    """A folder that may not be opened is named and not entered."""


def _fits(full: str, name: str, pattern: str) -> bool:
    if pattern == "*":
        return True
    subject = full if "/" in pattern.rstrip("/") else name
    return fnmatchcase(subject.rstrip("/"), pattern.rstrip("/"))
