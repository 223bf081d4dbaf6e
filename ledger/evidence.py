"""Which events that may be recalled have a word: lists for a ranking, never a ranking itself.

Everything is as of a position: what came later changes nothing that is found before it, so a turn
that is given again asks and is told the same. (FTS5's own bm25 counts words of all rows, later ones
too.) Read from `views.db`, filled by `ledger.views`, over a connection for one question: any thread
may ask. What was erased since, and not yet taken out there, is for the caller to leave out.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from ledger.core.errors import StoreDamaged
from ledger.looking import guarded
from ledger.sql import connect

POSITIONS_MAX: Final = 5_000
"""Of one word, the newest: a millisecond. Older ones are found by the other words of a question."""
FREQUENCY_MAX: Final = 20_000
"""Counted of one word: some milliseconds. In how many more events it is tells nothing new."""
TEXT_CHARS_MAX: Final = 2_000
"""Of one text that is looked at: what a hit shows."""


class Evidence:
    """An open connection. Made by `open_evidence`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def having(self, words: Sequence[str], *, before: int, prefix: bool = False) -> list[int]:
        """Return the newest events with these words in a row, stemmed; at most POSITIONS_MAX.

        With `prefix` the last one may go on.
        """
        phrase = " ".join(words).replace('"', " ")
        query = f'"{phrase}"*' if prefix else f'"{phrase}"'
        rows = self._connection.execute(
            "select rowid from stems where stems match ? and rowid < ? order by rowid desc limit ?",
            (query, before, POSITIONS_MAX),
        )
        return [position for (position,) in rows]

    def frequency(self, word: str, *, before: int) -> int:
        """How many events before a position have a word, stemmed; FREQUENCY_MAX if more."""
        found = self._connection.execute(
            "select count(*) from"
            " (select rowid from stems where stems match ? and rowid < ? limit ?)",
            ('"' + word.replace('"', " ") + '"', before, FREQUENCY_MAX),
        ).get
        return int(found)

    def count(self, *, before: int) -> int:
        """How many events that may be recalled lie before a position, erased ones among them."""
        found = self._connection.execute(
            "select number from recallable where position < ? order by position desc limit 1",
            (before,),
        ).get
        return 0 if found is None else int(found)

    def alike(self, first: str, shortest: int, longest: int) -> list[str]:
        """Return the words of the ledger that begin with a letter and have such a length.

        All of them, in order, also those that only came later: these are in no event before, so
        they change no answer, which a bound would let them do.
        """
        rows = self._connection.execute(
            "select term from vocabulary where term >= ? and term < ?"
            " and length(term) between ? and ? order by term",
            (first, first + "\U0010ffff", shortest, longest),
        )
        return [term for (term,) in rows]

    def texts(self, positions: Sequence[int]) -> dict[int, str]:
        """Return the beginnings of these events' words."""
        found = {}
        for position in positions:
            text = self._connection.execute(
                "select substr(text, 1, ?) from words where rowid = ?", (TEXT_CHARS_MAX, position)
            ).get
            if text is not None:
                found[position] = text
        return found


@contextmanager
def open_evidence(path: Path) -> Iterator[Evidence]:
    """Open the views at `path` for one question. Raises StoreDamaged, StoreError."""
    if not path.exists():
        raise StoreDamaged(f"{path} is gone")
    with guarded(path):
        connection = connect(path, read_only=True)
        try:
            connection.execute("begin")  # all answers are of one moment
            yield Evidence(connection)
        finally:
            connection.close()
