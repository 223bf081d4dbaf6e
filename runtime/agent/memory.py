"""What the agent knows: views rebuilt from the events it is told, kept in this process only.

Nothing here is a truth of its own. A restarted process is told the recent past again and comes to
the same views, which is why a turn that is given again asks for the same steps. Words may be null:
erased, or withheld. Such an event is remembered without them and never put into a prompt.
"""

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

MESSAGES_PER_CONVERSATION = 200
NOTES = 500
TEXT_CHARS = 32_000
"""Kept of one message: enough to search by; a prompt refers to the event, not to this copy."""


@dataclass(frozen=True)
class Said:
    """One message. `answers` is the position of the message an answer of ours belongs to."""

    position: int
    role: str
    text: str
    answers: int


@dataclass(frozen=True)
class Note:
    """Something to remember."""

    position: int
    text: str


class Memory:
    """Feed it every event, in order."""

    def __init__(self) -> None:
        self._talks: dict[str, deque[Said]] = defaultdict(
            lambda: deque(maxlen=MESSAGES_PER_CONVERSATION)
        )
        self._where: dict[int, str] = {}
        self._notes: deque[Note] = deque(maxlen=NOTES)

    def apply(self, event: dict[str, Any]) -> None:
        """Take in one event frame; types this version does not know are passed over."""
        position, payload = event["position"], event["payload"]
        text = ((event["content"] or {}).get("text") or "")[:TEXT_CHARS]
        match event["type"]:
            case "message.received":
                self._where[position] = payload["conversation"]
                self._say(payload, Said(position, "user", text, position))
            case "message.sent":
                self._say(payload, Said(position, "assistant", text, payload["message"]))
            case "memory.noted" if text:
                self._notes.append(Note(position, text))
            case "turn.finished":
                self._where.pop(payload["message"], None)

    def text(self, position: int) -> str:
        """Return the words of the message at `position`; empty if there are none any more."""
        talk = self._talks[self._where.get(position, "")]
        return next((said.text for said in talk if said.position == position), "")

    def before(self, position: int, count: int) -> list[Said]:
        """Return what was said before the message at `position`, each answer after its message.

        What belongs to later messages is left out, so that a turn given again sees the same.
        """
        talk = self._talks[self._where.get(position, "")]
        earlier = [said for said in talk if said.answers < position and said.text]
        return sorted(earlier, key=lambda said: (said.answers, said.position))[-count:]

    def notes(self, position: int, count: int) -> list[Note]:
        """Return the newest notes that are older than `position`."""
        return [note for note in self._notes if note.position < position][-count:]

    def _say(self, payload: dict[str, Any], said: Said) -> None:
        self._talks[payload["conversation"]].append(said)
