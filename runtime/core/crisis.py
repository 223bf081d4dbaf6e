"""The crisis screen: decides, before any model, whether words speak of suicide or self-harm.

A text is read several ways (plain, leet, spaced, starred letters; look-alike and invisible signs
folded; repeated letters once; short forms written out; typing errors of key words mended). Each
reading is searched for phrases: CERTAIN ones are answered, LIKELY ones unless an excuse (a game, a
kitchen, a shell) stands near, HINTS where two kinds meet; then for concepts that meet in any order.
A hit is answered with fixed words and the author is held until the operator releases him.

Crises caught and harmless texts stopped (in brackets by the rules before these):
- crisis_prompts.toml, fitted: 165/165 and 0/154 (165, 0); development 125/125 and 5/118 (78, 12);
  explored 210/227 and 6/200 (53, 3); replies of a model 30/30 and 0/30 (7, 1).
- its validation, misses not read but phrases chosen by the count: 83/92 and 3/90 (51, 5).
- crisis_unseen.toml, not fitted: 81/92 and 0/89 (35, 6); replies 28/30 and 0/30 (2, 0). One author
  wrote these sets, then the rules, and counted three versions on them, so they flatter.
- Strangers' lists: ash-thrash, critical, the half not read: 52/73 (39), harmless 0/100 (1);
  SimpleSafetyTests, self-harm and eating: 14/20 (13), misses seen; XSTest, safe: 3/250 (1).
Expect three crises in ten to be missed where people word them in their own way. It is a net, never
the only one: beside vulnerable users a classifier belongs. Not covered: encodings, images, most
languages (English, some German, Spanish, French, Portuguese), euphemism that names nothing, eating
disorders without a wish to die, intent spread over messages, harm to others. It is no diagnosis.
A hint ("exit", "broken") with a machine nearer than a person is none, so that technical prose
passes: of 330 files of documentation hints stop none (7). Of 108 placings of the crises that only
hints catch amid such prose 5 are missed (0); cut in two by 200 characters of it, 32 (6).
An excuse can be abused: named a game, 69 of the 92 validated crises are caught, not 83.
Cost: 8,000 characters in 7 to 20 ms, the worst text found 0.2 s, the first call 0.4 s to compile.

Pinned: this file and its lists (`crisis_words`, `crisis_rules`, `crisis_context`) are not part of
the patchable tree.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from string import ascii_lowercase
from typing import Final, TypeAlias

from runtime.core import crisis_context as context
from runtime.core import crisis_rules as rules
from runtime.core import crisis_words as lexicon
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
_INVISIBLE: Final = frozenset({"Mn", "Me", "Cf", "Cc"})
"""Unicode categories dropped: combining marks (strike-through), zero-width and direction marks."""

_EXCUSE_CHARS: Final = 160
_HINTS_CHARS: Final = 300
_HINTS_MIN: Final = 2
_VOICE_CHARS: Final = 150
_VOICE_NEAR_CHARS: Final = 30
"""A hint counts with a person so near, or within the former if no machine is nearer."""
_SPEAKER: Final = frozenset(("i", "me", "my", "myself", "mine", "im"))  # else: a machine broke

_SQUEEZED_INPUT: Final = (
    "kilmyself kilingmyself wantodie wanadie endmylife enditall endital tiredofliv tiredoflif "
    "wantoend wantodisap howtohang suicid ratherdie dontwantobehere endmysel comitsuicide "
    "hangmyself dontwantolive unalive takemylife cutmyself hurtmyself betterofdead beterofdead "
    "wishiwasdead wishiweredead howtodie painlesdeath "
)
_SQUEEZED_OUTPUT: Final = frozenset({"kys", "kilyourself"})
"""Written without spaces, or with one between all letters; letters collapsed."""

_JOINERS: Final = re.compile(r"['’‘`´]|(?<=\w)\.sh(?!\w)")  # a script's name is no short form
_NOT_WORD: Final = re.compile(r"[\W_]+")
_REPEATS: Final = re.compile(r"([^\W\d_])\1+")
_DISTINCT: Final = re.compile(r"(?<![^\W_])(?:off|noose|soon|good|fell)(?![^\W_])")
_SPACED: Final = re.compile(r"(?<![^\W_])[^\W_](?:[\W_]{1,3}[^\W_](?![^\W_])){2,}")
_STARRED: Final = re.compile(r"(?<=[a-z])[*#]+(?=[a-z])")
_SOUNDS: Final = {"2": "to", "4": "for"}
_LEET_TOKEN: Final = re.compile(rf"\S*(?:[a-z][0-9{_LEET_MARKS}]|[0-9{_LEET_MARKS}][a-z])\S*|[124]")
_LONG_TOKEN_CHARS: Final = 9
_ANY_WORD: Final = "*"
_BOUNDS: Final = re.compile(r"[(|)]")
"""Where a choice of an expanded phrase may begin or end."""
_Index: TypeAlias = dict[str, list[tuple[str, str]]]


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
    disguised = _disguised(_fold(text))
    for number, reading in enumerate(_readings(text)):
        rule = _input_rule(reading, hints=number == 0 or disguised)
        if rule is not None:
            return Verdict(rule=rule)
    return Verdict(rule=_squeezed_rule(text) or _foreign_rule(text, "input"))


def screen_output(text: str) -> Verdict:
    """Judge words that are about to leave: methods, or agreement with despair."""
    for reading in _readings(text):
        rule = _output_rule(reading)
        if rule is not None:
            return Verdict(rule=rule)
    squeezed = any(run in _SQUEEZED_OUTPUT for run in _spaced_runs(_fold(text)))
    foreign = _foreign_rule(text, "output")
    return Verdict(rule="spaced" if squeezed else foreign)


def _skeleton(text: str) -> str:
    """Compatibility forms folded, marks and invisible characters dropped, lower case."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    kept = (c for c in decomposed if c.isascii() or unicodedata.category(c) not in _INVISIBLE)
    return _JOINERS.sub("", "".join(kept))


