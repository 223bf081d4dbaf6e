"""The one door of tools: looked up, decided, put on record, called, and its result put on record.

    tool.requested    the turn asks for it; its arguments are content, so that they can be erased
    tool.decided      whether it may be, by which rule or whom; after `allow` it may have been done
    tool.returned     how it ended, and what it gave

Each names the message and the one before as its causes, the first the reply that made the call.

A step is made once. If the node dies between `allow` and the result, a call that only reads is made
again; one that writes is not: the agent is told that it is not known whether it was done. A call
that the operator is being asked about has not been made, so the question goes on.

Everything but a dead node ends in a result, an unknown tool and a refusal too: models learn from
results, and a turn goes on. What a tool returns is nobody's word (`runtime.core.prompting`).
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ledger.core import types
from ledger.core.event import Cause, Draft, Event
from runtime.approvals import ASKED_CHARS_MAX, OPERATOR, RULE, Answer, Approvals
from runtime.asked_for import why_not
from runtime.core import calls, limits
from runtime.core.approving import Question
from runtime.core.bounds import TurnBounds
from runtime.core.chat import Reach, ToolOffer
from runtime.core.errors import CallRefused, Diverged, NoSuchTool
from runtime.core.leaks import Leaks
from runtime.core.permission_rules import Effect as Ruled
from runtime.core.permissions import Decision
from runtime.core.privacy import Privacy
from runtime.core.tool import Arguments, Effect, ToolContext, ToolResult, ToolSpec, cut, failed
from runtime.core.wire import arguments_of
from runtime.journal import Journal
from runtime.permitting import Gate, Ruling
from runtime.recall import words_of
from runtime.steps import Asked, Outcome, told_reach
from runtime.toolbox import Choice, Entry, Toolbox

DONE: Final = "done"
ERROR: Final = "error"
DENIED: Final = "denied"
REFUSED: Final = "refused"
INTERRUPTED: Final = "interrupted"
_INTERRUPTED_TEXT: Final = (
    "interrupted: the node stopped while this was under way, and it is not known whether it was "
    "done. Look before you do it again."
)


_DENIED_TEXT: Final = "not allowed: it was decided so before the node stopped"
_ELSEWHERE_TEXT: Final = (
    "not allowed: while the operator was asked, its path came to lead elsewhere; ask again"
)
_OTHERWISE_TEXT: Final = (
    "not allowed: the operator was asked before the node stopped, and since then its path came to "
    "lead elsewhere, or its rules changed; ask again"
)


class NotMade(Exception):
    """The call is not made; the words are its result."""

    def __init__(self, outcome: str, text: str) -> None:
        super().__init__(text)
        self.outcome = outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Tooling:
    """Carries out `tool`. `rules` gives the permission rules as they are now."""

    journal: Journal
    toolbox: Toolbox
    rules: Callable[[], Gate]
    folder: str
    """Where tools work, absolute."""
    approvals: Approvals | None
    """Who asks the operator; None: nobody is asked, and the answer is no."""
    privacy: Privacy
    bounds: Callable[[], TurnBounds] = TurnBounds
    """What holds now, for calls of no turn (`runtime.outside`); a turn's bring their own."""
    leaks: Leaks = field(default_factory=Leaks)
    """Finds secrets in arguments that would leave this machine."""
    writes: bool = True
    """Whether tools that write may be called; not in a replay, unless its operator says so."""
    clock: Callable[[], float] = time.monotonic

    def elsewhere(self, journal: Journal, *, writes: bool, choice: Choice) -> "Tooling":
        """Return the same with the chosen tools beside another log, where nobody is asked."""
        box = self.toolbox.narrowed(choice) if choice.narrows else self.toolbox
        return replace(self, journal=journal, approvals=None, writes=writes, toolbox=box)

    @property
    def questions(self) -> list[Question]:
        """What the operator is being asked."""
        return [] if self.approvals is None else self.approvals.open

    def offers(self, names: Iterable[str], reach: Reach) -> tuple[ToolOffer, ...]:
        """Return the tools of these names (`*`: of any) that may hear words of this reach.

        A tool that a rule denies altogether is not told of.
        """
        wanted = set(names)
        gate = self.rules()
        specs = self.toolbox.specs(None if "*" in wanted else wanted)
        return tuple(
            ToolOffer(name=spec.name, description=spec.description, schema=spec.schema)
            for spec in specs
            if spec.reach <= reach and gate.hidden(spec.permission.tool) is None
        )[: limits.TOOLS_OFFERED_MAX]

    async def call(self, asked: Asked, args: calls.ToolArgs) -> Outcome:
        """Make the call of a step, or say why not. Raises nothing but CancelledError."""
        requested = await self.request(asked, args)
        decided = self.journal.log.find(asked.key("decided"))
        if decided is not None and decided.payload["effect"] != "allow":
            return await self.returned(asked, args, DENIED, failed(_DENIED_TEXT), requested)
        if decided is not None and decided.payload["does"] != Effect.READS.value:
            return await self.returned(
                asked, args, INTERRUPTED, failed(_INTERRUPTED_TEXT), requested
            )
        try:
            await self._check_asked(asked, args, requested)
            self._check_time(asked)
            reach = self._reach(asked)
            entry, arguments, ruling = self.prepare(args, reach)
            if decided is None:
                answer = await self._permit(asked, args, requested, entry.spec, ruling)
                if answer is not None:
                    after = await self._after(asked, args, requested, ruling, answer)
                    entry, arguments, ruling = after
            else:
                _still_allowed(ruling.decision)
        except NotMade as why:
            return await self.returned(asked, args, why.outcome, failed(str(why)), requested)
        context = ToolContext(
            folder=self.folder,
            call=ruling.call,
            conversation=asked.message.conversation,
            author=asked.message.author,
            message=asked.message.position,
            turn=asked.turn,
            step=asked.step,
            reach=reach,
            book=self.journal,
        )
        began = self.clock()
        result = await self.toolbox.call(entry, arguments, context)
        took_ms = max(0, round((self.clock() - began) * 1000))
        outcome = ERROR if result.is_error else DONE
        return await self.returned(asked, args, outcome, result, requested, took_ms=took_ms)

    async def request(self, asked: Asked, args: calls.ToolArgs) -> Event:
        """Put on record that the turn asks for a tool, once. Raises Diverged.

        What an earlier version wrote named nothing but the message; it stays what it is.
        """
        known = self.journal.log.find(asked.key("tool"))
        if known is not None:
            if known.payload["args"] != asked.digest:
                raise Diverged(f"step {asked.step} asked for another call of a tool")
            return known
        [event] = await self.journal.append(_requested(asked, args, self._reply(asked, args)))
        return event

    def _reply(self, asked: Asked, args: calls.ToolArgs) -> tuple[Cause, ...]:
        """Return the reply whose call this is, if the agent named one of this turn."""
        position = -1 if args.id is None else int(args.id.partition("-")[0])
        if not 0 <= position < self.journal.log.size:
            return ()
        event = self.journal.log.read(position)
        is_one = event.type == types.MODEL_REPLIED.name and event.payload.get("turn") == asked.turn
        return (event.cause,) if is_one else ()

    # ---- whether it may be made -------------------------------------------------------------

    async def _check_asked(self, asked: Asked, args: calls.ToolArgs, requested: Event) -> None:
        """Deny, on record, a call that no reply of the turn asked for (`runtime.asked_for`).

        Raises NotMade then. Who makes such calls on trial is taken back for them.
        """
        if (why := why_not(self.journal, asked, args)) is None:
            return
        with suppress(NoSuchTool):
            spec, no = self.toolbox.entry(args.name).spec, Answer(allow=False, by=RULE)
            decision = Decision(effect=Ruled.DENY, call=args.name, why=why)
            await self.journal.append(_decided(asked, requested, spec, decision, no))
        raise NotMade(REFUSED, why)

    def _check_time(self, asked: Asked) -> None:
        opened = self.journal.turns.open.get(asked.turn)
        results = [] if opened is None else [
            step.result for step in opened.steps.values() if step.op == "tool" and step.result
        ]  # fmt: skip
        used = sum(self.journal.log.read(at).payload.get("ms", 0) for at in results) / 1000
        if used >= (most := asked.bounds.tool_seconds):
            raise NotMade(REFUSED, f"tools took {used:g} s in this turn, at most {most:g}")

    def prepare(self, args: calls.ToolArgs, reach: Reach) -> tuple[Entry, Arguments, Ruling]:
        """Look a call up and ask the rules about it. Raises NotMade if there is no such call.

        `reach` is how far the words may travel that its arguments were made from.
        """
        try:
            entry = self.toolbox.entry(args.name)
        except NoSuchTool as error:
            raise NotMade(REFUSED, f"{error}; {error.hint}") from error
        spec, arguments = entry.spec, arguments_of(args.arguments)
        if arguments is None:
            raise NotMade(REFUSED, "the arguments are not JSON of an object; write them again")
        if spec.reach > reach:
            far = f"{spec.name} is {spec.reach.word}, and the words here are {reach.word}"
            raise NotMade(REFUSED, f"{far}: they do not go there")
        if spec.reach > Reach.LOCAL and (met := self.leaks.rule_in_value(arguments)) is not None:
            raise NotMade(
                REFUSED, f"its arguments hold a secret ({met}), which stays on this machine"
            )
        if not self.writes and spec.effect is Effect.WRITES:
            raise NotMade(REFUSED, "this is a replay: nothing is written in it")
        permission = spec.permission
        try:
            specifier = permission.specifier(arguments)
            ruling = self.rules().rule_on(permission.tool, specifier, folder=Path(self.folder))
        except CallRefused as error:
            hint = f"; {error.hint}" if error.hint else ""
            raise NotMade(REFUSED, f"{error}{hint}") from error
        return entry, arguments, ruling

    def _reach(self, asked: Asked) -> Reach:
        """The least of the conversation's, of all that models were told, and of what was found."""
        reach = self.privacy.of(asked.message.conversation)
        told = told_reach(self.journal, self.privacy, asked.turn, results=False)
        return reach if told is None else min(reach, told)

    async def _permit(
        self,
        asked: Asked,
        args: calls.ToolArgs,
        requested: Event,
        spec: ToolSpec,
        ruling: Ruling,
    ) -> Answer | None:
        """Decide and write it down. Raises NotMade if the call may not be made.

        Return the operator's yes if he was asked: that is written down by `_after`.
        """
        decision, rule = ruling.decision, Answer(allow=True, by="rule")
        match decision.effect:
            case Ruled.ALLOW:
                draft = _decided(asked, requested, spec, decision, rule)
                await self.journal.append(draft)
            case Ruled.DENY:
                no = replace(rule, allow=False)
                await self.journal.append(_decided(asked, requested, spec, decision, no))
                raise NotMade(DENIED, f"not allowed: {decision.why}")
            case Ruled.ASK:
                answer = await self._ask(asked, args, ruling, requested)
                if answer.allow:
                    return answer
                await self.journal.append(_decided(asked, requested, spec, decision, answer))
                raise NotMade(DENIED, _not_approved(answer))
        return None

    async def _after(
        self,
        asked: Asked,
        args: calls.ToolArgs,
        requested: Event,
        ruling: Ruling,
        answer: Answer,
    ) -> tuple[Entry, Arguments, Ruling]:
        """Ask the rules once more after the operator's yes, and write down what holds.

        A question may wait for minutes: what was denied meanwhile stays denied, and a path that
        leads elsewhere by now is not what he said yes to. Raises NotMade.
        """
        entry, arguments, now = self.prepare(args, self._reach(asked))
        why = None
        if now.decision.effect is Ruled.DENY:
            why = f"not allowed: {now.decision.why}"
        elif now.call != ruling.call:
            why = _ELSEWHERE_TEXT
        said = answer if why is None else replace(answer, allow=False, by="rule")
        await self.journal.append(_decided(asked, requested, entry.spec, now.decision, said))
        if why is not None:
            raise NotMade(DENIED, why)
        return entry, arguments, now

    async def _ask(
        self, asked: Asked, args: calls.ToolArgs, ruling: Ruling, requested: Event
    ) -> Answer:
        if self.approvals is None:
            return Answer(allow=False, by="nobody")
        why = ruling.why
        if len(why) > ASKED_CHARS_MAX:
            raise NotMade(REFUSED, "its paths lead to more places than a question can show")
        return await self.approvals.ask(
            asked,
            requested,
            call=ruling.decision.call,
            why=why,
            arguments=args.arguments,
        )

    # ---- what came of it --------------------------------------------------------------------

    async def returned(
        self,
        asked: Asked,
        args: calls.ToolArgs,
        outcome: str,
        result: ToolResult,
        came_of: Event,
        *,
        took_ms: int = 0,
    ) -> Outcome:
        """Put a result on record, cut to its bound: of the decision if there is one, else of
        `came_of`.
        """
        result = cut(result, asked.bounds.result_bytes)
        more = {} if args.id is None else {"id": args.id}
        before = self.journal.log.find(asked.key("decided")) or came_of
        [event] = await self.journal.append(
            Draft(
                type=types.TOOL_RETURNED.name,
                stream=asked.message.stream,
                payload=asked.facts(
                    name=args.name,
                    outcome=outcome,
                    bytes=len(result.text.encode()),
                    left_out=result.left_out,
                    ms=took_ms,
                    reach=result.reach.word,
                    conversation=asked.message.conversation,
                    **more,
                ),
                content={"text": result.text},
                causes=(asked.message.cause, before.cause),
                idempotency_key=asked.key("result"),
            ),
        )
        return Outcome(value=tool_value(event))


