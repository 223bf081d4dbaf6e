"""What a line of shell would run, before it runs: simple commands, files written, and what is
unknown.

The theory. A line is safe to allow only if each program that it would start is known, with each
argument. So `read` returns every simple command it can find, wherever it is nested (pipelines,
substitutions, loops, functions, here-documents, behind `sudo`, `env`, `bash -c`), each with the
reason why it is not wholly known, if there is one; and `doubts`, reasons that concern the whole
line. A line with a doubt, or an unknown part, is never allowed by a rule, while deny rules see
everything found.

Commands are found with a real grammar (`bash_tree`). Since that grammar and bash disagree here and
there, a second reader (`shell_plain`) must find the same words, or that is a doubt as well.

Not covered: what a program does with its arguments (`git` runs hooks, `make` runs anything), what
it reads from files and its input, functions and aliases of an interactive shell (the host starts a
bare `bash --norc --noprofile -c`), files that change between the decision and the run.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from runtime.core import bash_tree, shell_plain
from runtime.core.bash_tree import Node
from runtime.core.errors import NotRead
from runtime.core.limits import (
    SHELL_COMMANDS_MAX,
    SHELL_LINE_BYTES_MAX,
    SHELL_NESTING_MAX,
    SHELL_WORDS_MAX,
)
from runtime.core.shell_starters import unfold, why_never
from runtime.core.shell_words import UNKNOWN, Word, scan

_HARMLESS: Final = re.compile(
    r"(LANG|LANGUAGE|LC_[A-Z]+|TZ|NO_COLOR|FORCE_COLOR|CLICOLOR|TERM|COLUMNS|LINES|CI)="
    r"[A-Za-z0-9_.,@:+-]*"
)
"""Variables that change how programs write, never what they do."""
_BACKTICKS: Final = re.compile(r"`([^`]*)`")
_NOT_READ: Final = {
    "function_definition": "it defines a function",
    "for_statement": "a loop over words",
    "c_style_for_statement": "a loop over numbers",
    "case_statement": "a case",
    "test_command": "a test in brackets: write test",
    "command_substitution": "what $(...) or `...` will say",
    "process_substitution": "a <(...) or >(...)",
    "declaration_command": "it sets variables of the shell",
    "unset_command": "it unsets variables of the shell",
    "arithmetic_expansion": "arithmetic, which can run commands",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Simple:
    """One program that would be started. `why` says what is not known about it, or is empty."""

    words: tuple[str, ...]
    why: str = ""
    within: str = ""
    """What starts it, if another command does."""
    starter: int | None = None
    """Index in the line's commands of the one that starts it."""
    literal: int = 0
    """Words of the starter up to and with this command's name."""
    transparent: bool = False
    """It only starts another one, and needs no rule of its own."""

    @property
    def text(self) -> str:
        """The words, for a person; three dots are what is not known."""
        return " ".join(_shown(word) for word in self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A file that a redirection opens, or None if it is not known which."""

    path: str | None
    writes: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """All that is known of a line before it runs."""

    source: str
    commands: tuple[Simple, ...] = ()
    streams: tuple[Stream, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Every word that could name a file, for the caller to resolve; see `permissions.Named`."""
        found = dict.fromkeys(stream.path for stream in self.streams if stream.path is not None)
        for command in self.commands:
            for word in command.words:
                found |= dict.fromkeys(path_words(word))
        return tuple(islice(found, SHELL_WORDS_MAX))


def path_words(word: str) -> tuple[str, ...]:
    """Return what in a word may be a path: itself, and the value of an option."""
    if not word or UNKNOWN in word or "\0" in word:
        return ()
    values = [word]
    if "=" in word:
        values.append(word.partition("=")[2])
    if word.startswith("-") and not word.startswith("--") and len(word) > 2:
        values.append(word[2:])
    if word.startswith("@"):
        values.append(word[1:])
    return tuple(value for value in values if value)


def read(source: str) -> Line:
    """Read a line. Never raises: what cannot be read is a doubt."""
    return _unfolded(_direct(source))


def _direct(source: str) -> Line:
    """Read a line without what its commands start."""
    try:
        _check(source)
        tree = bash_tree.parse(source.encode())
    except NotRead as error:
        return Line(source=source, doubts=(str(error),))
    found = _Found(source.encode())
    found.take(tree.root)
    doubts = list(dict.fromkeys(found.doubts))
    if tree.broken:
        doubts.insert(0, "the grammar cannot read all of it")
    commands = found.sorted()
    streams = found.streams
    try:
        groups = shell_plain.read(source)
    except NotRead as error:
        doubts.append(str(error))
    else:
        plain = [_normal(group.words) for group in groups]
        if [words for words in plain if words] != [_normal(words) for words in commands]:
            doubts.append("two readers of the line find different commands in it")
            commands += [words for words in map(_normal, _as_words(groups)) if words]
        streams = [_stream(t.operator, t.word) for group in groups for t in group.targets]
        doubts += [_sets(one) for g in groups for one in g.assignments if not _harmless(one)]
    simples = [_simple(words) for words in map(_normal, commands) if words]
    simples += [one for script in found.scripts for one in _direct(script).commands]
    return Line(
        source=source, commands=tuple(simples), streams=tuple(streams), doubts=tuple(doubts)
    )


def _as_words(groups: tuple[shell_plain.Group, ...]) -> list[tuple[Word, ...]]:
    return [group.words for group in groups]


def _check(source: str) -> None:
    """Refuse what people cannot see, and what machines read differently."""
    try:
        size = len(source.encode())
    except UnicodeEncodeError as error:
        raise NotRead(f"not UTF-8 at character {error.start}") from error
    if size > SHELL_LINE_BYTES_MAX:
        raise NotRead(f"{size} bytes, at most {SHELL_LINE_BYTES_MAX}")
    for sign in source:
        kind = unicodedata.category(sign)
        if sign not in "\n\t " and kind in {"Cc", "Cf", "Cn", "Co", "Zs", "Zl", "Zp"}:
            raise NotRead(f"the sign U+{ord(sign):04X}, which cannot be seen")


class _Found:
    """Walks the tree and keeps the words of each command, with the place where it begins."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.commands: list[tuple[int, tuple[Word, ...]]] = []
        self.streams: list[Stream] = []
        self.doubts: list[str] = []
        self.scripts: list[str] = []

    def sorted(self) -> list[tuple[Word, ...]]:
        """Return the commands in the order in which they are written."""
        return [words for _, words in sorted(self.commands, key=lambda one: one[0])]

    def take(self, node: Node) -> None:
        """Keep what is in this node and below it."""
        if node.kind in _NOT_READ:
            self.doubts.append(_NOT_READ[node.kind])
        match node.kind:
            case "command":
                self._command(node, ())
            case "redirected_statement":
                self._redirected(node)
                return
            case "declaration_command" | "unset_command":
                self._keep(node, list(node.children))
            case "file_redirect" | "herestring_redirect":
                self._stream(node)
            case "heredoc_redirect":
                self._document(node)
            case "variable_assignment":
                if not _harmless(self._source(node)):
                    self.doubts.append(_sets(self._source(node)))
        for child in node.children:
            self.take(child)

    def _document(self, node: Node) -> None:
        """The grammar finds $(...) in what is expanded, and overlooks the older form of it."""
        parts = {child.kind: self._source(child) for child in node.children}
        if not re.search(r"['\"\\]", parts.get("heredoc_start", "")):
            self.scripts += _BACKTICKS.findall(parts.get("heredoc_body", ""))

    def _redirected(self, node: Node) -> None:
        """`a 2>f b`: the grammar takes b for a second target; bash for an argument of a."""
        extra: list[Node] = []
        for child in node.children:
            if child.field == "redirect":
                extra += self._extra(child)
        for child in node.children:
            if child.kind == "command":
                self._command(child, tuple(extra))
                for below in child.children:
                    self.take(below)
            else:
                self.take(child)

    def _extra(self, redirect: Node) -> list[Node]:
        found: list[Node] = []
        for child in redirect.children:
            if child.field == "redirect":
                found += self._extra(child)
            elif redirect.kind == "heredoc_redirect" and child.field == "argument":
                found.append(child)
        targets = [child for child in redirect.children if child.field == "destination"]
        return [*found, *targets[1:]] if redirect.kind == "file_redirect" else found

    def _command(self, node: Node, extra: tuple[Node, ...]) -> None:
        words = [child for child in node.children if child.field in {"name", "argument"}]
        inner = [c for c in node.children if c.field == "redirect"]
        self._keep(node, [*words, *(e for one in inner for e in self._extra(one)), *extra])

    def _keep(self, node: Node, nodes: list[Node]) -> None:
        words = tuple(self._word(one) for one in sorted(nodes, key=lambda one: one.start))
        if words:
            self.commands.append((node.start, words))

    def _source(self, node: Node) -> str:
        return self.data[node.start : node.end].decode(errors="replace")

    def _word(self, node: Node) -> Word:
        source = self._source(node)
        try:
            word = scan(source)
        except NotRead as error:
            return Word(text=UNKNOWN, why=str(error))
        if word.end != len(source) and not word.nested:
            return Word(text=word.text + UNKNOWN, why="a word that two readers end differently")
        return word

    def _stream(self, node: Node) -> None:
        operator = next((c.kind for c in node.children if "<" in c.kind or ">" in c.kind), "")
        target = next((c for c in node.children if c.field == "destination"), None)
        if target is not None:
            self.streams.append(_stream(operator, self._word(target)))


def _normal(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """Take away the keyword `time`, which the two readers keep and bash does not run."""
    while words and words[0].bare and words[0].text == "time":
        words = words[1:]
        while words and words[0].bare and words[0].text in {"-p", "--"}:
            words = words[1:]
    return tuple(replace(word, end=0, bare=True) for word in words)


def _harmless(assignment: str) -> bool:
    return _HARMLESS.fullmatch(assignment) is not None


def _sets(assignment: str) -> str:
    name = re.split(r"[=+\[]", assignment, maxsplit=1)[0]
    return f"it sets {name}, which may change what programs do"


def _simple(words: tuple[Word, ...]) -> Simple:
    why = next((f"{word.why} is not known before it runs" for word in words if word.why), "")
    texts = tuple(word.text for word in words)
    return Simple(words=texts, why=why or why_never(texts))


def _stream(operator: str, word: Word) -> Stream:
    text = f"{operator} {_shown(word.text)}"
    if operator in {">&", "<&"} and re.fullmatch(r"\d*-?", word.text) and word.known:
        return Stream(path="/dev/null", writes=False, text=text)
    if operator == "<<<":
        return Stream(path="/dev/null" if word.known else None, writes=False, text=text)
    return Stream(path=word.text if word.known else None, writes=">" in operator, text=text)


def _shown(text: str) -> str:
    return text.replace(UNKNOWN, "...")


def _unfolded(line: Line) -> Line:
    """Add what the commands start; what is too deep or too much is a doubt."""
    commands, streams, doubts = list(line.commands), list(line.streams), list(line.doubts)
    depths = [0] * len(commands)
    at = 0
    while at < len(commands):
        if len(commands) > SHELL_COMMANDS_MAX:
            doubts.append(f"{len(commands)} commands, at most {SHELL_COMMANDS_MAX}")
            del commands[SHELL_COMMANDS_MAX:]
            break
        if depths[at] >= SHELL_NESTING_MAX:
            doubts.append(f"commands within commands more than {SHELL_NESTING_MAX} levels deep")
            break
        for inner in _started(commands, at):
            depths += [depths[at] + 1] * len(inner.commands)
            commands += [replace(one, starter=at) for one in inner.commands]
            streams += inner.streams
            doubts += inner.doubts
        at += 1
    words = sum(len(command.words) for command in commands)
    if words > SHELL_WORDS_MAX:
        doubts.append(f"{words} words, at most {SHELL_WORDS_MAX}")
    return Line(
        source=line.source, commands=tuple(commands), streams=tuple(streams),
        doubts=tuple(dict.fromkeys(doubts)),
    )  # fmt: skip


def _started(commands: list[Simple], at: int) -> Iterator[Line]:
    command = commands[at]
    for start in unfold(command.words):
        if start.transparent and (start.words or start.script is not None):
            commands[at] = replace(commands[at], transparent=True)
        if start.why and not start.words and start.script is None:
            commands[at] = replace(commands[at], why=commands[at].why or start.why)
        doubts = tuple(_sets(one) for one in start.assignments if not _harmless(one))
        within = command.words[0]
        if start.words:
            why = start.why or command.why or why_never(start.words)
            inner = Simple(words=start.words, why=why, within=within, literal=start.at + 1)
            yield Line(source="", commands=(inner,), doubts=doubts)
        elif start.script is not None and UNKNOWN not in start.script:
            line = _direct(start.script)
            if start.why:
                doubts = (*doubts, start.why)
            inners = tuple(
                replace(one, within=within, literal=len(command.words)) for one in line.commands
            )
            yield replace(line, commands=inners, doubts=(*line.doubts, *doubts))
