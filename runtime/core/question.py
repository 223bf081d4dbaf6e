"""What a question asks for, read from its words: terms, names, numbers, days, the kind of answer.

Pure and deterministic: days are read against the moment the question was asked, in UTC. Not
covered: days in words other than English, and time zones; who asks "yesterday" at midnight may get
the day before.
"""

import calendar
import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from runtime.core.lexicon import SILENT

TERMS_MAX: Final = 24
"""Each costs a walk over its events; a question is clear by then."""
CHARS_MAX: Final = 1_000
_DAY_S: Final = 86_400
_DAY_MS: Final = 1_000 * _DAY_S
_YEAR_MIN: Final = 1970
_YEAR_MAX: Final = 2100
"""Nobody spoke to an agent before, and no plan of a node reaches beyond."""
_NAME_WORDS_MAX: Final = 2
"""A sentence begins large whatever its first word is; "Dr. Amsel" is none."""
_WORD: Final = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
_PART: Final = re.compile(r"[^\W_]+")
_MONTH_NAMES: Final = """
january february march april may june july august september october november december
"""
_MONTHS: Final = _MONTH_NAMES.split()
_DAY_MONTH: Final = re.compile(
    rf"\b(?:(?P<part>early|mid|end of|the end of)\s+)?"
    rf"(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)?\s+)?"
    rf"(?P<month>{'|'.join(_MONTHS)})(?:\s+(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?\b(?!\d))?"
    rf"(?:,?\s+(?P<year>\d{{4}}))?",
    re.IGNORECASE,
)
_ISO: Final = re.compile(r"\b(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})\b")
_NEAR: Final = {"today": 0, "yesterday": 1}
_SPANS: Final = {"last week": 7, "past week": 7, "last month": 31, "past month": 31}
_MEASURE: Final = re.compile(
    r"\b(how (?:much|many|long|often|wide|high|far|old|big)|price|cost|number|weight|temperature"
    r"|quote|code|until when|address|size)\b",
    re.IGNORECASE,
)
_TIME: Final = re.compile(r"\b(when|which day|what day|until|what time|date)\b", re.IGNORECASE)
_PERSON: Final = re.compile(r"\b(who|whom|whose)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`terms` are folded words in order; `days` are half-open ranges of Unix milliseconds."""

    terms: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    """Terms that stand side by side."""
    names: frozenset[str]
    """Terms that are names or numbers: written large within the question, or with a digit."""
    days: tuple[tuple[int, int], ...]
    measure: bool
    time: bool
    person: bool


def fold(text: str) -> str:
    """Return a word without case and accents, as the index has it."""
    plain = unicodedata.normalize("NFKD", text)
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold()


def read_question(text: str, now_ms: int) -> Question:
    """Read `text`, asked at `now_ms`."""
    text = text[:CHARS_MAX]
    days, rest = _days(text, now_ms // _DAY_MS)
    words = [word for match in _WORD.finditer(rest) for word in _PART.findall(match[0])]
    folded = [(fold(word), word) for word in words]
    telling = [(term, word) for term, word in folded if term not in SILENT] or folded
    terms = tuple(dict.fromkeys(term for term, _ in telling))[:TERMS_MAX]
    first = folded[0][0] if folded else ""
    opening = {first} if len(rest.split()) > _NAME_WORDS_MAX else set()
    names = frozenset(
        term
        for term, word in telling
        if any(c.isdigit() for c in term) or (word[:1].isupper() and term not in opening)
    )
    pairs = tuple(
        (one, two) for (one, _), (two, _) in pairwise(folded) if one in terms and two in terms
    )
    return Question(
        terms=terms,
        pairs=pairs,
        names=names,
        days=days,
        measure=bool(_MEASURE.search(text)),
        time=bool(_TIME.search(text)),
        person=bool(_PERSON.search(text)),
    )


def _days(text: str, today: int) -> tuple[tuple[tuple[int, int], ...], str]:
    """Return the days named, and the text without their names. Days are counted from 1970."""
    found: list[tuple[int, int]] = []
    for word, ago in _NEAR.items():
        if re.search(rf"\b{word}\b", text, re.IGNORECASE):
            found.append(_range(today - ago, today - ago))
            text = re.sub(rf"\b{word}\b", " ", text, flags=re.IGNORECASE)
    for words, count in _SPANS.items():
        if re.search(rf"\b{words}\b", text, re.IGNORECASE):
            found.append(_range(today - count, today))
            text = re.sub(rf"\b{words}\b", " ", text, flags=re.IGNORECASE)
    for pattern, read in ((_ISO, _iso), (_DAY_MONTH, _spoken)):
        for match in list(pattern.finditer(text)):
            days = read(match, today)
            if days is not None:
                found.append(_range(*days))
                text = text.replace(match[0], " ", 1)
    return tuple(found), text


def _range(first: int, last: int) -> tuple[int, int]:
    return first * _DAY_MS, (last + 1) * _DAY_MS


def _day(year: int, month: int, day: int) -> int | None:
    """Return a date as days from 1970; None for one that is not in the calendar."""
    if not (_YEAR_MIN <= year <= _YEAR_MAX and 1 <= month <= len(_MONTHS)):
        return None
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    return calendar.timegm((year, month, day, 0, 0, 0)) // _DAY_S


def _month_of(day: int) -> tuple[int, int]:
    """Return year and month of a day counted from 1970."""
    year = 1970 + day // 366
    while _first(year + 1, 1) <= day:
        year += 1
    month = next(m for m in range(12, 0, -1) if _first(year, m) <= day)
    return year, month


def _first(year: int, month: int) -> int:
    return calendar.timegm((year, month, 1, 0, 0, 0)) // _DAY_S


def _iso(match: re.Match[str], _today: int) -> tuple[int, int] | None:
    day = _day(int(match["year"]), int(match["month"]), int(match["day"]))
    return None if day is None else (day, day)


def _spoken(match: re.Match[str], today: int) -> tuple[int, int] | None:
    """A month, or a day of one; without a year the last one that was. "may" alone is a verb."""
    number = match["day"] or match["day2"]
    if match["month"].lower() == "may" and not (number or match["year"] or match["month"] == "May"):
        return None
    month = _MONTHS.index(match["month"].lower()) + 1
    this_year, this_month = _month_of(today)
    year = int(match["year"]) if match["year"] else this_year - (month > this_month)
    if number:
        day = _day(year, month, int(number))
        return None if day is None else (day, day)
    first = _day(year, month, 1)
    if first is None:
        return None
    part = (match["part"] or "").lower()
    if part.endswith("end of"):
        return first + 19, first + calendar.monthrange(year, month)[1] - 1
    if part:
        return (first, first + 11) if part == "early" else (first + 8, first + 20)
    return first, first + calendar.monthrange(year, month)[1] - 1
