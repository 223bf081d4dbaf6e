"""How much of a growing reply may be shown. Pure.

Whole sentences: the screen then has judged every sentence that is shown together with what came
after it so far. A reader may see sentences of an answer whose later part meets the screen; each of
them passed it with all that stood before.
"""

import re
from typing import Final

UNBROKEN_CHARS_MAX: Final = 400
"""Text without an end of a sentence (code, lists) is shown up to so many characters from its end,
which is what slices of the screen share: no phrase of a rule is longer."""
_ENDS: Final = re.compile(r"[.!?…:;]['\")\]]*\s|\n")


def shown_chars(text: str) -> int:
    """Return how many characters of a reply that is not at its end may be shown."""
    end = 0
    for match in _ENDS.finditer(text, max(0, len(text) - 2 * UNBROKEN_CHARS_MAX)):
        end = match.end()
    return max(end, len(text) - UNBROKEN_CHARS_MAX, 0)
