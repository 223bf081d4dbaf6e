"""The words of a text around the first one that a search asked for.

FTS5's own snippet() compares every match with every other, so that one word repeated twenty
thousand times costs it seconds. This walks once over a bounded part of the text. Not covered: a
match behind that part, for which the beginning is shown.
"""

import re
import unicodedata
from itertools import islice
from typing import Final

SCAN_CHARS_MAX: Final = 16 * 1024
"""Four pages: three milliseconds. What a search finds is shown whole by its position."""

_WORD: Final = re.compile(r"\w+")
_BEFORE: Final = 4
"""One part in so many of a snippet stands before the match."""


def folded_words(text: str) -> tuple[str, ...]:
    """Return the words of `text` without case and diacritics, each once, in order."""
    return tuple(dict.fromkeys(_fold(word.group()) for word in _WORD.finditer(text)))


def snippet(text: str, starts: tuple[str, ...], *, words: int) -> str:
    """Return up to `words` words of `text`, those that begin with one of `starts` in brackets."""
    part = text[:SCAN_CHARS_MAX]
    found = list(_WORD.finditer(part))
    marked = [_fold(word.group()).startswith(starts) for word in found]
    first = max(0, (marked.index(True) if True in marked else 0) - words // _BEFORE)
    shown = list(islice(zip(found, marked, strict=True), first, first + words))
    if not shown:
        return part[:words]
    pieces, at = [], shown[0][0].start()
    for word, mark in shown:
        pieces += [part[at : word.start()], f"[{word.group()}]" if mark else word.group()]
        at = word.end()
    cut = first + words < len(found) or len(text) > len(part)
    return ("…" if first else "") + "".join(pieces) + ("…" if cut else "")


def _fold(word: str) -> str:
    plain = unicodedata.normalize("NFKD", word)
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold()
