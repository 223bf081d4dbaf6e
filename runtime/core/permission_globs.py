"""Patterns of permission rules: wildcards over signs, words and folders, and when one covers
another.

One algorithm serves all: a pattern is a sequence in which ANY stands for any run (greedy, going
back to the last ANY, which is enough when all of them mean the same: at worst length times
length).

Covering. Replace each wildcard of pattern B by UNKNOWN (any signs) or REST (any words, any
folders), two signs that only a wildcard of A can match: if A matches that, A matches all that B
does. The same signs stand in a shell line for what is not known, so "deny, whatever it becomes" is
the same question.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runtime.core.errors import RuleRefused
from runtime.core.shell_words import UNKNOWN

REST: Final = "\ufffe"
"""Stands for any number of words, or of folders. Not a character either."""
ANY: Final = "any"
ONE: Final = "one"
"""Tokens of a pattern; every other token is a single sign, so neither can be mistaken."""


def matches(pattern: Sequence[Any], items: Sequence[Any], fits: Callable[[Any, Any], bool]) -> bool:
    """Whether `items` is what the pattern says, where a token ANY takes any run of items."""
    at = start = taken = 0
    star = -1
    while at < len(items):
        if start < len(pattern) and pattern[start] is ANY:
            star, taken, start = start, at, start + 1
        elif start < len(pattern) and fits(pattern[start], items[at]):
            at, start = at + 1, start + 1
        elif star >= 0:
            taken += 1
            at, start = taken, star + 1
        else:
            return False
    return all(token is ANY for token in pattern[start:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Glob:
    """A pattern over the signs of one text."""

    tokens: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, *, one: bool = False) -> "Glob":
        r"""Read `*` (any run of signs), `?` if `one` (one sign), and `\` before a plain sign."""
        tokens: list[str] = []
        at = 0
        while at < len(text):
            sign = text[at]
            if sign == "\\":
                at += 1
                if at == len(text):
                    raise RuleRefused("a backslash with nothing behind it")
                tokens.append(text[at])
            elif sign == "*":
                tokens += [] if tokens[-1:] == [ANY] else [ANY]
            else:
                tokens.append(ONE if sign == "?" and one else sign)
            at += 1
        return cls(tokens=tuple(tokens))

    @property
    def plain(self) -> bool:
        """Whether it matches one text only."""
        return ANY not in self.tokens and ONE not in self.tokens

    @property
    def specimen(self) -> str:
        """Every text it matches, as one: wildcards became UNKNOWN."""
        return "".join(UNKNOWN if token in {ANY, ONE} else token for token in self.tokens)

    def matches(self, text: str, *, wide: bool = False) -> bool:
        """Whether `text` is one of them; wide: whatever the case, and however accents are coded."""
        if matches(self.tokens, text, _fits):
            return True
        return wide and matches(self.folded, folded(text), _fits)

    @property
    def folded(self) -> tuple[str, ...]:
        """The tokens, folded run by run: one sign may become two, an accent joins its letter."""
        found: list[str] = []
        run = ""
        for token in (*self.tokens, ANY):
            if token in {ANY, ONE}:
                found += [*folded(run), token]
                run = ""
            else:
                run += token
        return tuple(found[:-1])


def folded(text: str) -> str:
    """Return the text as a file system that ignores case would compare it."""
    return unicodedata.normalize("NFC", text).casefold()


def _fits(token: str, sign: str) -> bool:
    if token is ONE:
        return sign not in {UNKNOWN, REST}
    return token == sign
