"""Which part of a long text to quote: the stretch that holds most of the words asked for."""

import re

from runtime.core.limits import TEXT_BYTES_MAX

_WORD = re.compile(r"\w{3,}")
_COMMON = frozenset(
    _WORD.findall(
        "the and for you are was what when where who how why with that this from have has not "
        "can could should would about tell know does did your"
    )
)


def passage(text: str, asked: str, *, chars: int) -> str:
    """Return at most `chars` characters of `text` on one line, around the words of `asked`.

    Cuts at spaces and marks each cut with an ellipsis. Without a match it is the beginning.
    """
    line = " ".join(text[:TEXT_BYTES_MAX].split())
    if len(line) <= chars:
        return line
    start = _best_start(line.lower(), _terms(asked), chars)
    if start:
        start = line.rfind(" ", 0, start) + 1
    cut = line[start : start + chars - 2]
    tail = "" if start + chars - 2 >= len(line) else "…"
    return ("…" if start else "") + (cut.rsplit(" ", 1)[0] if tail else cut) + tail


def _terms(asked: str) -> set[str]:
    return {word for word in _WORD.findall(asked.lower()) if word not in _COMMON}


def _best_start(line: str, terms: set[str], chars: int) -> int:
    """Slide over all matches; of the windows with most different words take the first."""
    found = sorted(
        (match.start(), term) for term in terms for match in re.finditer(re.escape(term), line)
    )
    counts: dict[str, int] = {}
    best, best_at, low = 0, 0, 0
    for at, term in found:
        counts[term] = counts.get(term, 0) + 1
        while at - found[low][0] > chars * 3 // 4:
            old = found[low][1]
            counts[old] -= 1
            if not counts[old]:
                del counts[old]
            low += 1
        if len(counts) > best:
            best, best_at = len(counts), found[low][0]
    return max(0, best_at - chars // 8) if best else 0
