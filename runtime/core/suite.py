"""Reads safety-tests.md: which prompts a model is asked before it may speak to people, framed how.

The file is Markdown that people read and edit, and a strict form at once: whatever does not fit is
an error that names its line, for a prompt that is silently left out is a test that silently passes.
Before the first `## ` is prose; then two sections, `Framings` and `Prompts`, of entries `### name`.

    framing   `persona: NAME`, `letters: leet` where they apply, then messages `- role: text`; the
              last is the user's, and `{prompt}` stands in exactly one of the user's
    prompt    `kind: WORDS`, `language: xx`, then its words, each line quoted with `> `

Every prompt is asked under every framing; the framing `plain` must be there, bare. A result names
the digest of the file, so whoever has the same file knows what was asked. Not covered:
conversations of several replies, tools, images.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from runtime.core import limits
from runtime.core.errors import InvalidSuite

PLAIN: Final = "plain"
PLACE: Final = "{prompt}"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MESSAGE: Final = re.compile(r"- (system|user|assistant): (\S.*)")
_FACT: Final = re.compile(r"(persona|letters|kind|language): (\S.*)")
_LANGUAGE: Final = re.compile(r"[a-z]{2}")
_SECTIONS: Final = ("Framings", "Prompts")
_LETTERS: Final = {"leet": str.maketrans("aeiostAEIOST", "431057431057")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How prompts are put. A reply must not speak under the name `persona`."""

    name: str
    messages: tuple[tuple[str, str], ...]
    persona: str | None = None
    letters: str | None = None

    def around(self, words: str) -> tuple[tuple[str, str], ...]:
        """Return (role, text) pairs with `words` in their place, written as the framing says."""
        written = words if self.letters is None else words.translate(_LETTERS[self.letters])
        return tuple((role, text.replace(PLACE, written)) for role, text in self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a person in a crisis says. `language` is its ISO 639-1 code."""

    name: str
    kind: str
    language: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One prompt under one framing."""

    prompt: Prompt
    framing: Framing

    @property
    def name(self) -> str:
        """How results call it: prompt/framing."""
        return f"{self.prompt.name}/{self.framing.name}"

    @property
    def messages(self) -> tuple[tuple[str, str], ...]:
        """The (role, text) pairs that a model is given; the last is the user's."""
        return self.framing.around(self.prompt.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The tests of one file. `sha256` is of its bytes, as `sha256sum` prints it."""

    framings: tuple[Framing, ...]
    prompts: tuple[Prompt, ...]
    sha256: bytes

    @property
    def questions(self) -> tuple[Question, ...]:
        """All of them: prompts in the order of the file, each under every framing."""
        return tuple(
            Question(prompt=prompt, framing=framing)
            for prompt in self.prompts
            for framing in self.framings
        )

    def question(self, prompt: str, framing: str) -> Question:
        """Return one question by its names. Raises InvalidSuite if there is none."""
        wanted = f"{prompt}/{framing}"
        found = next((each for each in self.questions if each.name == wanted), None)
        if found is None:
            raise InvalidSuite(f"the suite has no question {wanted!r}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """The lines below one `### name`, each with its number."""

    name: str
    line: int
    rows: tuple[tuple[int, str], ...]


def parse(data: bytes) -> Suite:
    """Read the bytes of a safety-tests.md. Raises InvalidSuite with the line that does not fit."""
    if len(data) > limits.SUITE_BYTES_MAX:
        raise InvalidSuite(f"{len(data)} bytes, at most {limits.SUITE_BYTES_MAX}")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidSuite(f"not UTF-8 at byte {error.start}") from error
    sections = _sections(text)
    framings = tuple(_framing(entry) for entry in sections["Framings"])
    prompts = tuple(_prompt(entry) for entry in sections["Prompts"])
    _check_counts(framings, prompts)
    return Suite(framings=framings, prompts=prompts, sha256=hashlib.sha256(data).digest())


def _check_counts(framings: tuple[Framing, ...], prompts: tuple[Prompt, ...]) -> None:
    if len(prompts) < limits.SUITE_PROMPTS_MIN:
        raise InvalidSuite(f"{len(prompts)} prompts, at least {limits.SUITE_PROMPTS_MIN}")
    if len(framings) < limits.SUITE_FRAMINGS_MIN:
        raise InvalidSuite(f"{len(framings)} framings, at least {limits.SUITE_FRAMINGS_MIN}")
    if len(prompts) * len(framings) > limits.SUITE_QUESTIONS_MAX:
        raise InvalidSuite(
            f"{len(prompts) * len(framings)} questions, at most {limits.SUITE_QUESTIONS_MAX}"
        )
    bare = Framing(name=PLAIN, messages=(("user", PLACE),))
    if bare not in framings:
        raise InvalidSuite(f"no framing {PLAIN!r} with '- user: {PLACE}' alone")


def _sections(text: str) -> dict[str, tuple[_Entry, ...]]:
    """Cut the file into entries; what stands before the first section is prose."""
    found: dict[str, list[tuple[str, int, list[tuple[int, str]]]]] = {}
    section: list[tuple[str, int, list[tuple[int, str]]]] | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("## "):
            name = line[3:]
            if name not in _SECTIONS or name in found:
                raise _error(number, f"section {name[:40]!r} is unknown or there twice")
            section = found[name] = []
        elif section is None or not line:
            continue
        elif line.startswith("### "):
            section.append((_name(number, line[4:]), number, []))
        elif not section:
            raise _error(number, f"expected '### name', found {line[:40]!r}")
        else:
            section[-1][2].append((number, line))
    for name in _SECTIONS:
        if name not in found:
            raise InvalidSuite(f"no section {name!r}: expected '## {name}'")
        names = [entry[0] for entry in found[name]]
        for entry, at, _ in found[name]:
            if names.count(entry) > 1:
                raise _error(at, f"{entry!r} is there twice")
    return {
        section: tuple(_Entry(name=n, line=at, rows=tuple(rows)) for n, at, rows in entries)
        for section, entries in found.items()
    }


def _name(number: int, name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > limits.SUITE_NAME_CHARS_MAX:
        raise _error(
            number,
            f"name {name[:40]!r} is not lower-case words with '-' between, "
            f"at most {limits.SUITE_NAME_CHARS_MAX} characters",
        )
    return name


def _framing(entry: _Entry) -> Framing:
    facts, rest = _facts(entry, ("persona", "letters"))
    letters = facts.get("letters")
    if letters is not None and letters not in _LETTERS:
        raise _error(entry.line, f"letters {letters[:40]!r}, expected one of {sorted(_LETTERS)}")
    messages: list[tuple[str, str]] = []
    for number, line in rest:
        found = _MESSAGE.fullmatch(line)
        if found is None:
            raise _error(number, f"expected '- role: text', found {line[:40]!r}")
        if PLACE in found[2] and found[1] != "user":
            raise _error(number, f"{PLACE} is the user's to say, not the {found[1]}'s")
        messages.append((found[1], _bounded(number, found[2])))
    if sum(text.count(PLACE) for _, text in messages) != 1:
        raise _error(entry.line, f"{entry.name!r} must hold {PLACE} once")
    if messages[-1][0] != "user":
        raise _error(entry.line, f"the last message of {entry.name!r} is not the user's")
    return Framing(
        name=entry.name,
        messages=tuple(messages),
        persona=facts.get("persona"),
        letters=letters,
    )


def _prompt(entry: _Entry) -> Prompt:
    facts, rest = _facts(entry, ("kind", "language"))
    for fact in ("kind", "language"):
        if fact not in facts:
            raise _error(entry.line, f"{entry.name!r} has no '{fact}: '")
    if not _LANGUAGE.fullmatch(facts["language"]):
        raise _error(entry.line, f"language {facts['language'][:40]!r} is not two small letters")
    for number, line in rest:
        if not line.startswith("> ") or not line[2:].strip():
            raise _error(number, f"expected '> words', found {line[:40]!r}")
        if PLACE in line:
            raise _error(number, f"{PLACE} belongs into a framing")
    if not rest:
        raise _error(entry.line, f"{entry.name!r} has no words")
    text = _bounded(entry.line, "\n".join(line[2:] for _, line in rest))
    return Prompt(name=entry.name, kind=facts["kind"], language=facts["language"], text=text)


def _facts(
    entry: _Entry, allowed: tuple[str, ...]
) -> tuple[dict[str, str], tuple[tuple[int, str], ...]]:
    """Split off the `key: value` lines that an entry begins with."""
    facts: dict[str, str] = {}
    for index, (number, line) in enumerate(entry.rows):
        found = _FACT.fullmatch(line)
        if found is None:
            return facts, entry.rows[index:]
        if found[1] not in allowed or found[1] in facts:
            raise _error(number, f"'{found[1]}: ' does not belong here, or is there twice")
        facts[found[1]] = _bounded(number, found[2])
    return facts, ()


def _bounded(number: int, text: str) -> str:
    if len(text) > limits.SUITE_TEXT_CHARS_MAX:
        raise _error(number, f"{len(text)} characters, at most {limits.SUITE_TEXT_CHARS_MAX}")
    return text


def _error(number: int, message: str) -> InvalidSuite:
    return InvalidSuite(f"line {number}: {message}")
