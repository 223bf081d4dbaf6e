"""Which conversations may travel how far. Pure; node.toml's [privacy] says it.

A conversation that several patterns name travels no further than the least of them allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from runtime.core.chat import REACHES, Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """`conversations` are (pattern, reach); `default` is of what no pattern names."""

    default: Reach = Reach.TRUSTED
    conversations: tuple[tuple[str, Reach], ...] = ()

    def of(self, conversation: str | None) -> Reach:
        """How far words of a conversation may travel; None for words of no conversation."""
        if conversation is None:
            return self.default
        named = [
            reach for pattern, reach in self.conversations if fnmatchcase(conversation, pattern)
        ]
        return min(named, default=self.default)

    def of_event(self, payload: Mapping[str, Any]) -> Reach:
        """How far the words of an event may travel, by its payload.

        Its conversation says so, and `reach` if the event has it: what the agent made of words that
        stay nearer. Events of earlier versions lack it; one that cannot be read stays at home.
        """
        conversation = payload.get("conversation")
        reach = self.of(conversation if isinstance(conversation, str) else None)
        if "reach" not in payload:
            return reach
        return min(reach, reach_of(payload))


def reach_of(payload: Mapping[str, Any]) -> Reach:
    """The reach that a payload names; LOCAL if it names none that is known."""
    told = payload.get("reach")
    return REACHES.get(told, Reach.LOCAL) if isinstance(told, str) else Reach.LOCAL
