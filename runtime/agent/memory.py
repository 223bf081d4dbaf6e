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
class Round:
    """A reply that called tools, and what they returned: positions, and bytes of words in all."""

    reply: int
    size: int
    results: tuple[int, ...]


@dataclass(frozen=True)
class Said:
    """One message. `answers` is the position of the message an answer of ours belongs to.

    `trail`: what was done for that answer: replies, each with its results and their bytes.
    What was said elsewhere, and was carried over, stands where it was carried to.
    """

    position: int
    role: str
    text: str
    answers: int
    trail: tuple[Round, ...] = ()


@dataclass(frozen=True)
class Note:
    """Something to remember. `distilled`: by the node itself, from what was said or done.

    `project`: names the work it is of; None for what holds in all of them.
    """

    position: int
    text: str
    distilled: bool
    expires_ms: int
    project: bytes | None = None


@dataclass(frozen=True)
class Summary:
    """It stands for what was said up to the message at `last`."""

    position: int
    last: int


class Memory:
    """Feed it every event, in order."""

    def __init__(self) -> None:
        self._talks: dict[str, deque[Said]] = defaultdict(
            lambda: deque(maxlen=MESSAGES_PER_CONVERSATION)
        )
        self._where: dict[int, str] = {}
        self._notes: deque[Note] = deque(maxlen=NOTES)
        self._ended: dict[int, int] = {}
        self._summaries: dict[str, list[Summary]] = defaultdict(list)
        self._when: dict[int, int] = {}

    def apply(self, event: dict[str, Any]) -> None:
        """Take in one event frame; types this version does not know are passed over."""
        position, payload = event["position"], event["payload"]
        text = ((event["content"] or {}).get("text") or "")[:TEXT_CHARS]
        match event["type"]:
            case "message.received":
                self._where[position] = payload["conversation"]
                self._when[position] = event.get("ts_ms", 0)
                self._say(payload, Said(position, "user", text, position))
            case "message.sent":
                trail = tuple(
                    Round(reply, size, tuple(results))
                    for reply, size, results in payload.get("trail", ())
                )
                said = Said(position, "assistant", text, payload["message"], trail)
                self._say(payload, said)
            case "conversation.carried":
                self._say(payload, Said(position, payload["role"], text, position))
            case "memory.noted":
                self._note(position, payload, text)
            case "memory.forgotten":
                self._ended.setdefault(payload.get("memory", -1), position)
            case "context.compacted" if text:
                summary = Summary(position, payload["to"])
                self._summaries[payload["conversation"]].append(summary)
            case "turn.finished":
                self._where.pop(payload["message"], None)
                self._when.pop(payload["message"], None)

    def text(self, position: int) -> str:
        """Return the words of the message at `position`; empty if there are none any more."""
        talk = self._talks[self._where.get(position, "")]
        return next((said.text for said in talk if said.position == position), "")

    def before(self, position: int, count: int) -> list[Said]:
        """Return what was said before the message at `position`, each answer after its message.

        What belongs to later messages is left out, so that a turn given again sees the same.
        """
        talk = self._talks[self._where.get(position, "")]
        summary = self.summary(position)
        covered = -1 if summary is None else summary.last
        earlier = [said for said in talk if covered < said.answers < position and said.text]
        return sorted(earlier, key=lambda said: (said.answers, said.position))[-count:]

    def summary(self, position: int) -> Summary | None:
        """Return what stands for the beginning of the talk, as of the message at `position`."""
        found = self._summaries[self._where.get(position, "")]
        return next((one for one in reversed(found) if one.position < position), None)

    def notes(self, position: int, count: int, project: bytes | None = None) -> list[Note]:
        """Return the newest notes that hold as of the message at `position`, in their order.

        Those of another project than `project` are left out, if there is work on one.
        At least half are what somebody noted, if there are so many; the rest was distilled.
        """
        now_ms = self._when.get(position, 0)
        held = [
            note
            for note in self._notes
            if note.position < position < self._end(note, now_ms)
            and (project is None or note.project in (None, project))
        ]
        distilled = [note for note in held if note.distilled]
        noted = [note for note in held if not note.distilled]
        room = max(count // 2, count - len(noted))
        chosen = noted[-(count - min(room, len(distilled))) :] + distilled[-room:]
        return sorted(chosen, key=lambda note: note.position)

    def _end(self, note: Note, now_ms: int) -> float:
        if note.expires_ms and now_ms >= note.expires_ms:
            return 0
        return self._ended.get(note.position, float("inf"))

    def _note(self, position: int, payload: dict[str, Any], text: str) -> None:
        for older in payload.get("supersedes", ()):
            self._ended.setdefault(older, position)
        if text:
            expires_ms = payload.get("expires_s", 0) * 1000
            made = "by" in payload
            project = payload.get("project")
            self._notes.append(Note(position, text, made, expires_ms, project))

    def _say(self, payload: dict[str, Any], said: Said) -> None:
        self._talks[payload["conversation"]].append(said)