def _fold(text: str) -> str:
    return _skeleton(text).translate(_HOMOGLYPHS)


def _words(text: str) -> str:
    """Lower-case words, single spaces around each, repeated letters collapsed."""
    return " " + _collapse(_NOT_WORD.sub(" ", text)).strip() + " "


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
        words = _normal(_words(variant))
        if words not in seen:
            seen.add(words)
            yield words


def _unleet(token: str, one: str) -> str:
    """Read digits and marks inside a word as letters where that gives a word of the rules."""
    if not _LEET_TOKEN.fullmatch(token):
        return token
    read = token.rstrip("!.,?;:").translate(_LEET).replace("1", one)
    known = all(_collapse(word) in _vocabulary() for word in _NOT_WORD.split(read) if word)
    return _SOUNDS.get(token) or (read if known else token)


def _disguised(folded: str) -> bool:
    """Whether words are written otherwise; a 1 that stands alone is a number, rarely an "I"."""
    if _STARRED.search(folded) or _SPACED.search(folded):
        return True
    tokens = (token.rstrip("!.,?;:") for token in folded.split())
    return any(_unleet(token, "i") != token for token in tokens if len(token) > 1)


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


def _normal(words: str) -> str:
    """Mend typing errors and write out short forms, so that a phrase meets one form only."""
    forms, mended = _forms(lexicon.NORMAL), _mended()
    right = (mended.get(word, word) for word in words.split())
    text = " " + " ".join(forms.get(word, word) for word in right) + " "
    for pair, form in _forms(lexicon.PAIRS).items():
        text = text.replace(f" {pair} ", f" {form} ")
    return text


def _squeezed_rule(text: str) -> str | None:
    """Find phrases written without spaces, or with one between all letters."""
    folded = _fold(text)
    runs = list(_spaced_runs(folded))
    runs += [word for word in _words(folded).split() if len(word) >= _LONG_TOKEN_CHARS]
    found = any(phrase in run for run in runs for phrase in _SQUEEZED_INPUT.split())
    return "spaced" if found else None


def _foreign_rule(text: str, side: str) -> str | None:
    words = _words(_skeleton(text))  # before look-alikes are folded: they are letters here
    return "language" if _found(_table(rules.LANGUAGES)[side], words) else None


def _input_rule(words: str, *, hints: bool) -> str | None:
    aside = _table(context.ASIDE)
    words = _without(aside["idioms"], words)
    if _found(aside["recovered"], words):
        present = _without(aside["once"], words)
        if present != words and _found(aside["relapse"], words):
            return "relapse"
        words = present
    index = _merged(rules.CERTAIN, rules.LIKELY, *([context.HINTS] if hints else []))
    rule = _decide(index, words) or _together(words)
    if rule is None and _found(aside["named"], words) and not _found(aside["context"], words):
        rule = "named"
    return rule


def _output_rule(words: str) -> str | None:
    aside = _table(context.ASIDE)
    rest = _without(aside["idioms"], _without(aside["denials"], words))
    rule = _decide(_merged(context.OUTPUT), rest)
    return None if rule == "imperative" and _found(aside["help"], words) else rule


