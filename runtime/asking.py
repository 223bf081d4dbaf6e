"""The step that asks a model: words put in for references, tools offered, request and reply kept.

The ledger gets references and digests of a prompt, never its words. Its reach is the least of all
that is in it and that the turn was told before; tools that carry words further are not offered.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ledger.core import types
from ledger.core.errors import NotFound
from ledger.core.event import Cause, Draft, Event
from runtime.budget import Budget
from runtime.core import calls, limits
from runtime.core.chat import (
    DraftSink,
    ModelRequest,
    Reach,
    Reply,
    ToolCall,
    ToolOffer,
)
from runtime.core.errors import ModelFailed, StepRefused
from runtime.core.privacy import Privacy, reach_of
from runtime.core.prompting import Part, arrange, call_id, marked
from runtime.core.turns import Message, Step
from runtime.drafts import Drafts
from runtime.journal import Journal
from runtime.recall import Recall, words_of
from runtime.steps import Asked, Outcome, told_reach


class Completes(Protocol):
    """Gives replies: a `runtime.chain.Chain`, or what stands for one in a replay."""

    async def complete(self, request: ModelRequest, draft: DraftSink | None = None) -> Reply:
        """Return a reply. Raises ModelFailed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    request: ModelRequest
    causes: tuple[Cause, ...]
    digest: bytes
    offered: bytes | None


