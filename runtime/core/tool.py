"""What a tool is, to whoever offers it, decides about it, or calls it.

A `ToolSpec` says all that a node has to know before anything happens: what a model is told (name,
description, schema), what the permission rules are asked (`Permission`), whether a call changes
anything (`Effect`), what two calls may not change at once (`resource`), and its bounds. A `Tool`
acts. Neither knows the ledger: requests, decisions and results are written down by the host
(`runtime.tooling`), and a tool gets the call as it was decided, never the words it was asked with.

Not covered: streams and pictures as results; a schema is checked for its outer shape only, and
what is in the arguments by the tool itself.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Protocol, TypeAlias

from ledger.core.event import Draft, Event
from ledger.core.state import State
from runtime.core import limits
from runtime.core.chat import Reach
from runtime.core.errors import ToolRefused
from runtime.core.permissions import Call

Arguments: TypeAlias = Mapping[str, Any]
"""Of one call, as JSON gave them."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_SET: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class Effect(StrEnum):
    """Whether a call changes anything. A call that READS may be made twice, or beside others."""

    READS = "reads"
    WRITES = "writes"


def nothing(_arguments: Arguments) -> str:
    """Specifier of tools whose calls have nothing that a rule's brackets could name."""
    return ""


def everything(_arguments: Arguments) -> None:
    """Resource of a tool nobody knows enough about: it writes alone."""


def argument(name: str, default: str = "") -> Callable[[Arguments], str]:
    """Return a function that takes the text of one argument; `default` if there is none."""

    def of(arguments: Arguments) -> str:
        value = arguments.get(name, default)
        return value if isinstance(value, str) else default

    return of


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """How the rules see a call: their name of the tool, and what their brackets name of it."""

    tool: str
    specifier: Callable[[Arguments], str] = nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLimits:
    """Bounds of one call. The host keeps them, whatever the tool does."""

    seconds: float = 30.0
    """A look takes milliseconds; thirty seconds without a result is a hang."""
    result_bytes: int = limits.TOOL_RESULT_BYTES
    """What a model is given of a result; what is beyond is left out, and said to be."""

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= limits.TOOL_SECONDS_MAX:
            raise ToolRefused(f"{self.seconds:g} seconds, more than 0 and at most 3600")
        if not 1 <= self.result_bytes <= limits.TOOL_RESULT_BYTES_MAX:
            most = limits.TOOL_RESULT_BYTES_MAX
            raise ToolRefused(f"a result of {self.result_bytes} bytes, 1 to {most} allowed")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """Everything about a tool but how it acts. Raises ToolRefused for what no provider takes.

    `schema` is a JSON Schema of an object. `resource` names what a writing call changes: calls
    that name the same one are made one after the other, and None (not known) is made alone.
    `reach` is how far its arguments travel: words of a conversation go to no tool beyond theirs.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    effect: Effect
    permission: Permission
    toolset: str
    resource: Callable[[Arguments], str | None] = everything
    limits: ToolLimits = field(default_factory=ToolLimits)
    reach: Reach = Reach.LOCAL

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ToolRefused(
                f"{self.name[:80]!r} is no name of a tool",
                hint="1 to 64 letters, digits, _ and -, the first a letter or _",
            )
        if _SET.fullmatch(self.toolset) is None:
            raise ToolRefused(f"{self.toolset[:80]!r} is no name of a toolset")
        size = len(self.description.encode(errors="replace"))
        if not 1 <= size <= limits.TOOL_DESCRIPTION_BYTES_MAX:
            most = limits.TOOL_DESCRIPTION_BYTES_MAX
            raise ToolRefused(f"{self.name}: a description of {size} bytes, 1 to {most} allowed")
        _check_schema(self.name, self.schema)

    def to_value(self) -> dict[str, Any]:
        """Return what a person or a script is shown of it."""
        return {
            "name": self.name, "description": self.description, "schema": dict(self.schema),
            "effect": self.effect.value, "permission": self.permission.tool,
            "toolset": self.toolset, "seconds": self.limits.seconds,
            "result_bytes": self.limits.result_bytes, "reach": self.reach.word,
        }  # fmt: skip


def _check_schema(name: str, schema: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(schema, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolRefused(f"{name}: its schema is not JSON") from error
    if schema.get("type") != "object":
        raise ToolRefused(f"{name}: its schema is not of an object", hint='"type": "object"')
    if size > limits.TOOL_SCHEMA_BYTES_MAX:
        most = limits.TOOL_SCHEMA_BYTES_MAX
        raise ToolRefused(f"{name}: a schema of {size} bytes, at most {most}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a call gave, in words. `is_error`: the tool says it could not do it.

    `left_out` counts the bytes that are not in `text`; whoever cut says so in the text as well.
    `reach` is how far the words may travel, for tools that read what is kept at home.
    """

    text: str
    is_error: bool = False
    left_out: int = 0
    reach: Reach = Reach.PUBLIC


def failed(why: str) -> ToolResult:
    """Return a result that says why there is none."""
    return ToolResult(text=why, is_error=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """Where a call happens and for whom.

    `call` is what was decided, to be acted on as it stands: for FileRead and FileEdit the resolved
    path, for Bash the parsed line, for WebFetch the address. `folder`, absolute, is where it works.
    """

    folder: str
    call: Call
    conversation: str
    author: str
    message: int
    """Position of the message that is being answered: nothing newer is told."""
    turn: bytes = b""
    step: int = 0
    reach: Reach = Reach.PUBLIC
    """How far the words of the conversation may travel."""
    book: "Book | None" = None
    """Where a tool may write down what is the node's own; a fork's in a replay."""


class Pages(Protocol):
    """What of a log a tool may read."""

    @property
    def size(self) -> int:
        """Number of events."""

    def read(self, position: int) -> Event:
        """Return the event at `position`. Raises NotFound."""


class Book(Protocol):
    """What of `runtime.journal.Journal` a tool may use."""

    @property
    def log(self) -> Pages:
        """The events."""

    @property
    def state(self) -> State:
        """The state after every event that is durable now."""

    async def append(self, *drafts: Draft) -> list[Event]:
        """Append in one commit."""


class Tool(Protocol):
    """Acts. Bounds, locks and records are the caller's (`runtime.toolbox`)."""

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """Do it. Cancelled when its time is up or nobody waits any more; must leave nothing behind.

        Raises ToolFailed, whose message the model reads; any other exception is a defect and is
        told without its words.
        """


def cut(result: ToolResult, bytes_max: int) -> ToolResult:
    """Return the result with at most `bytes_max` bytes of its text, and a note of what is missing.

    The first four fifths and the last are kept: errors stand at the end as a rule.
    """
    data = result.text.encode(errors="replace")  # no ledger takes half a surrogate pair
    text, missing = data.decode(), 0
    if len(data) > bytes_max:
        head, tail = data[: bytes_max * 4 // 5], data[len(data) - bytes_max // 5 :]
        missing = len(data) - len(head) - len(tail)
        note = f"\n[... {missing} bytes were left out here ...]\n"
        text = head.decode(errors="ignore") + note + tail.decode(errors="ignore")
    return replace(result, text=text, left_out=result.left_out + missing)
