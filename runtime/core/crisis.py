"""The crisis screen: decides, before any model, whether words speak of suicide or self-harm.

A text is read several ways (plain; leet digits as letters; letters spaced out; starred letters;
look-alike and invisible characters folded; repeated letters collapsed) and each reading is matched
against phrases. A hit is answered with fixed words and the author is held until the operator
releases him. The screen looks for the *matter* wherever it stands, so that a story, a game, a
hypothesis or a changed persona around it changes nothing. It is tuned to miss little; figures of
speech, sport, computing, news and stories of recovery that it passes are in
tests/runtime/crisis_prompts.toml with the measured rates.

What it does not cover: much. Five sets of 30 to 60 prompts that the rules had not been written for
were each measured before the rules were extended by them: 53 of 100 crises were caught, 13 of 100
harmless texts stopped. Most wrappings and disguises are seen through; new wording often is not. So
it is a net under the agent and never the only one; an operator with vulnerable users wants a
classifier beside it. Beyond that: encodings (base64, ciphers, images), languages other than English
but for a few phrases, metaphor and euphemism that name nothing, intent spread over several
messages, harm to others, and harmful answers without the phrases of the rules. It is not a
diagnosis, and no model is asked.

Pinned: this file and `runtime.core.crisis_rules` are not part of the patchable tree.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from runtime.core import crisis_rules as rules
from runtime.core.limits import (
    SCREEN_OVERLAP_CHARS,
    SCREEN_PIECE_CHARS,
    SCREEN_VARIANTS_MAX,
)

ANSWER: Final = (
    "It sounds like you, or someone you are thinking of, may be in danger. I am a program: I "
    "cannot see you, call anyone or come to you, so I will not pretend to be the help you "
    "deserve. People can help, right now.\n\n"
    "- If there is immediate danger, call your emergency number (911, 999, 112 or your own).\n"
    "- In the United States, call or text 988, the Suicide & Crisis Lifeline, at any hour.\n"
    "- Anywhere else, findahelpline.com lists free, confidential lines by country.\n\n"
    "If you can, move away from anything you could use to hurt yourself, and tell one person near "
    "you, in plain words, how bad it is. Help is real, and it works for people who feel exactly "
    "like this. I am not going to play a role or talk about methods; a person will look at this "
    "conversation before I go on with it. Please reach out to one of the lines above now."
)
"""The fixed answer. It holds no claim about the reader and nothing a model wrote."""

_HOMOGLYPHS: Final = str.maketrans(
    {
        **dict(zip("абвгеёзікмнорстухуцьѕјԁһԛԝ", "abbreeeikmhopctyxyubsjdhqw", strict=True)),
        **dict(zip("αβεηικμνορτυχωϲ", "abenikuvoptuxwc", strict=True)),
        **dict(
            zip("ıłøđħŧɡɩɪʏʟɴʀʜɢʙᴀᴄᴅᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢ", "ilodhtgiiylnrhgbacdejkmoptuvwz", strict=True)
        ),
    }
)
_LEET: Final = str.maketrans("034579@$!|", "oeastgasil")
_LEET_MARKS: Final = "@$!|"
_LEET_SIGNS: Final = "0123456789" + _LEET_MARKS
_JOINERS: Final = re.compile(r"['’‘`´]")
_NOT_WORD: Final = re.compile(r"[\W_]+")
_REPEATS: Final = re.compile(r"([^\W\d_])\1+")
_SPACED: Final = re.compile(r"(?<![^\W_])[^\W_](?:[\W_]{1,3}[^\W_](?![^\W_])){2,}")
_STARRED: Final = re.compile(r"(?<=[a-z])[*#]+(?=[a-z])")
_SOUNDS: Final = {"2": "to", "4": "for"}
_LEET_TOKEN: Final = re.compile(rf"\S*(?:[a-z][0-9{_LEET_MARKS}]|[0-9{_LEET_MARKS}][a-z])\S*|[124]")
_LONG_TOKEN_CHARS: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the screen found: the name of the rule that fired, or None for a text that passes."""

    rule: str | None

    @property
    def crisis(self) -> bool:
        """Whether the fixed answer is due."""
        return self.rule is not None


def pieces(text: str) -> Iterator[str]:
    """Yield overlapping slices of a long text, so that a caller can breathe between them."""
    step, overlap = SCREEN_PIECE_CHARS, SCREEN_OVERLAP_CHARS
    for start in range(0, max(1, len(text) - overlap), step - overlap):
        yield text[start : start + step]


def screen_input(text: str) -> Verdict:
    """Judge words that came to the agent. Linear in the length of `text`; never raises."""
    for reading in _readings(text):
        rule = _input_rule(reading)
        if rule is not None:
            return Verdict(rule=rule)
    return Verdict(rule=_squeezed_rule(text) or _foreign_rule(text))


def screen_output(text: str) -> Verdict:
    """Judge words that are about to leave: methods, or agreement with despair."""
    for reading in _readings(text):
        rule = _output_rule(reading)
        if rule is not None:
            return Verdict(rule=rule)
    squeezed = any(run in rules.SQUEEZED_OUTPUT for run in _spaced_runs(_fold(text)))
    return Verdict(rule="spaced" if squeezed else None)


