"""shell: one line of bash in the sandbox, in the working folder. What was decided is what runs.

It has no network and sees no files but the folder's and the system's; docs/PERMISSIONS.md says
which lines a rule can allow. A pipe that waits for input finds none.
"""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from runtime.core.errors import ToolFailed
from runtime.core.limits import SHELL_LINE_BYTES_MAX
from runtime.core.permission_rules import BASH
from runtime.core.permissions import ShellCall
from runtime.core.tool import (
    Arguments,
    Effect,
    Permission,
    ToolContext,
    ToolLimits,
    ToolResult,
    ToolSpec,
    argument,
)
from runtime.tools.arguments import parse, schema_of
from runtime.tools.confined import Confined

SECONDS: Final = 120
SECONDS_MAX: Final = 600
"""A test suite's time; what takes longer is a job."""
_MARGIN_S: Final = 30
"""For its start and its end: the program's own time is up before the toolbox's."""


class Shell(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    line: Annotated[str, Meta(description="for bash", max_length=SHELL_LINE_BYTES_MAX)]
    seconds: Annotated[int, Meta(description="how long it may take", ge=1, le=SECONDS_MAX)] = (
        SECONDS
    )


SPEC: Final = ToolSpec(
    name="shell",
    description=(
        "Run a line of bash in the working folder, without network. Returns exit status and "
        "output. Prefer the tools for files: they need no permission to look."
    ),
    schema=schema_of(Shell),
    effect=Effect.WRITES,
    permission=Permission(tool=BASH, specifier=argument("line")),
    limits=ToolLimits(seconds=SECONDS_MAX + _MARGIN_S),
    toolset="shell",
)


def line_of(context: ToolContext) -> str:
    """Return the very line that was decided."""
    if not isinstance(context.call, ShellCall):
        raise ToolFailed("this call was not decided as a line of shell")
    return context.call.line.source


@dataclass(frozen=True, slots=True)
class RunShell:
    """See the module."""

    confined: Confined

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        args = parse(Shell, arguments)
        argv = ["bash", "--norc", "--noprofile", "-c", line_of(context)]
        ran = await self.confined.run(argv, folder=context.folder, write=True, seconds=args.seconds)
        return ran.result()