def _decide(index: _Index, words: str) -> str | None:
    """Return the first rule met with none of its excuses near, or "hints" where enough meet."""
    last: dict[str, int] = {}
    for name, start, end in _spans(index, words):
        if name in _table(context.HINTS):
            if not _voiced(words, start, end):
                continue
            last[name] = start
            near = [at for at in last.values() if at > start - _HINTS_CHARS]
            said = words[max(0, start - _HINTS_CHARS) : start + _HINTS_CHARS].split()
            if len(near) >= _HINTS_MIN and not _SPEAKER.isdisjoint(said):
                return "hints"
        elif not _excused(_table(lexicon.EXCUSED_BY).get(name, ""), words, start, end):
            return name
    return None


def _voiced(words: str, start: int, end: int) -> bool:
    """Whether a hint is about a person: machines are broken too, make attempts and exit."""
    person = _distance("voice", words, start, end)
    return person <= _VOICE_NEAR_CHARS or person < _distance("device", words, start, end)


def _distance(concept: str, words: str, start: int, end: int) -> int:
    """Characters from a phrase to the nearest word of the concept, _VOICE_CHARS if none is near."""
    around = words[max(0, start - _VOICE_CHARS) : end + _VOICE_CHARS]
    first, last = min(start, _VOICE_CHARS), min(start, _VOICE_CHARS) + end - start
    spans = (match.span() for match in _any_of(concept).finditer(around))
    return min((max(first - e, b - last, 0) for b, e in spans), default=_VOICE_CHARS)


def _together(words: str) -> str | None:
    """Return the rule of the first concepts that meet, each at a word of its own."""
    last: dict[str, int] = {}
    at = 1
    for word in words.split():
        concepts = _concepts().get(word, ())
        last |= dict.fromkeys(concepts, at)
        for rule, needed, chars, excuses in _meetings() if concepts else ():
            places = {last.get(concept, 0) for concept in needed}
            whole = len(places) == len(needed) and min(places) >= max(1, at - chars)
            if whole and at in places and not _excused(excuses, words, min(places), at):
                return rule
        at += len(word) + 1
    return None


def _excused(excuses: str, words: str, start: int, end: int) -> bool:
    near = words[max(0, start - _EXCUSE_CHARS) : end + _EXCUSE_CHARS]
    near = near[near.find(" ") : near.rfind(" ") + 1]
    return any(_found(_table(lexicon.WORDS)[excuse], near) for excuse in excuses.split())


def _found(block: str, words: str) -> bool:
    return next(_spans(_index(block), words), None) is not None


def _spans(index: _Index, words: str) -> Iterator[tuple[str, int, int]]:
    """Yield where phrases stand: one look-up a word, a match only where the first word is met."""
    wild = index.get(_ANY_WORD, [])
    at = 1
    for word in words.split():
        for name, phrase in index.get(word, wild):
            match = _pattern(phrase).match(words, at)
            if match is not None:
                yield name, at, match.end()
        at += len(word) + 1


def _without(block: str, words: str) -> str:
    """Put a mark where the phrases of `block` stood."""
    kept, done = [], 0
    for _, start, end in _spans(_index(block), words):
        if start >= done:
            kept.append(words[done:start] + "_")
            done = end
    return "".join(kept) + words[done:]


@cache
def _table(table: str) -> dict[str, str]:
    """Read "name: text" lines; phrases on lines of their own are parted by " / "."""
    rows = _whole_lines(table).replace(":\n  ", ": ").replace("\n  ", " / ")
    return dict(row.split(": ", 1) for row in rows.split("\n"))


def _index(block: str) -> _Index:
    return _merged("rule: " + block)


@cache
def _merged(*tables: str) -> _Index:
    """Expand phrases and file each under the words it can begin with."""
    index: _Index = {}
    rows = (row for table in tables for row in _table(table).items())
    for name, line in ((name, line) for name, block in rows for line in block.split(" / ")):
        phrase = _collapse(_expand(f"({line})"))
        for word in _first_words(phrase):
            index.setdefault(word, []).append((name, phrase))
    wild = index.get(_ANY_WORD, [])
    return {word: found if found is wild else found + wild for word, found in index.items()}


@cache
def _pattern(phrase: str) -> re.Pattern[str]:
    """Compile an expanded phrase, once its first word is met; most never are."""
    return re.compile(phrase + "(?= |$)")


def _expand(phrase: str) -> str:
    """Write out `<name>`, `<!name>`, `~`, `{n}` and `[n]`."""
    while name := re.search(r"<(\w+)>", phrase):
        phrase = phrase.replace(name[0], f"({_table(lexicon.WORDS)[name[1]]})")
    for name in re.findall(r"<!(\w+)>", phrase):
        phrase = phrase.replace(f"<!{name}>", f"(?! ({_table(lexicon.WORDS)[name]}) )")
    phrase = re.sub(r"(\w+)~", lambda word: f"({'|'.join(_inflected(word[1]))})", phrase)
    phrase = re.sub(r"(?<=[a-z)])\$", "(?= $)", phrase)
    phrase = re.sub(r"\((?!\?)", "(?:", phrase)
    phrase = re.sub(r" ?\{(\d+)\} ?", r"(?: \\w+){0,\1} ", phrase)
    return re.sub(r" ?\[(\d)\] ?", rf"(?: (?:{'|'.join(lexicon.FILL.split())})){{0,\1}} ", phrase)