def _still_allowed(decision: Decision) -> None:
    """Raise NotMade for a call that was allowed before the node stopped, and is denied now."""
    if decision.effect is Ruled.DENY:
        raise NotMade(DENIED, f"not allowed: {decision.why}")


def _requested(asked: Asked, args: calls.ToolArgs, reply: tuple[Cause, ...]) -> Draft:
    more = {} if args.id is None else {"id": args.id}
    return Draft(
        type=types.TOOL_REQUESTED.name,
        stream=asked.message.stream,
        payload=asked.facts(name=args.name, **more),
        content={"arguments": args.arguments},
        causes=(asked.message.cause, *reply),
        idempotency_key=asked.key("tool"),
    )


def _decided(
    asked: Asked, requested: Event, spec: ToolSpec, decision: Decision, answer: Answer
) -> Draft:
    """Return the record of what was decided: `answer` says what, and by whom or a rule."""
    effect = "allow" if answer.allow else "deny"
    causes = (asked.message.cause, requested.cause)
    rule = None if decision.rule is None else decision.rule.to_value()
    parts = [part.to_value() for part in decision.parts]
    return Draft(
        type=types.TOOL_DECIDED.name,
        stream=asked.message.stream,
        payload=asked.facts(
            name=spec.name, does=spec.effect.value, effect=effect, by=answer.by, rule=rule
        ),
        content={"call": decision.call, "why": decision.why, "parts": parts},
        causes=causes if answer.cause is None else (*causes, answer.cause),
        idempotency_key=asked.key("decided"),
    )


def _not_approved(answer: Answer) -> str:
    if answer.by == OPERATOR:
        return "not allowed: the operator was asked, and said no"
    if answer.by == RULE:
        return _OTHERWISE_TEXT
    return "not allowed: it needs the operator's yes, and nobody answered in time"


def tool_value(event: Event) -> dict[str, Any]:
    """What the agent is given of a result; the text is empty if it was erased since."""
    return {
        "text": words_of(event) or "",
        "outcome": event.payload["outcome"],
        "is_error": event.payload["outcome"] != DONE,
        "position": event.position,
    }
