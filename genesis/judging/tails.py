"""Consensus-critical: events that never happened, behind those of a ledger, to fold both with.

Who changes a reducer has his own ledger and can put the state that it has into the change. What
stands behind it here is drawn from the judge's seed, so it is nobody's to know before: turns, and
the ledger's own events once more, in another order, as other events. No reducer raises for what
`Event.open` takes, in whatever order. Nobody's words are in it.
"""

from collections.abc import Sequence
from typing import Any, Final

from genesis.core.draws import Draws
from ledger.core import types
from ledger.core.event import CONTENT_KEY, Draft, Event, seal

TURNS: Final = 8
AGAIN: Final = 64
"""Events of the ledger that happen once more: a part of the state that no turn touches, too."""
_BEGAN_MS: Final = 1_790_000_000_000
_STEP_MS: Final = 1_000


def drawn_tail(key: bytes, events: Sequence[Event]) -> list[Event]:
    """Return events that follow `events` without a gap, drawn under the 32 bytes of `key`."""
    tail = _Tail(Draws(key, "tail"), events)
    for number in range(TURNS):
        tail.turn()
        for _ in range(AGAIN // TURNS if events else 0):
            tail.again(events)
        tail.add(f"drawn.{tail.draws.word()}", tail.draws.octets(16), {"number": number})
    return tail.events


class _Tail:
    """Events as they are drawn."""

    def __init__(self, draws: Draws, events: Sequence[Event]) -> None:
        newest = events[-1] if events else None
        self.draws = draws
        self.events: list[Event] = []
        self._position = 0 if newest is None else newest.position + 1
        self._ts_ms = _BEGAN_MS if newest is None else newest.ts_ms
        self._next: dict[bytes, int] = {}
        for one in events:
            self._next[one.stream] = one.envelope.stream_sequence + 1

    def add(self, kind: str, stream: bytes, payload: dict[str, Any], schema: int = 1) -> int:
        """Append an event without words; return its position."""
        position, sequence = self._position, self._next.get(stream, 0)
        self._position, self._next[stream] = position + 1, sequence + 1
        self._ts_ms += _STEP_MS
        draft = Draft(type=kind, stream=stream, payload=payload, schema=schema)
        salts = self.draws.octets(32) + self.draws.octets(32)
        sealed = seal(
            draft, position=position, stream_sequence=sequence, ts_ms=self._ts_ms, salts=salts
        )
        self.events.append(Event.open(sealed.record))
        return position

    def again(self, events: Sequence[Event]) -> None:
        """Append what happened once, as it is recorded, and without its words."""
        one = events[self.draws.below(len(events))]
        facts = Event.open(one.record._replace(content=None, content_salt=None)).payload
        payload = {name: value for name, value in facts.items() if name != CONTENT_KEY}
        self.add(one.type, one.stream, payload, one.envelope.schema)

    def turn(self) -> None:
        """Append a message, a tool that was called for it, its answer, a list and a note."""
        stream, turn, word = self.draws.octets(16), self.draws.octets(16), self.draws.word
        talk = {"conversation": stream.hex(), "author": word(), "gateway": word()}
        at = self.add(types.MESSAGE_RECEIVED.name, stream, talk | {"screen": "pass"})
        facts = {"turn": turn, "message": at}
        self.add(types.TURN_STARTED.name, stream, facts | {"attempt": 1})
        step = {"turn": turn, "op": "model"}
        reply = self.add(types.MODEL_REPLIED.name, stream, step | {"step": 1, "calls": 1})
        done = {"turn": turn, "op": "tool", "step": 2, "name": word(), "outcome": "done"}
        self.add(types.TOOL_RETURNED.name, stream, done | {"id": f"{reply}-0"})
        self.add(types.TODO_SET.name, types.NODE_STREAM, {
            "conversation": talk["conversation"], "count": 1 + self.draws.below(9), "done": 0,
        })  # fmt: skip
        self.add(types.MEMORY_NOTED.name, types.MEMORY_STREAM, {"kind": "fact"})
        self.add(types.MODEL_REPLIED.name, stream, step | {"step": 3})
        self.add(types.MESSAGE_SENT.name, stream, talk | facts)
        self.add(types.TURN_FINISHED.name, stream, facts | {"outcome": "answered", "reason": None})
