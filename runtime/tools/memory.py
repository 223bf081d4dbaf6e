"""remember and recall: notes of the agent, and words of the ledger that bear on a question.

A note is screened as words to the agent are: one that meets the crisis screen is kept and shown to
no model. What is recalled keeps the reach that it had: words of a conversation that stays at home
make the prompt they come into stay there.
"""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ledger.core import types
from ledger.core.errors import TimmyError
from ledger.core.event import Draft
from ledger.core.types import MEMORY_STREAM
from runtime.core.agenda import SCREEN_CRISIS, SCREEN_PASS
from runtime.core.chat import Reach
from runtime.core.errors import ToolFailed
from runtime.core.limits import RECALL_HITS_MAX
from runtime.core.privacy import Privacy
from runtime.core.tool import Arguments, Effect, Permission, ToolContext, ToolResult, ToolSpec
from runtime.recall import Recall
from runtime.screening import screen_message
from runtime.tools.arguments import parse, schema_of
from runtime.tools.reaching import reach_of


class Remember(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    text: Annotated[
        str, Meta(description="what, in a sentence or two", min_length=1, max_length=4000)
    ]


class Query(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    query: Annotated[str, Meta(description="what about", min_length=1, max_length=500)]
    limit: Annotated[int, Meta(ge=1, le=RECALL_HITS_MAX)] = 8


_PERMISSION: Final = Permission(tool="Memory")
REMEMBER: Final = ToolSpec(
    name="remember",
    description="Note something for later conversations. Not for secrets: notes are kept for ever.",
    schema=schema_of(Remember),
    effect=Effect.WRITES,
    permission=_PERMISSION,
    resource=lambda _: "memory",
    toolset="memory",
)
RECALL: Final = ToolSpec(
    name="recall",
    description="Find what was said or noted before, in any conversation, by its words.",
    schema=schema_of(Query),
    effect=Effect.READS,
    permission=_PERMISSION,
    toolset="memory",
)


@dataclass(frozen=True, slots=True)
class RememberTool:
    """Writes a note, of the project that the tools work on if they do on one."""

    project: bytes | None = None

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        text = parse(Remember, arguments).text
        if context.book is None:
            raise ToolFailed("there is no ledger to write to")
        rule = await screen_message(text)
        [event] = await context.book.append(
            Draft(
                type=types.MEMORY_NOTED.name,
                stream=MEMORY_STREAM,
                payload={
                    "kind": "note",
                    "conversation": context.conversation,
                    "screen": SCREEN_PASS if rule is None else SCREEN_CRISIS,
                    "reach": context.reach.word,
                    **({} if self.project is None else {"project": self.project}),
                },
                content={"text": text},
            )
        )
        return ToolResult(text=f"noted as event {event.position}")


@dataclass(frozen=True, slots=True)
class RecallTool:
    """Finds words. `privacy` says how far those of which conversation may travel."""

    recall: Recall
    privacy: Privacy

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        args = parse(Query, arguments)
        if context.book is None:
            raise ToolFailed("there is no ledger to read")
        try:
            hits = await self.recall.find(args.query, args.limit, before=context.message)
        except TimmyError as error:
            raise ToolFailed("the search index does not answer") from error
        reach = Reach.PUBLIC
        for hit in hits:
            event = context.book.log.read(hit.position)
            reach = min(reach, reach_of(event, context.book.log, self.privacy))
        text = "\n\n".join(f"[event {hit.position}, {hit.type}]\n{hit.text}" for hit in hits)
        return ToolResult(text=text or "[nothing was found]", reach=reach)