@dataclass(slots=True)
class Last:
    """Which link replied last since the start, and with which event; None before the first."""

    link: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Carries out `model`. `offers` gives the tools of these names that words may be told to."""

    journal: Journal
    chain: Completes
    recall: Recall
    privacy: Privacy
    drafts: Drafts
    budget: Budget | None
    offers: Callable[[Iterable[str], Reach], tuple[ToolOffer, ...]]
    last: Last = field(default_factory=Last)

    async def ask(self, asked: Asked, args: calls.ModelArgs, recorded: Step | None) -> Outcome:
        """Ask the chain, unless the turn has used up what it may. Raises StepRefused."""
        self._check(asked)
        prompt = self._prompt(asked, args)
        if recorded is None or recorded.asked is None:
            [requested] = await self.journal.append(_requested(asked, args, prompt))
        else:
            requested = self.journal.log.read(recorded.asked)
        try:
            sink = self.drafts.sink(asked.message.position)
            if sink is not None:
                sink.reset()  # what an earlier reply of the turn said beside its calls
            reply = await self.chain.complete(prompt.request, sink)
        except ModelFailed as error:
            raise StepRefused(f"no model replied: {error}") from error
        quoted = (self.journal.log.read(at).payload for at in reply.quoted)
        reach = min([prompt.request.reach, *map(self.privacy.of_event, quoted)])
        [event] = await self.journal.append(_replied(asked, reply, requested.cause, reach))
        self.last.link, self.last.position = reply.link, event.position
        return Outcome(value=model_value(event))

    def _check(self, asked: Asked) -> None:
        if self.budget is not None:
            self.budget.check_turn(asked.turn)
        opened = self.journal.turns.open.get(asked.turn)
        steps = () if opened is None else opened.steps.values()
        replies = sum(1 for step in steps if step.op == "model" and step.result is not None)
        if replies >= (most := asked.bounds.replies):
            raise StepRefused(f"this turn has had {replies} replies, at most {most}")

    def _prompt(self, asked: Asked, args: calls.ModelArgs) -> _Prompt:
        """Insert the words of references, and the tools that may hear of them.

        What the turn was told before counts as well: a part may be text of the agent's own.
        """
        message = asked.message
        inserted: list[Part] = []
        parts: list[list[Any]] = []
        causes = {message.position: message.cause}
        told = told_reach(self.journal, self.privacy, asked.turn)
        reach = self.privacy.of(message.conversation)
        reach = reach if told is None else min(reach, told)
        for item in args.items:
            if item.ref is None:
                text = item.text or ""
                parts.append([item.role, calls.template_digest(text)])
                inserted.append(Part(role=item.role, text=text))
            else:
                part, cause, bound = self._reference(item.role, item.ref)
                reach = min(reach, bound)
                causes[cause.position] = cause
                parts.append([item.role, cause.id])
                inserted.append(part)
        offered = self.offers(args.tools, reach) if args.tools else ()
        arranged = arrange(inserted, offered=bool(offered))
        size = sum(len(text.encode()) for _, text in arranged.messages)
        if size > limits.PROMPT_BYTES_MAX:
            raise StepRefused(f"prompt of {size} bytes, at most {limits.PROMPT_BYTES_MAX}")
        digest = calls.offer_digest(offered) if offered else None
        return _Prompt(
            request=ModelRequest(
                messages=arranged.messages,
                called=arranged.called,
                returned=arranged.returned,
                offered=offered,
                max_tokens=args.max_tokens,
                before=message.position,
                reach=reach,
                task=args.task,
            ),
            causes=_newest(message, causes),
            digest=calls.request_digest(parts, args.max_tokens, digest),
            offered=digest,
        )

    def _reference(self, role: str, position: int) -> tuple[Part, Cause, Reach]:
        """The words of an event, the event as a cause, and how far the words may travel."""
        try:
            text, event = self.recall.words(position), self.journal.log.read(position)
        except NotFound as error:
            raise StepRefused(f"there is no event {position}") from error
        if text is None:
            raise StepRefused(f"event {position} has no words to show")
        reach = self.privacy.of_event(event.payload)
        if event.type != types.TOOL_RETURNED.name:
            made = calls_of(event) if role == "assistant" else ()
            known = "user" if role == "tool" else role
            return Part(role=known, text=text, calls=made), event.cause, reach
        reach = min(reach, reach_of(event.payload))
        text = marked(text, name=event.payload["name"], event_id=event.cause.id)
        answers = event.payload.get("id")
        return Part(role=role, text=text, answers=answers), event.cause, reach


def _newest(message: Message, causes: dict[int, Cause]) -> tuple[Cause, ...]:
    """The message, and the newest of the rest that an event has room for."""
    others = sorted(causes.keys() - {message.position})[1 - limits.MODEL_CAUSES_MAX :]
    return (message.cause, *(causes[position] for position in others))


def _requested(asked: Asked, args: calls.ModelArgs, prompt: _Prompt) -> Draft:
    items = [
        {"role": item.role, "template": calls.template_digest(item.text or "")}
        if item.ref is None
        else {"role": item.role, "ref": item.ref}
        for item in args.items
    ]
    more: dict[str, Any] = {}
    if prompt.offered is not None:
        names = [offer.name for offer in prompt.request.offered]
        more = {"tools": names, "offered": prompt.offered}
    return Draft(
        type=types.MODEL_REQUESTED.name,
        stream=asked.message.stream,
        payload=asked.facts(
            items=items,
            max_tokens=args.max_tokens,
            request=prompt.digest,
            reach=prompt.request.reach.word,
            **more,
        ),
        causes=prompt.causes,
        idempotency_key=asked.key("asked"),
    )


def _replied(asked: Asked, reply: Reply, cause: Cause, reach: Reach) -> Draft:
    content: dict[str, Any] = {"text": reply.text}
    more: dict[str, Any] = {}
    if reply.calls:
        content["calls"] = [[call.name, call.arguments] for call in reply.calls]
        more["calls"] = len(reply.calls)
    if reply.masked:
        more["masked"] = list(reply.masked)
    return Draft(
        type=types.MODEL_REPLIED.name,
        stream=asked.message.stream,
        payload=asked.facts(
            link=reply.link,
            model=reply.model,
            finish=reply.finish,
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            estimated=reply.estimated,
            microusd=reply.microusd,
            tried=[one.to_value() for one in reply.tried],
            reach=reach.word,
            **more,
        ),
        content=content,
        causes=(cause,),
        idempotency_key=asked.key("result"),
    )


def calls_of(event: Event) -> tuple[ToolCall, ...]:
    """Return the calls of tools that a recorded reply asked for; none if its words were erased."""
    made = (event.content or {}).get("calls", [])
    return tuple(
        ToolCall(id=call_id(event.position, number), name=name, arguments=arguments)
        for number, (name, arguments) in enumerate(made)
    )


def model_value(event: Event) -> dict[str, Any]:
    """What the agent is given of a reply; the text is empty if it was erased since."""
    return {
        "text": words_of(event) or "",
        "model": event.payload["model"],
        "finish": event.payload["finish"],
        "position": event.position,
        "calls": [
            {"id": call.id, "name": call.name, "arguments": call.arguments}
            for call in calls_of(event)
        ],
    }
