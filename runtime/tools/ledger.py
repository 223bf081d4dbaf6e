"""ledger_event, ledger_search, ledger_why, ledger_proof: the agent looks things up in its own life.

Words that the crisis screen withheld are not shown, nor what was erased; words of a conversation
keep the reach that they had (`runtime.tools.reaching`), and nothing newer than the message that is
being answered is told. Not covered: writing. Nothing here changes anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta

from ledger.core.errors import NotFound, TimmyError
from ledger.core.event import CONTENT_KEY, Event
from runtime.core.chat import Reach
from runtime.core.errors import ToolFailed
from runtime.core.limits import RECALL_HITS_MAX
from runtime.core.privacy import Privacy
from runtime.core.tool import Arguments, Effect, Permission, ToolContext, ToolResult, ToolSpec
from runtime.recall import Recall
from runtime.tools.arguments import parse, schema_of
from runtime.tools.reaching import reach_of

_CAUSES_MAX: Final = 40
"""Events of a chain of causes: a screen."""
_TEXT_CHARS: Final = 8_000


class At(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    position: Annotated[int, Meta(description="number of the event", ge=0, le=2**48)]


class Words(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    query: Annotated[str, Meta(description="words to find", min_length=1, max_length=500)]
    limit: Annotated[int, Meta(ge=1, le=RECALL_HITS_MAX)] = 10


Head: TypeAlias = Callable[[], tuple[int, bytes]]
"""Size and root of the newest released head."""


def _spec(name: str, description: str, kind: type[msgspec.Struct]) -> ToolSpec:
    return ToolSpec(
        name=name,
        description=description,
        schema=schema_of(kind),
        effect=Effect.READS,
        permission=Permission(tool="Ledger"),
        toolset="ledger",
    )


EVENT: Final = _spec("ledger_event", "Show one event of your ledger.", At)
SEARCH: Final = _spec("ledger_search", "Find events of your ledger by words, best first.", Words)
WHY: Final = _spec("ledger_why", "Show what an event came from: its causes, and theirs.", At)
PROOF: Final = _spec(
    "ledger_proof",
    "Return what identifies an event to others: its id, its place, the head that covers it.",
    At,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What the four need. `head` gives size and root of the newest released head."""

    recall: Recall
    privacy: Privacy
    head: Head

    def event(self, position: int, context: ToolContext) -> Event:
        """Return an event that is no newer than the message. Raises ToolFailed."""
        if context.book is None:
            raise ToolFailed("there is no ledger to read")
        if position > context.message:
            newest = context.message
            raise ToolFailed(f"event {position} is newer than the message, event {newest}")
        try:
            return context.book.log.read(position)
        except NotFound as error:
            raise ToolFailed(str(error)) from error

    def reach(self, event: Event, context: ToolContext) -> Reach:
        """How far its words may travel. Raises ToolFailed."""
        if context.book is None:
            raise ToolFailed("there is no ledger to read")
        return reach_of(event, context.book.log, self.privacy)

    def line(self, event: Event) -> str:
        """Return an event in a line, without its words."""
        when = datetime.fromtimestamp(event.ts_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        return f"{event.position} {when} {event.type}"


@dataclass(frozen=True, slots=True)
class EventTool:
    """One event, its facts and its words."""

    ledger: Ledger

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        event = self.ledger.event(parse(At, arguments).position, context)
        facts = {k: v for k, v in event.payload.items() if k != CONTENT_KEY}
        lines = [self.ledger.line(event), f"facts: {_shown(facts)}"]
        text = self.ledger.recall.words(event.position)
        if text is not None:
            lines.append(f"words:\n{text[:_TEXT_CHARS]}")
        elif event.has_content:
            lines.append("[its words are not shown: erased, withheld, or not text]")
        return ToolResult(text="\n".join(lines), reach=self.ledger.reach(event, context))


@dataclass(frozen=True, slots=True)
class SearchTool:
    """Events by their words."""

    ledger: Ledger

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        args = parse(Words, arguments)
        try:
            hits = await self.ledger.recall.find(args.query, args.limit, before=context.message)
        except TimmyError as error:
            raise ToolFailed("the search index does not answer") from error
        events = [self.ledger.event(hit.position, context) for hit in hits]
        rows = [
            f"{self.ledger.line(event)}: {hit.text[:300]}"
            for event, hit in zip(events, hits, strict=True)
        ]
        reach = min((self.ledger.reach(event, context) for event in events), default=Reach.PUBLIC)
        return ToolResult(text="\n".join(rows) or "[nothing was found]", reach=reach)


@dataclass(frozen=True, slots=True)
class WhyTool:
    """Causes, breadth first."""

    ledger: Ledger

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        waiting, seen, rows = [parse(At, arguments).position], set[int](), list[str]()
        while waiting and len(rows) < _CAUSES_MAX:
            event = self.ledger.event(waiting.pop(0), context)
            causes = [cause.position for cause in event.envelope.causes]
            rows.append(f"{self.ledger.line(event)} <- {', '.join(map(str, causes)) or 'nothing'}")
            waiting += [at for at in causes if at not in seen]
            seen.update(causes)
        note = ["[there is more]"] if waiting else []
        return ToolResult(text="\n".join([*rows, *note]))


@dataclass(frozen=True, slots=True)
class ProofTool:
    """What identifies an event."""

    ledger: Ledger

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        event = self.ledger.event(parse(At, arguments).position, context)
        size, root = self.ledger.head()
        covered = "covered by" if event.position < size else "not yet covered by"
        return ToolResult(
            text=f"event {event.position}, id {event.cause.id.hex()}\n"
            f"{covered} the head of {size} events, root {root.hex()}\n"
            f"the operator writes the whole proof with: timmy prove {event.position}"
        )


def _shown(value: Any) -> str:
    """Return facts as JSON; bytes in hexadecimal."""
    return msgspec.json.encode(_plain(value)).decode()


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {str(key): _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
    return value
