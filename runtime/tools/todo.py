"""todo_set and todo_get: the conversation's list of what is to do, kept as events.

A list is set whole: that is how models keep one without losing the thread, and the ledger shows
how it went.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ledger.core import types
from ledger.core.event import Draft
from ledger.core.types import NODE_STREAM
from runtime.core.errors import ToolFailed
from runtime.core.todos import todo_key
from runtime.core.tool import Arguments, Effect, Permission, ToolContext, ToolResult, ToolSpec
from runtime.tools.arguments import parse, schema_of

_MARKS: Final = {"open": " ", "doing": ">", "done": "x"}


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """One thing to do."""

    text: Annotated[str, Meta(min_length=1, max_length=500)]
    state: Literal["open", "doing", "done"] = "open"


class SetTodo(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    items: Annotated[list[Item], Meta(description="the whole list, in order", max_length=100)]


class GetTodo(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""


_PERMISSION: Final = Permission(tool="Todo")
SET: Final = ToolSpec(
    name="todo_set",
    description="Set the list of what is to do in this conversation; it takes the old one's place.",
    schema=schema_of(SetTodo),
    effect=Effect.WRITES,
    permission=_PERMISSION,
    resource=lambda _: "todo",
    toolset="todo",
)
GET: Final = ToolSpec(
    name="todo_get",
    description="Return the list of what is to do in this conversation.",
    schema=schema_of(GetTodo),
    effect=Effect.READS,
    permission=_PERMISSION,
    toolset="todo",
)


class SetTodoTool:
    """Writes the list."""

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        items = parse(SetTodo, arguments).items
        if context.book is None:
            raise ToolFailed("there is no ledger to write to")
        await context.book.append(
            Draft(
                type=types.TODO_SET.name,
                stream=NODE_STREAM,
                payload={
                    "conversation": context.conversation,
                    "count": len(items),
                    "done": sum(item.state == "done" for item in items),
                },
                content={"items": [[item.text, item.state] for item in items]},
            )
        )
        return ToolResult(text=_list([(item.text, item.state) for item in items]))


class GetTodoTool:
    """Reads it."""

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        parse(GetTodo, arguments)
        if context.book is None:
            raise ToolFailed("there is no ledger to read")
        position = context.book.state.entries.get(todo_key(context.conversation))
        content = None if position is None else context.book.log.read(position).content
        return ToolResult(
            text=_list([(text, state) for text, state in (content or {}).get("items", [])])
        )


def _list(items: list[tuple[str, str]]) -> str:
    return "\n".join(f"[{_MARKS.get(state, ' ')}] {text}" for text, state in items) or "[empty]"
