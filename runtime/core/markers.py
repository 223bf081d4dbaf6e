"""Memory markers: one line that says what is remembered, of which kind, and from where.

    [MEMORY MARKER] Decision: use SQLite for state, not Redis. Source: session-abc123.

The form is that of Hermes v2.0. What the historian distilled is shown to a model in it, so that the
model can tell a memory from what a person said; one that an operator brings along is understood.
"""

import re
from dataclasses import dataclass
from typing import Final

MARK: Final = "[MEMORY MARKER]"
_KIND: Final = re.compile(r"\s*(?P<kind>[A-Za-z][A-Za-z _-]{0,31}):")
_SOURCE: Final = re.compile(r"\s+Source:\s*(?P<source>[^\n]{1,128}?)\.?\Z")
_TAIL_CHARS: Final = 256
"""Where a source may stand: looked for in all of a long text it would take quadratic time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A marker taken apart. `kind` is lower case, "fact" if none is named."""

    kind: str
    text: str
    source: str | None


def to_marker(kind: str, text: str, source: str | None) -> str:
    """Return the line. Of a text of several lines the line ends become spaces."""
    words = " ".join(text.split())
    told = f"{MARK} {kind.capitalize()}: {words}"
    if source is None:
        return told
    end = "" if words.endswith((".", "!", "?")) else "."
    return f"{told}{end} Source: {source}."


def parse_marker(text: str) -> Marker | None:
    """Return what a marker says; None for a text that is none, or that says nothing."""
    text = text.strip()
    if not text.startswith(MARK):
        return None
    rest = text.removeprefix(MARK)
    named = _KIND.match(rest)
    if named is not None:
        rest = rest[named.end() :]
    cut = max(0, len(rest) - _TAIL_CHARS)
    told = _SOURCE.search(rest, cut)
    words = (rest if told is None else rest[: told.start()]).strip()
    if not words:
        return None
    kind = (named["kind"] if named is not None else "fact").strip().lower().replace(" ", "-")
    return Marker(kind=kind, text=words, source=None if told is None else told["source"])
