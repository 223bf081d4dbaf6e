"""Turns of the ledger in ShareGPT's form, for whoever trains a model on an agent's own life.

    {"conversations": [{"from": "human", "value": ...}, {"from": "gpt", "value": ...},
                       {"from": "tool", "value": ...}, ...]}

A call of a tool stands in what `gpt` says, between <tool_call> and </tool_call>, as JSON with name
and arguments; its result is from `tool`, between <tool_response> and </tool_response>. That is the
form that trainers of tool-using models read. Each turn names its events, so a sample can be proven.

A turn is taken if it was answered by the agent and all of its words are there. One that the crisis
screen answered, that failed or was stopped, or of which anything was erased, is left out whole and
counted: half an exchange teaches the wrong half.

Not covered: system prompts, whose templates the ledger holds as digests; thoughts of a model, which
nobody records; judging what is worth learning.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ledger.core import types
from ledger.core.event import Event
from runtime.core.agenda import SCREEN_PASS
from runtime.core.wire import arguments_of

TURNS_MAX: Final = 50
"""Of one sample: a long conversation is several, each beginning where the one before ended."""
ANSWERED: Final = "answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One exchange, whole. `said` are (from, value) pairs; `positions` are its events."""

    conversation: str
    said: tuple[tuple[str, str], ...] = field(repr=False)
    positions: tuple[int, ...]
    model: str
    ts_ms: int


@dataclass(slots=True)
class _Open:
    """A turn under way. `whole` is false once words are missing."""

    conversation: str
    text: str | None
    ts_ms: int
    positions: list[int]
    said: list[tuple[str, str]] = field(default_factory=list)
    model: str = ""
    whole: bool = True


@dataclass(slots=True)
class Turns:
    """Feed it every event in order. `left_out` counts the turns that were not taken."""

    left_out: int = 0
    _open: dict[int, _Open] = field(default_factory=dict)
    _turns: dict[bytes, int] = field(default_factory=dict)

    def take(self, event: Event) -> Turn | None:
        """Take in an event, and return the turn that it ends."""
        match event.type:
            case types.MESSAGE_RECEIVED.name if event.payload.get("screen") == SCREEN_PASS:
                self._received(event)
            case types.TURN_STARTED.name:
                self._started(event)
            case types.MODEL_REPLIED.name:
                self._replied(event)
            case types.TOOL_RETURNED.name:
                self._returned(event)
            case types.MESSAGE_SENT.name:
                self._sent(event)
            case types.TURN_FINISHED.name:
                return self._finished(event)
            case types.POLICY_DECIDED.name:
                self._open.pop(event.payload.get("message", -1), None)
        return None

    def _started(self, event: Event) -> None:
        match event.payload:
            case {"turn": bytes(turn), "message": int(message)}:
                self._turns[turn] = message

    def _received(self, event: Event) -> None:
        self._open[event.position] = _Open(
            conversation=str(event.payload.get("conversation")),
            text=_text(event),
            ts_ms=event.ts_ms,
            positions=[event.position],
            whole=_text(event) is not None,
        )

    def _of(self, event: Event) -> _Open | None:
        opened = self._open.get(self._turns.get(event.payload.get("turn", b""), -1))
        if opened is not None:
            opened.positions.append(event.position)
            opened.whole &= event.content is not None
        return opened

    def _replied(self, event: Event) -> None:
        opened = self._of(event)
        if opened is None or event.content is None:
            return
        opened.model = str(event.payload.get("model"))
        made = event.content.get("calls") or []
        if made:  # the last reply is the answer, and that comes as it was sent
            calls = [_tag("tool_call", _call(name, arguments)) for name, arguments in made]
            words = str(event.content.get("text") or "").strip()
            opened.said.append(("gpt", "\n".join([words, *calls] if words else calls)))

    def _returned(self, event: Event) -> None:
        opened = self._of(event)
        text = _text(event)
        if opened is not None and text is not None:
            result = {"name": event.payload.get("name"), "content": text}
            opened.said.append(("tool", _tag("tool_response", result)))

    def _sent(self, event: Event) -> None:
        opened = self._open.get(event.payload.get("message", -1))
        text = _text(event)
        if opened is None:
            return
        opened.positions.append(event.position)
        opened.whole &= text is not None
        opened.said.append(("gpt", text or ""))

    def _finished(self, event: Event) -> Turn | None:
        opened = self._open.pop(event.payload.get("message", -1), None)
        self._turns.pop(event.payload.get("turn", b""), None)
        if opened is None:
            return None
        if event.payload.get("outcome") != ANSWERED or not opened.whole or opened.text is None:
            self.left_out += 1
            return None
        return Turn(
            conversation=opened.conversation,
            said=(("human", opened.text), *opened.said),
            positions=tuple(opened.positions),
            model=opened.model,
            ts_ms=opened.ts_ms,
        )


def samples(turns: Iterable[Turn]) -> Iterator[tuple[Turn, ...]]:
    """Yield the turns of each conversation together, at most TURNS_MAX in one sample."""
    rooms: dict[str, list[Turn]] = {}
    for turn in turns:
        room = rooms.setdefault(turn.conversation, [])
        room.append(turn)
        if len(room) == TURNS_MAX:
            yield tuple(rooms.pop(turn.conversation))
    yield from (tuple(room) for room in rooms.values())


def to_value(sample: tuple[Turn, ...], *, ledger: str) -> dict[str, Any]:
    """Return a sample as the JSON object of its line. `ledger`: the ledger's id in hex."""
    first = sample[0]
    return {
        "id": f"{ledger[:16]}/{first.positions[0]}",
        "conversations": [
            {"from": who, "value": value} for turn in sample for who, value in turn.said
        ],
        "ledger": ledger,
        "conversation": first.conversation,
        "events": [list(turn.positions) for turn in sample],
        "models": sorted({turn.model for turn in sample if turn.model}),
        "ts_ms": first.ts_ms,
    }


def _text(event: Event) -> str | None:
    text = None if event.content is None else event.content.get("text")
    return text if isinstance(text, str) else None


def _tag(name: str, value: object) -> str:
    return f"<{name}>\n{json.dumps(value, ensure_ascii=False)}\n</{name}>"


def _call(name: str, arguments: str) -> dict[str, Any]:
    given = arguments_of(arguments)
    if given is None:  # that it was refused is part of the lesson; what no file can hold is not
        return {"name": name, "arguments": arguments.encode(errors="replace").decode()}
    return {"name": name, "arguments": given}
