"""Hybrid recall: stems, forms, misspellings, names, days and freshness, joined by rank.

Lists come from `ledger.evidence`, as of the position asked for; `runtime.core.question` reads the
question and `runtime.core.ranking` joins. Deterministic: the same ledger, question and position
give the same events, whatever was said since. Words alone decide what is a candidate (or a day, if
the question is about nothing else); the other lists only change the order.

Not covered: meaning. A paraphrase that shares no word, stem or likeness with what was said is not
found; docs/MEMORY.md has the numbers.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ledger.evidence import FREQUENCY_MAX, Evidence, open_evidence
from runtime.core.lexicon import ALIKE, FORMS
from runtime.core.question import Question, fold, read_question
from runtime.core.ranking import MILLI, distance, fuse, ordered, telling

CANDIDATES_MAX: Final = 200
"""Whose words are looked at: more would not come among the first twenty."""
_PREFIX_CHARS_MIN: Final = 4
_EDIT_CHARS_MIN: Final = 4
_EDITS_2_CHARS_MIN: Final = 7
"""Two slips in a shorter word make another word."""
_COMPOUND_CHARS_MIN: Final = 8
_LENGTH_WORDS: Final = 48
"""A text of so many words has its telling words counted at half: most remarks are shorter."""
_DAY_WINDOW: Final = 400
"""Events of the days asked for; a month has more only in a busy house."""

_ENOUGH: Final = 5_000
"""Events that have a term: more shapes of it would tell nothing apart."""

_SMALL: Final = 2_000
"""Events; in a larger ledger a word that half of them have is left out, if there are others."""

_EXACT: Final = 1000
_FORM: Final = 900
_PREFIX: Final = 800
_EDITED: Final = 700
_ALIKE_WEIGHT: Final = 500
_WEIGHTS: Final = {
    "words": 10,
    "pairs": 3,
    "names": 4,
    "days": 12,
    "answer": 2,
    "statement": 4,
    "fresh": 1,
}
_SHARE_MIN: Final = 250
"""Thousandths of what the question tells that an event must have to be found at all."""
_DIGITS: Final = re.compile(r"\d")
_CLOCK: Final = re.compile(
    r"\d|\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b"
    r"|\b(?:january|february|march|april|may|june|july|august|september|october|november|december)\b",
    re.IGNORECASE,
)
_NAME: Final = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+|(?:Mr|Ms|Mrs|Dr|Frau|Herr)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where a moment is in the log: `at(ms)` is the first position not before it."""

    times: Callable[[int], int]
    """Unix milliseconds of the event at a position; they never go back."""
    size: int

    def at(self, ms: int) -> int:
        """First position at or after `ms`."""
        return bisect_left(range(self.size), ms, key=self.times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question read, and the positions of the days it names: all that needs the log itself."""

    question: Question
    before: int
    days: tuple[range, ...]


def ask(query: str, *, before: int, clock: Clock) -> Asked:
    """Read a question that is asked at position `before`; what the days are depends on when."""
    moment = max(0, min(before, clock.size) - 1)
    question = read_question(query, clock.times(moment))
    days = []
    for first_ms, end_ms in question.days:
        stop = min(clock.at(end_ms), before)
        days.append(range(max(clock.at(first_ms), stop - _DAY_WINDOW), stop))
    return Asked(question=question, before=before, days=tuple(days))


@dataclass(slots=True)
class _Found:
    """Scores by position, a list each."""

    words: dict[int, int] = field(default_factory=dict)
    names: dict[int, int] = field(default_factory=dict)
    pairs: dict[int, int] = field(default_factory=dict)
    whole: int = 0


def hybrid(path: Path, asked: Asked, *, limit: int, likenesses: bool = True) -> list[int]:
    """Return at most `limit` positions, best first. For a thread: it reads the views alone.

    Raises StoreDamaged, StoreError.
    """
    days = {position: 1 for span in asked.days for position in span}
    with open_evidence(path) as evidence:
        found = _by_words(evidence, asked.question, asked.before, likenesses)
        texts = evidence.texts(_candidates(found, days, asked.question))
    return ordered(_joined(found, days, asked.question, texts))[:limit]


def _by_words(evidence: Evidence, question: Question, before: int, likenesses: bool) -> _Found:  # noqa: FBT001 - passed on
    found, total = _Found(), evidence.count(before=before)
    often = {}
    if total > _SMALL:
        often = {term: evidence.frequency(term, before=before) for term in question.terms}
    most = min(total // 2, FREQUENCY_MAX - 1)
    rare = [term for term in question.terms if often.get(term, 0) <= most] or question.terms
    for term in rare:
        weights = _term(evidence, term, before, likenesses)
        worth = telling(max(len(weights), often.get(term, 0)), total)
        found.whole += worth
        for position, weight in weights.items():
            score = worth * weight // MILLI
            found.words[position] = found.words.get(position, 0) + score
            if term in question.names:
                found.names[position] = found.names.get(position, 0) + score
    for pair in question.pairs:
        if not set(pair) <= set(rare):
            continue
        having = evidence.having(pair, before=before)
        for position in having:
            worth = telling(len(having), total)
            found.pairs[position] = found.pairs.get(position, 0) + worth
    return found


def _term(evidence: Evidence, term: str, before: int, likenesses: bool) -> dict[int, int]:  # noqa: FBT001 - passed on
    """Events that have the term in one of its shapes, with the weight of the best of them."""
    shapes = [(_EXACT, (term,), False)]
    shapes += [(_FORM, (form,), False) for form in FORMS.get(term, ())]
    if len(term) >= _PREFIX_CHARS_MIN:
        shapes.append((_PREFIX, (term,), True))
    found = _shaped(evidence, shapes, before)
    if not found and len(term) >= _EDIT_CHARS_MIN:
        found = _misspelt(evidence, term, before)
    if likenesses:
        alike = [(_ALIKE_WEIGHT, (other,), False) for other in ALIKE.get(term, ())]
        found = _shaped(evidence, alike, before) | found
    return found


def _shaped(
    evidence: Evidence, shapes: Sequence[tuple[int, tuple[str, ...], bool]], before: int
) -> dict[int, int]:
    found: dict[int, int] = {}
    for weight, words, prefix in shapes:
        if len(found) >= _ENOUGH:
            break
        for position in evidence.having(words, before=before, prefix=prefix):
            found.setdefault(position, weight)
    return found


def _misspelt(evidence: Evidence, term: str, before: int) -> dict[int, int]:
    """Events with the words that differ by a slip or two, or that the term is put together from."""
    most = 2 if len(term) >= _EDITS_2_CHARS_MIN else 1
    known = evidence.alike(term[0], len(term) - most, len(term) + most)
    letters = set(term)
    likely = [
        (plain, word)
        for word in known
        if len(letters.symmetric_difference(plain := fold(word))) <= 2 * most
    ]  # an edit takes a letter and brings one: telling so costs far less than counting edits
    near = [(distance(term, plain, most), word) for plain, word in likely]
    for edits in range(1, most + 1):
        words = sorted(word for found, word in near if found == edits)
        found = _shaped(evidence, [(_EDITED, (word,), False) for word in words], before)
        if found:
            return found
    if len(term) < _COMPOUND_CHARS_MIN:
        return {}
    parts = [(term[:cut], term[cut:]) for cut in range(3, len(term) - 2)]
    return _shaped(evidence, [(_EDITED, pair, False) for pair in parts], before)


def _candidates(found: _Found, days: dict[int, int], question: Question) -> list[int]:
    least = found.whole * _SHARE_MIN // MILLI
    kept = {position: score for position, score in found.words.items() if score >= least}
    if days:
        kept = {at: score * 2 if at in days else score for at, score in kept.items()}
        if len(question.terms) <= 1 or not days.keys() & kept.keys():
            kept |= {at: found.words.get(at, 0) + 1 for at in days if at not in kept}
    return ordered(kept)[:CANDIDATES_MAX]


def _joined(
    found: _Found, days: dict[int, int], question: Question, texts: dict[int, str]
) -> dict[int, int]:
    """Scores of the candidates, every list joined."""
    words = {}
    for position, text in texts.items():
        length = len(text.split())
        words[position] = found.words.get(position, 0) * MILLI // (_LENGTH_WORDS + length)
    lists = {
        "words": words,
        "pairs": {at: found.pairs[at] for at in texts if at in found.pairs},
        "names": {at: found.names[at] for at in texts if at in found.names},
        "days": {at: days[at] for at in texts if at in days},
        "answer": {at: 1 for at, text in texts.items() if _answers(question, text)},
        "statement": {at: 1 for at, text in texts.items() if not text.rstrip().endswith("?")},
        "fresh": {at: at for at in texts},
    }
    return fuse((_WEIGHTS[name], scores) for name, scores in lists.items())


def _answers(question: Question, text: str) -> bool:
    """Whether the text has what the question asks for: a number, a time, a name."""
    return (
        (question.measure and bool(_DIGITS.search(text)))
        or (question.time and bool(_CLOCK.search(text)))
        or (question.person and bool(_NAME.search(text)))
    )