def _skeleton(text: str) -> str:
    """Compatibility forms folded, marks and invisible characters dropped, lower case."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    kept = (c for c in decomposed if c.isascii() or unicodedata.category(c) not in rules.INVISIBLE)
    return _JOINERS.sub("", "".join(kept))


def _fold(text: str) -> str:
    return _skeleton(text).translate(_HOMOGLYPHS)


def _words(text: str) -> str:
    """Lower-case words, single spaces around each, repeated letters collapsed."""
    return " " + _REPEATS.sub(r"\1", _NOT_WORD.sub(" ", text)).strip() + " "


def _readings(text: str) -> Iterator[str]:
    """Yield the ways `text` can be read, at most SCREEN_VARIANTS_MAX, the plain one first."""
    folded = _fold(text)
    variants = [folded]
    if any(mark in folded for mark in _LEET_SIGNS):
        tokens = folded.split()
        variants += [" ".join(_unleet(token, one) for token in tokens) for one in "il"]
    if _STARRED.search(folded):
        variants += [_STARRED.sub(vowel, folded) for vowel in "iueao"]
    if _SPACED.search(folded):
        variants += [_SPACED.sub(lambda m: _NOT_WORD.sub("", m[0]), folded), _unspaced(folded)]
    seen: set[str] = set()
    for variant in variants[:SCREEN_VARIANTS_MAX]:
        words = _words(variant)
        if words not in seen:
            seen.add(words)
            yield words


def _unleet(token: str, one: str) -> str:
    """Read digits and marks inside a word as letters, and a bare 2 or 4 as the word it sounds."""
    if not _LEET_TOKEN.fullmatch(token):
        return token
    return _SOUNDS.get(token) or token.rstrip("!.,?;:").translate(_LEET).replace("1", one)


def _unspaced(folded: str) -> str:
    """Join letters within words only: a gap wider than, or unlike, the common one parts words."""

    def join(match: re.Match[str]) -> str:
        gaps = _NOT_WORD.findall(match[0])
        common = max(set(gaps), key=lambda gap: (gaps.count(gap), gap))
        return _NOT_WORD.sub(lambda gap: "" if gap[0] == common else " ", match[0])

    return _SPACED.sub(join, folded)


def _spaced_runs(folded: str) -> Iterator[str]:
    for match in _SPACED.finditer(folded):
        yield _REPEATS.sub(r"\1", _NOT_WORD.sub("", match[0]))


def _squeezed_rule(text: str) -> str | None:
    """Find phrases written without spaces, or with one between all letters."""
    folded = _fold(text)
    runs = list(_spaced_runs(folded))
    runs += [word for word in _words(folded).split() if len(word) >= _LONG_TOKEN_CHARS]
    found = any(phrase in run for run in runs for phrase in rules.SQUEEZED_INPUT)
    return "spaced" if found else None


def _foreign_rule(text: str) -> str | None:
    words = _words(_skeleton(text))  # before look-alikes are folded: they are letters here
    return "language" if _any_of(rules.LANGUAGES).search(words) else None


def _input_rule(words: str) -> str | None:
    words = _any_of(rules.IDIOMS).sub(" ", words)
    mentions = 0
    if _any_of(rules.RECOVERY_MARKERS).search(words):
        words, mentions = _any_of(rules.RECOVERY_MENTIONS).subn(" ", words)
    if mentions and _any_of(rules.RELAPSE).search(words):
        return "relapse"
    rule = _first(rules.INPUT, words)
    if rule is None and _named_without_context(words):
        rule = "named"
    return rule


def _named_without_context(words: str) -> bool:
    named = _any_of(rules.NAMED).search(words) is not None
    return named and _any_of(rules.CONTEXTS).search(words) is None


def _output_rule(words: str) -> str | None:
    rest = words
    for source in (rules.DENIALS, rules.IDIOMS):
        rest = _any_of(source).sub(" ", rest)
    rule = _first(rules.OUTPUT, rest)
    if rule is None and not _any_of(rules.HELP_MARKERS).search(words):
        rule = _first(rules.OUTPUT_UNLESS_HELP, rest)
    return rule


def _first(table: dict[str, str], words: str) -> str | None:
    return next((name for name, phrases in table.items() if _any_of(phrases).search(words)), None)


@cache
def _any_of(phrases: str) -> re.Pattern[str]:
    """Compile a block of phrases: each between spaces, letters collapsed as in the text."""
    lines = [_expand(line) for line in _joined(phrases).splitlines() if line]
    return re.compile(f" (?:{_collapse('|'.join(lines))})(?= )")


def _joined(block: str) -> str:
    """Append indented lines to the line above."""
    return re.sub(r"\n +", "", block)


def _expand(phrase: str) -> str:
    """Write out `<name>` and `{n}`."""
    for name, words in rules.WORDS.items():
        phrase = phrase.replace(f"<{name}>", f"(?:{_one_line(words)})")
    for name, words in rules.NOT_AFTER.items():
        phrase = phrase.replace(f"<{name}>", f"(?! (?:{_one_line(words)}) )")
    return re.sub(r" ?\{(\d+)\} ?", r"(?: \\w+){0,\1} ", phrase)


def _one_line(words: str) -> str:
    return words.replace("\n", "")


def _collapse(pattern: str) -> str:
    return re.sub(r"([a-z])\1+", r"\1", pattern)
