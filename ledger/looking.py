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
_SHORT_CHARS: Final = 2
_COMMON_WORDS: Final = """
a about after again all also am an and any are as at be because been before but by can could did
do does for from get had has have he her here him his how i if in into is it its just know like
me more my no not now of on one or other our out over she should so some such than that the
their them then there these they this to too up us was we were what when where which who why
will with would yes you your
"""
"""Words of English that are in most texts: beside others, each costs a walk over half of the ledger
and changes the order of nothing."""
_COMMON: Final = frozenset(_COMMON_WORDS.split())


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


def look(
    path: Path, text: str, *, limit: int = 20, snippet_tokens: int = 24, any_word: bool = False
) -> list[Hit]:
    """Return the best matches of all words (as prefixes), or of any of them, best first.

    Of any word: common ones count only if there are no others. Raises StoreDamaged, StoreError.
    """
    query = _any_of(text) if any_word else _all_of(text)
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


def _terms(text: str) -> list[str]:
    words = text[:_QUERY_CHARS_MAX].replace('"', " ").replace("\0", " ").lower().split()
    return list(dict.fromkeys(words))


def _all_of(text: str) -> str:
    """Every word once, as a quoted prefix: no user text is FTS5 syntax."""
    return " ".join(f'"{term}"*' for term in _terms(text)[:_QUERY_TERMS_MAX])


def _any_of(text: str) -> str:
    """The same for any of the words. A letter or two begin too many words to be a prefix."""
    terms = _terms(text)
    telling = [term for term in terms if term.strip(".,;:!?'()[]") not in _COMMON] or terms
    return " OR ".join(
        f'"{term}"*' if len(term) > _SHORT_CHARS else f'"{term}"'
        for term in telling[:_QUERY_TERMS_MAX]
    )
