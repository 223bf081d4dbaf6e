"""What a relay means when it refuses an event.

NIP-01 gives a word ("invalid", "rate-limited", ...) and leaves the rest to a free text, so what is
wrong with an event has to be read out of English. A wrong reading costs one more try: `AGE`,
`FUTURE` and `SIZE` say that the Nostr event may be minted again, a bounded number of times.
"""

import re
from enum import Enum
from typing import Final

from mesh.core.pool.client_messages import prefix_of


class Refusal(Enum):
    """What to do about it."""

    HAD_IT = "had it"
    """As good as taken."""
    AUTH = "wants to know who we are"
    LATER = "not now"
    """It says nothing about the event: kept however often it comes."""
    AGE = "too old"
    FUTURE = "dated ahead"
    SIZE = "too large"
    FINAL = "refused"
    """The same event will meet it again."""
    UNCLEAR = "refused without a known reason"
    """Tried again, a bounded number of times."""


_FINAL: Final = frozenset(
    ("invalid", "blocked", "restricted", "pow", "mute", "replaced", "deleted", "unsupported")
)
"""Words of NIP-01, and `replaced` and `deleted`, which are strfry's."""

_SIZE: Final = re.compile(
    r"too (?:large|big|long|many (?:bytes|tags))|larger than|size (?:limit|exceed)|exceeds? .*size"
    r"|characters should be enough|max(?:imum)? (?:\w+ )?(?:size|length)",
    re.IGNORECASE,
)
_FUTURE: Final = re.compile(r"future|too late|ahead of|too far ahead|later than", re.IGNORECASE)
_AGE: Final = re.compile(
    r"too (?:old|early)|in the past|older than|earlier than|too far off|has expired", re.IGNORECASE
)


def refusal(message: str) -> Refusal:
    """Read the message of an OK that is false, or of a CLOSED."""
    match prefix_of(message):
        case "duplicate":
            return Refusal.HAD_IT
        case "auth-required":
            return Refusal.AUTH
        case "rate-limited":
            return Refusal.LATER
        case word if word in {"invalid", "blocked", "error", ""}:
            return _of_its_form(message, word)
        case word:
            return Refusal.FINAL if word in _FINAL else Refusal.UNCLEAR


def _of_its_form(message: str, word: str) -> Refusal:
    for pattern, meaning in ((_SIZE, Refusal.SIZE), (_FUTURE, Refusal.FUTURE), (_AGE, Refusal.AGE)):
        if pattern.search(message):
            return meaning
    return Refusal.FINAL if word in _FINAL else Refusal.UNCLEAR
