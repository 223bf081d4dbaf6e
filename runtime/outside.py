"""Calls of tools that no turn makes: the operator's, over the API, and those of other programs.

They go through the same rules as a turn's. A rule that asks is answered by who calls: the operator
has said yes by calling; anybody else has nobody to ask, and gets no. Requested, decided and
returned are events in the log's own stream, with the name of who called. A call that is cancelled
is on record as interrupted; one under way when the node dies has no result.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ledger.core import types
from ledger.core.errors import TimmyError
from ledger.core.event import Draft, Event
from runtime.core import calls
from runtime.core.chat import Reach
from runtime.core.errors import CallRefused
from runtime.core.limits import NAME_CHARS_MAX
from runtime.core.permission_rules import Effect as Ruled
from runtime.core.tool import ToolContext, ToolResult, cut, failed
from runtime.tooling import DENIED, DONE, ERROR, INTERRUPTED, NotMade, Tooling

OPERATOR: Final = "operator"
_INTERRUPTED_TEXT: Final = (
    "interrupted: the node stopped while this was under way; it is not known whether it was done"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """Who calls what. `began` is by the tooling's clock."""

    name: str
    by: str
    conversation: str
    began: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Calls tools for others. `conversation` of a call is what memory and lists go by."""

    tooling: Tooling

    async def call(
        self, name: str, arguments: str, *, by: str, conversation: str = "main"
    ) -> tuple[ToolResult, Event]:
        """Call a tool; return what it gave and the event that says so. `arguments` is JSON.

        Raises CallRefused for a name that no event holds: nothing was recorded or done.
        """
        _check_names(tool=name, caller=by, conversation=conversation)
        journal = self.tooling.journal
        args = calls.ToolArgs(name=name, arguments=arguments)
        [requested] = await journal.append(
            _draft(types.TOOL_REQUESTED.name, {"name": name, "by": by}, {"arguments": arguments})
        )
        made = _Made(name=name, by=by, conversation=conversation, began=self.tooling.clock())
        try:
            result = await self._call(args, requested, by, conversation)
            outcome = ERROR if result.is_error else DONE
        except NotMade as why:
            result, outcome = failed(str(why)), why.outcome
        except asyncio.CancelledError:
            with suppress(TimmyError):
                await self._returned(made, requested, INTERRUPTED, failed(_INTERRUPTED_TEXT))
            raise
        return await self._returned(made, requested, outcome, result)

    async def _returned(
        self, made: _Made, requested: Event, outcome: str, result: ToolResult
    ) -> tuple[ToolResult, Event]:
        result = cut(result, self.tooling.bounds().result_bytes)
        facts = {
            "name": made.name,
            "by": made.by,
            "outcome": outcome,
            "bytes": len(result.text.encode()),
            "left_out": result.left_out,
            "ms": max(0, round((self.tooling.clock() - made.began) * 1000)),
            "reach": result.reach.word,
            "conversation": made.conversation,
        }
        [returned] = await self.tooling.journal.append(
            _draft(types.TOOL_RETURNED.name, facts, {"text": result.text}, requested)
        )
        return result, returned

    async def _call(
        self, args: calls.ToolArgs, requested: Event, by: str, conversation: str
    ) -> ToolResult:
        tooling = self.tooling
        reach = Reach.PUBLIC if by == OPERATOR else tooling.privacy.of(conversation)
        entry, arguments, ruling = tooling.prepare(args, reach)
        decision = ruling.decision
        yes = decision.effect is Ruled.ALLOW or (decision.effect is Ruled.ASK and by == OPERATOR)
        facts = {
            "name": args.name,
            "does": entry.spec.effect.value,
            "effect": "allow" if yes else "deny",
            "by": by if decision.effect is Ruled.ASK else "rule",
            "rule": None if decision.rule is None else decision.rule.to_value(),
        }
        words = {"call": decision.call, "why": decision.why}
        await tooling.journal.append(_draft(types.TOOL_DECIDED.name, facts, words, requested))
        if not yes:
            raise NotMade(DENIED, f"not allowed: {decision.why}")
        context = ToolContext(
            folder=tooling.folder,
            call=ruling.call,
            conversation=conversation,
            author=by,
            message=tooling.journal.log.size,
            reach=reach,
            book=tooling.journal,
        )
        return await tooling.toolbox.call(entry, arguments, context)


def _check_names(**names: str) -> None:
    """Before anything is done: a name too long for an event would leave a call without its end."""
    for what, value in names.items():
        if not 1 <= len(value) <= NAME_CHARS_MAX or not value.isprintable():
            raise CallRefused(
                f"{what} of {len(value)} characters, 1 to {NAME_CHARS_MAX} printable",
                hint="a short name in one line",
            )


def _draft(
    kind: str, facts: dict[str, Any], words: dict[str, Any], cause: Event | None = None
) -> Draft:
    return Draft(
        type=kind,
        stream=types.NODE_STREAM,
        payload=facts,
        content=words,
        causes=() if cause is None else (cause.cause,),
    )
