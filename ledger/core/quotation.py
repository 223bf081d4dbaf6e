"""Recognising words of some texts in others: what a redaction of the former leaves in the latter.

Compared are words without case, accents and punctuation. A text quotes another if it has

    QUOTE_WORDS_MIN words in a row of it,
    or all of it, where it is shorter than that but not a mere "yes",
    or one telling word of it: a number, a code, an address, that no one writes by chance.

Not found: paraphrase, translation, other order, fewer words in a row, a word broken up or encoded
otherwise, numbers of fewer than TELLING_CHARS_MIN characters, and single names. Chinese and
Japanese have no spaces: there each character counts as a word.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

QUOTE_WORDS_MIN: Final = 5
"""Four words in a row are often an idiom; six would miss "my sister lives in Leipzig"."""
WHOLE_CHARS_MIN: Final = 8
"""A text that is shorter is "thanks" or "okay", and repeating it is no quotation."""
TELLING_CHARS_MIN: Final = 6
"""With a digit among them. Years and times are shorter, telephone numbers and codes are not."""
LONG_WORD_CHARS_MIN: Final = 20
"""Of any kind. Keys and addresses are; hardly a word of a person is."""

_UNSPACED: Final = "\u3040-\u30ff\u3400-\u9fff"
_WORD: Final = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def split_words(text: str) -> list[str]:
    """Return the words of `text`, folded, in their order."""
    plain = unicodedata.normalize("NFKD", text)
    bare = "".join(c for c in plain if not unicodedata.combining(c))
    return _WORD.findall(bare.casefold())


def _telling(word: str) -> bool:
    if len(word) >= LONG_WORD_CHARS_MIN:
        return True
    return len(word) >= TELLING_CHARS_MIN and any(c.isdigit() for c in word)


def _whole(words: list[str]) -> bool:
    return 0 < len(words) < QUOTE_WORDS_MIN and sum(map(len, words)) >= WHOLE_CHARS_MIN


def _marks(words: list[str]) -> Iterator[tuple[str, ...]]:
    """Everything a text can be recognised by: runs of words, and telling ones by themselves."""
    for start in range(len(words) - QUOTE_WORDS_MIN + 1):
        yield tuple(words[start : start + QUOTE_WORDS_MIN])
    if _whole(words):
        yield tuple(words)
    for word in words:
        if _telling(word):
            yield (word,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """`words` in a row are of the text `of`; or the text `of` is a later one that repeats them."""

    of: int
    words: int


@dataclass(slots=True)
class Passages:
    """Marks of texts, by the position of the first that has them. Mutable: `add`, then look."""

    _owners: dict[tuple[str, ...], int] = field(default_factory=dict)
    _lengths: set[int] = field(default_factory=set)

    def add(self, position: int, text: str) -> None:
        """Take in the text at `position`, in the order of positions."""
        for mark in _marks(split_words(text)):
            self._owners.setdefault(mark, position)
            self._lengths.add(len(mark))

    def find(self, text: str, *, after: int | None = None) -> Quote | None:
        """Return the longest quotation in `text`, of texts before position `after` if given."""
        words = split_words(text)
        best: Quote | None = None
        for length in self._lengths:
            run = 0
            for start in range(len(words) - length + 1):
                owner = self._owners.get(tuple(words[start : start + length]))
                run = run + 1 if owner is not None and (after is None or owner < after) else 0
                if owner is not None and run and (best is None or run + length - 1 > best.words):
                    best = Quote(of=owner, words=run + length - 1)
        return best

    def discount(self, text: str) -> None:
        """Forget what `text` has too: whoever says it later need not have it from here."""
        words = split_words(text)
        for length in self._lengths:
            for start in range(len(words) - length + 1):
                self._owners.pop(tuple(words[start : start + length]), None)
