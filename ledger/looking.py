"""Searching in `views.db`: a connection of its own for each question, so any thread may ask.

What `ledger.views` fills, this reads, and nothing else. Hits are what the views know: words that
were erased since, and not yet taken out of them, are for the caller to leave out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from ledger.core.errors import StoreDamaged
from ledger.core.snippet import SCAN_CHARS_MAX, folded_words, snippet
from ledger.sql import connect, translated

HITS_MAX: Final = 200
"""More rows than a person or a prompt reads."""
_QUERY_CHARS_MAX: Final = 1000
_QUERY_TERMS_MAX: Final = 32
"""Each costs a walk over all its matches; the question is clear by then."""
_SNIPPET_WORDS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One search result: where, and the words around the match."""

    position: int
    snippet: str


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Raise our errors. A table that is gone is damage: somebody put another file in place."""
    with translated(str(path)):
        try:
            yield
        except apsw.SQLError as error:
            raise StoreDamaged(f"{path} is not ours any more: {error}") from error


def look(path: Path, text: str, *, limit: int = 20, snippet_tokens: int = 24) -> list[Hit]:
    """Return the best matches of all words (as prefixes), best first.

    Raises StoreDamaged, StoreError.
    """
    query = _all_of(text)
    if not query:
        return []
    if not path.exists():
        raise StoreDamaged(f"{path} is gone")
    with guarded(path):
        connection = connect(path, read_only=True)
        try:
            rows = list(
                connection.execute(
                    "select rowid, substr(text, 1, ?) from words where words match ?"
                    " order by rank, rowid desc limit ?",
                    (SCAN_CHARS_MAX + 1, query, min(limit, HITS_MAX)),
                )
            )
        finally:
            connection.close()
    starts = folded_words(text[:_QUERY_CHARS_MAX])[:_QUERY_TERMS_MAX]
    words = min(snippet_tokens, _SNIPPET_WORDS_MAX)
    return [
        Hit(position=position, snippet=snippet(found, starts, words=words))
        for position, found in rows
    ]


def _all_of(text: str) -> str:
    """Every word once, as a quoted prefix: no user text is FTS5 syntax."""
    words = text[:_QUERY_CHARS_MAX].replace('"', " ").replace("\0", " ").lower().split()
    return " ".join(f'"{term}"*' for term in list(dict.fromkeys(words))[:_QUERY_TERMS_MAX])