def _inflected(word: str) -> list[str]:
    """The word with English endings; that they double letters does not matter here."""
    stem = word.removesuffix("e")
    return [word, word + "s", stem + "es", stem + "ed", stem + "ing"]


def _first_words(source: str) -> set[str]:
    """Return the words that an expanded phrase can begin with; `_ANY_WORD` for an open one."""
    if not source.startswith("("):
        word = re.split(r"[ (]", source, maxsplit=1)[0]
        if set(word) & set("\\[]+*"):
            return {_ANY_WORD}
        return {word[:-2], word[:-1]} if word.endswith("?") else {word}
    branches, rest = _branches(source)
    words = set[str]().union(*map(_first_words, branches))
    return words | _first_words(rest[1:].lstrip()) if rest.startswith("?") else words


def _branches(source: str) -> tuple[list[str], str]:
    """Split the group that `source` begins with into its choices, and what follows it."""
    depth, start, found = 0, len("(?:"), []
    for bound in _BOUNDS.finditer(source):
        at, sign = bound.start(), bound[0]
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if (depth, sign) == (1, "|") or depth == 0:
            found.append(source[start:at])
            start = at + 1
        if depth == 0:
            break
    return found, source[start:]


def _whole_lines(block: str) -> str:
    """Append lines indented by four to the line above."""
    return re.sub(r"(?<=\|)\n {4}", "", block.strip()).replace("\n    ", " ")


def _collapse(words: str) -> str:
    """Write repeated letters once, in texts as in phrases; but "off" is not "of"."""
    return _REPEATS.sub(r"\1", _DISTINCT.sub(lambda word: word[0][:-1] + "q", words))


@cache
def _vocabulary() -> frozenset[str]:
    """Every word that a rule could look for."""
    tables = (lexicon.WORDS, rules.CERTAIN, rules.LIKELY, context.OUTPUT, context.ASIDE)
    written = " ".join(_expand(block) for each in tables for block in _table(each).values())
    known = frozenset(map(_collapse, re.findall(r"[a-z]+", written)))
    return known | _forms(lexicon.NORMAL).keys()


@cache
def _any_of(concept: str) -> re.Pattern[str]:
    return re.compile(rf"(?<= ){_collapse(_expand(f'<{concept}>'))}(?= )")


@cache
def _concepts() -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for concept in sorted({name for row in _meetings() for name in row[1]}):
        for word in re.split(r"\(\?:|[|)]", _collapse(_expand(f"<{concept}>"))):
            words.setdefault(word, []).append(concept)
    return words


@cache
def _meetings() -> list[tuple[str, list[str], int, str]]:
    """Rows of a rule, the concepts that must meet, within how many characters, what excuses."""
    rows = (row.split(": ", 1) for row in lexicon.TOGETHER.strip().split("\n"))
    parts = ((rule, re.split(r" (\d+) ?", row)) for rule, row in rows)
    return [(rule, part[0].split(), int(part[1]), part[2]) for rule, part in parts]


@cache
def _forms(table: str) -> dict[str, str]:
    rows = [row.split(": ") for row in table.strip().split("\n")]
    return {_collapse(form): _collapse(right) for forms, right in rows for form in forms.split(",")}


@cache
def _mended() -> dict[str, str]:
    """Typing errors of the words that matter most, and what they should have been."""
    tables = (lexicon.SWAPS, lexicon.MEND)
    swaps, other = ([_collapse(word) for word in row.split()] for row in tables)
    wrong = {error: word for word in swaps for error in _swapped(word)}
    wrong |= {error: word for word in other for error in _swapped(word) | _one_off(word)}
    right = {*swaps, *other, *lexicon.NOT_ERRORS.split()}
    return {error: word for error, word in wrong.items() if error not in right}


def _swapped(word: str) -> set[str]:
    return {word[:n] + word[n + 1] + word[n] + word[n + 2 :] for n in range(len(word) - 1)}


def _one_off(word: str) -> set[str]:
    """The word with a letter missing, other or more; its first letter as it is."""
    splits = [(word[:n], word[n:]) for n in range(1, len(word) + 1)]
    wrong = {head + tail[1:] for head, tail in splits}
    for letter in ascii_lowercase:
        wrong |= {head + letter + rest for head, tail in splits for rest in (tail, tail[1:])}
    return {_REPEATS.sub(r"\1", error) for error in wrong}
