"""Makes ledgers whose turns can be told once more."""

from ledger.core import types
from ledger.core.event import Draft, Event, seal

STREAM, OTHER = b"\x05" * 16, b"\x06" * 16


class Ledger:
    """Events as a node writes them, as far as a judge reads them."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, kind, payload, text=None, *, stream=STREAM, **content) -> int:
        position = len(self.events)
        words = content if text is None else {"text": text, **content}
        draft = Draft(type=kind, stream=stream, payload=payload, content=words or None)
        sealed = seal(
            draft, position=position, stream_sequence=0, ts_ms=1_790_000_000_000 + position,
            salts=bytes(64),
        )  # fmt: skip
        self.events.append(Event.open(sealed.record))
        return position

    def turn(self, text, answer, *, calls=(), stream=STREAM, outcome="answered", sent=None) -> int:
        """A message, what was done for it, its answer; return the message's position."""
        who = {"conversation": stream.hex(), "author": "npub", "gateway": "cli"}
        at = self.add(types.MESSAGE_RECEIVED.name, who | {"screen": "pass"}, text, stream=stream)
        turn = bytes([at]) * 16
        facts = {"turn": turn, "message": at}
        self.add(types.TURN_STARTED.name, facts | {"attempt": 1}, stream=stream)
        step = {"turn": turn, "op": "model"}
        if calls:
            made = [[name, arguments] for name, arguments, _ in calls]
            reply = self.add(
                types.MODEL_REPLIED.name, step | {"step": 1, "calls": len(made)}, "",
                stream=stream, calls=made,
            )  # fmt: skip
            for number, (name, _, result) in enumerate(calls):
                told = {"turn": turn, "step": 2 + number, "op": "tool", "name": name}
                told |= {"outcome": "done", "id": f"{reply}-{number}"}
                self.add(types.TOOL_RETURNED.name, told, result, stream=stream)
        self.add(types.MODEL_REPLIED.name, step | {"step": 9}, answer, stream=stream)
        self.add(
            types.MESSAGE_SENT.name,
            who | facts,
            answer if sent is None else sent,
            stream=stream,
        )
        self.add(
            types.TURN_FINISHED.name, facts | {"outcome": outcome, "reason": None}, stream=stream
        )
        return at

    def redact(self, *targets) -> None:
        """Erase words, as a redaction leaves a ledger."""
        for at in targets:
            record = self.events[at].record._replace(content=None, content_salt=None)
            self.events[at] = Event.open(record)


def told() -> Ledger:
    """Two conversations, tools, a skin, a note, and turns that cannot be told again."""
    ledger = Ledger()
    ledger.turn("my cat is called Ada", "what a name")
    ledger.turn("plant a cherry tree", "I shall", stream=OTHER)
    calls = [("todo_add", '{"text": "tree"}', "added"), ("todo_list", "{}", "1. tree")]
    ledger.turn("and note it down", "noted", calls=calls)
    ledger.add(types.MEMORY_NOTED.name, {"kind": "fact"}, "likes cherries")
    ledger.turn("which tree was it?", "a cherry tree", stream=OTHER)
    ledger.turn("is it late?", "no", sent="replaced by the screen")
    ledger.turn("are you there?", "no", outcome="failed")
    return ledger
