"""The second reader of a shell line: token by token, as POSIX.1-2024 XCU 2.3 and 2.10 say.

It knows less than the grammar (`bash_tree`), and what it does not know it refuses (NotRead):
command and process substitution, `for`, `case`, `[[`, functions, arithmetic, here-documents that
expand. What is left are simple commands between separators, in subshells, groups, `if` and
`while`: there the two readers must find the same words in the same commands, or nothing in the
line is allowed by a rule. The two share `shell_words`, and nothing else.
"""

import re
from dataclasses import dataclass
from typing import Final

from runtime.core.errors import NotRead
from runtime.core.shell_words import Word, assigns, scan

_OPERATORS: Final = (
    "&>>", "<<<", "<<-", "&&", "||", ";;", "|&", "&>", "<<", ">>", ">|", ">&", "<&", "<>",
    ";", "&", "|", "<", ">", "(", ")", "\n",
)  # fmt: skip
_REDIRECTS: Final = frozenset({"&>>", "<<<", "&>", ">>", ">|", ">&", "<&", "<>", "<", ">"})
_SKIPPED: Final = frozenset(
    {"if", "then", "elif", "else", "fi", "while", "until", "do", "done", "{", "}", "!"}
)
_REFUSED: Final = frozenset({"for", "case", "select", "function", "[[", "coproc", "esac", "in"})
_DELIMITER: Final = re.compile(r"'([^'\n]*)'|\"([^\"\n\\$`]*)\"|\\?([A-Za-z0-9_]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a redirection leads: its operator and its word."""

    operator: str
    word: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One simple command: what it assigns, its words, where its streams lead."""

    assignments: tuple[str, ...]
    words: tuple[Word, ...]
    targets: tuple[Target, ...]


def read(source: str) -> tuple[Group, ...]:
    """Return the simple commands of a line, in order. Raises NotRead."""
    return _Reader(source).read()


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.groups: list[Group] = []
        self.documents: list[tuple[str, bool, bool]] = []
        self._clear()

    def _clear(self) -> None:
        self.assignments: list[str] = []
        self.words: list[Word] = []
        self.targets: list[Target] = []
        self.starts: list[int] = []

    def _end_group(self) -> None:
        if self.assignments or self.words or self.targets:
            self.groups.append(
                Group(
                    assignments=tuple(self.assignments),
                    words=tuple(self.words),
                    targets=tuple(self.targets),
                )
            )
        self._clear()

    def read(self) -> tuple[Group, ...]:
        while self._skip_blanks():
            operator = next((o for o in _OPERATORS if self.source.startswith(o, self.at)), None)
            if operator is None:
                self._word()
            elif operator in _REDIRECTS:
                self._redirect(operator)
            elif operator in {"<<", "<<-"}:
                self._document(operator)
            else:
                self._separate(operator)
        if self.documents:
            raise NotRead("a here-document is never closed")
        self._end_group()
        return tuple(self.groups)

    def _skip_blanks(self) -> bool:
        """Go to the next token; False at the end."""
        while self.at < len(self.source):
            if self.source[self.at] in " \t":
                self.at += 1
            elif self.source.startswith("\\\n", self.at):
                self.at += 2
            elif self.source[self.at] == "#":
                end = self.source.find("\n", self.at)
                self.at = len(self.source) if end < 0 else end
            else:
                return True
        return False

    def _separate(self, operator: str) -> None:
        if operator == ";;" or self.source.startswith("((", self.at):
            raise NotRead(f"{self.source[self.at : self.at + 2]} is not read here")
        if operator == "(" and (self.words or self.assignments or self.targets):
            raise NotRead("a ( that stands within a command")
        self.at += len(operator)
        self._end_group()
        if operator == "\n":
            for delimiter, stripped, expands in self.documents:
                self._body(delimiter, stripped=stripped, expands=expands)
            self.documents.clear()

    def _word(self) -> None:
        start, word = self.at, self._scan()
        first = not self.words
        if first and not self.assignments and not self.targets and word.bare:
            if word.text in _REFUSED:
                raise NotRead(f"{word.text} is not read here")
            if word.text in _SKIPPED:
                return
        if first and assigns(word, self.source, start):
            self.assignments.append(word.text if word.known else f"{word.text.partition('=')[0]}=?")
            if self.source.startswith("(", self.at):
                raise NotRead("an array is assigned")
            return
        self.words.append(word)
        self.starts.append(start)

    def _scan(self) -> Word:
        word = scan(self.source, self.at)
        if word.nested:
            raise NotRead(f"{word.why} is not read here")
        self.at = word.end
        return word

    def _redirect(self, operator: str) -> None:
        if self.source.startswith(("<(", ">("), self.at):
            raise NotRead(f"{self.source[self.at : self.at + 2]}...) is not read here")
        self._descriptor()
        self.at += len(operator)
        if not self._skip_blanks() or self.source[self.at] in "\n;&|<>()":
            raise NotRead("a redirection leads nowhere")
        self.targets.append(Target(operator=operator, word=self._scan()))

    def _descriptor(self) -> None:
        """Take back a word that is the number before the operator: 2>file."""
        if not self.words or self.words[-1].end != self.at:
            return
        raw = self.source[self.starts[-1] : self.at]
        if raw.isascii() and raw.isdigit():
            self.words.pop()
            self.starts.pop()
        elif raw.startswith("{"):
            raise NotRead("a redirection that sets a variable")

    def _document(self, operator: str) -> None:
        self._descriptor()
        self.at += len(operator)
        self._skip_blanks()
        found = _DELIMITER.match(self.source, self.at)
        word = self._scan()
        if found is None or found.end() != word.end or not word.text:
            raise NotRead("a here-document whose end is not a plain word")
        self.documents.append((word.text, operator == "<<-", word.bare))

    def _body(self, delimiter: str, *, stripped: bool, expands: bool) -> None:
        while self.at < len(self.source):
            end = self.source.find("\n", self.at)
            end = len(self.source) if end < 0 else end
            line = self.source[self.at : end]
            self.at = min(end + 1, len(self.source))
            if (line.lstrip("\t") if stripped else line) == delimiter:
                return
            if expands and re.search(r"[$`\\]", line):
                raise NotRead("a here-document that is expanded: quote its end, <<'END'")
        raise NotRead("a here-document is never closed")
