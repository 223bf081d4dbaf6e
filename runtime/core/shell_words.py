"""Words of a shell line: where one ends, what it says once quotes are gone, and whether that is
known.

POSIX.1-2024 XCU 2.2 (quoting), 2.3 (tokens) and 2.6 (expansions), and of bash $'...', ~+, braces
and extended patterns. A word is *known* if the shell passes exactly `text` to the program. Whatever
an expansion would put in is the one sign UNKNOWN in `text`, and `why` says what it is. Patterns for
file names, braces and tildes are expansions too: what they become depends on the machine.
"""

import re
from dataclasses import dataclass
from typing import Final

from runtime.core.errors import NotRead

UNKNOWN: Final = "\uffff"
"""Stands for any text. Not a character (Unicode 23.7), and refused in lines, rules and paths."""

_ENDS: Final = frozenset(" \t\n;&|<>()")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!_-]")
_NESTED: Final = {"(": "$(...)", "{": "${...}", "[": "$[...]"}
_ASSIGNED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[|\+?=)")
_ANSI: Final = re.compile(
    r"\\(?:(?P<plain>[abeEfnrtv\\'\"?])|(?P<octal>[0-7]{1,3})|x(?P<hex>[0-9A-Fa-f]{1,2})"
    r"|u(?P<u>[0-9A-Fa-f]{1,4})|U(?P<big>[0-9A-Fa-f]{1,8})|(?P<other>.))",
    re.DOTALL,
)
_PLAIN: Final = dict(zip("abeEfnrtv\\'\"?", "\a\b\x1b\x1b\f\n\r\t\v\\'\"?", strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word. `bare`: nothing in it is quoted, so it may be a keyword or an assignment."""

    text: str
    why: str = ""
    bare: bool = True
    nested: bool = False
    """What stands behind an unknown part was not read: `end` is not where the word ends."""
    end: int = 0

    @property
    def known(self) -> bool:
        """Whether the program is given exactly `text`."""
        return not self.why


def scan(source: str, at: int = 0) -> Word:
    """Read the word that begins at `at`. Raises NotRead for a quote that nothing closes."""
    return _Scan(source, at).word()


def assigns(word: Word, source: str, at: int) -> bool:
    """Whether the word that was read at `at` assigns, if it stands before a command."""
    return _ASSIGNED.match(source, at, max(word.end, at)) is not None


class _Scan:
    """One pass over one word."""

    def __init__(self, source: str, at: int) -> None:
        self.source = source
        self.start = self.at = at
        self.text: list[str] = []
        self.why = ""
        self.quoted = self.nested = False

    def word(self) -> Word:
        while self.at < len(self.source) and not self.nested:
            sign = self.source[self.at]
            if sign in _ENDS:
                break
            self._one(sign)
        text = "".join(self.text)
        raw = self.source[self.start : self.at]
        if self.why == _BRACE and raw in {"{", "}", "{}"}:
            self.why = ""
        if self.why == _PATTERN and raw == "[":
            self.why = ""
        return Word(
            text=text, why=self.why, bare=not self.quoted, nested=self.nested, end=self.at
        )  # fmt: skip

    def _one(self, sign: str) -> None:
        match sign:
            case "\\":
                self._backslash()
            case "'":
                self._add(self._until("'", self.at + 1))
            case '"':
                self.at += 1
                self._double()
            case "$":
                self._dollar(quoted=False)
            case "`":
                self._nest("`...`")
            case _:
                self._note(sign)
                self.text.append(sign)
                self.at += 1

    def _note(self, sign: str) -> None:
        """Say what an unquoted sign would do beside standing for itself."""
        before = self.source[self.at - 1] if self.at > self.start else ""
        if sign in "*?[":
            self._unknown(_PATTERN)
        elif sign in "{}":
            self._unknown(_BRACE)
        elif sign == "~" and (not before or before in "=:"):
            self._unknown("a tilde (write the folder out)")

    def _unknown(self, why: str) -> None:
        """Keep the first reason; a brace that may turn out to be harmless gives way."""
        if not self.why or self.why in {_BRACE, _PATTERN}:
            self.why = why

    def _add(self, text: str) -> None:
        self.text.append(text)
        self.quoted = True

    def _until(self, quote: str, start: int) -> str:
        end = self.source.find(quote, start)
        if end < 0:
            raise NotRead(f"a {quote} is never closed")
        self.at = end + 1
        return self.source[start:end]

    def _backslash(self) -> None:
        following = self.source[self.at + 1 : self.at + 2]
        if not following:
            raise NotRead("it ends in a backslash")
        self.at += 2
        if following != "\n":
            self._add(following)

    def _double(self) -> None:
        self.quoted = True
        while not self.nested:
            if self.at >= len(self.source):
                raise NotRead('a " is never closed')
            sign = self.source[self.at]
            if sign == '"':
                self.at += 1
                return
            if sign == "\\" and self.source[self.at + 1 : self.at + 2] in {*'$`"\\', "\n"}:
                self._backslash()
            elif sign == "$":
                self._dollar(quoted=True)
            elif sign == "`":
                self._nest("`...`")
            else:
                self.text.append(sign)
                self.at += 1

    def _dollar(self, *, quoted: bool) -> None:
        following = self.source[self.at + 1 : self.at + 2]
        name = _NAME.match(self.source, self.at + 1)
        if following in _NESTED and following:
            self._nest(_NESTED[following])
        elif name is not None:
            self._unknown(f"${name[0]}")
            self.text.append(UNKNOWN)
            self.at = name.end()
        elif following == "'" and not quoted:
            self._ansi()
        elif following == '"' and not quoted:
            self._unknown('$"...", which is translated')
            self.at += 2
            self._double()
        else:
            self.text.append("$")
            self.at += 1

    def _nest(self, why: str) -> None:
        self._unknown(why)
        self.text.append(UNKNOWN)
        self.nested = True

    def _ansi(self) -> None:
        """$'...', whose quotes may be escaped inside."""
        found = re.compile(r"(?:[^'\\]|\\.)*'", re.DOTALL).match(self.source, self.at + 2)
        if found is None:
            raise NotRead("a $' is never closed")
        self.at = found.end()
        self._add(_ANSI.sub(self._escape, found[0][:-1]))

    def _escape(self, found: re.Match[str]) -> str:
        if found["plain"]:
            return _PLAIN[found["plain"]]
        digits = found["hex"] or found["u"] or found["big"]
        code = int(digits, 16) if digits else int(found["octal"] or "0", 8)
        if found["other"] or not 0 < code < 0x80:
            # Bytes of a character in pieces, \c, NUL: right in some locale or version only.
            self._unknown("an escape within $'...' that shells read differently")
            return UNKNOWN
        return chr(code)


_PATTERN: Final = "a pattern for file names"
_BRACE: Final = "what braces expand to"
