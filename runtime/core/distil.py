"""What of a message is worth remembering, by rules: whole sentences, word for word, or nothing.

Without a model this is all there is; it errs to the side of silence. A sentence is kept if a rule
recognises its form: told to remember, a decision, a correction, who somebody is, what somebody
likes, a date agreed, a measure. A question, a condition and a quotation of somebody else are never
kept.
`subject` names what a fact is about where a later one replaces it ("my name is"); it is words, so
whoever records it records a keyed digest.

Not covered: other languages than English, irony, and a fact that is spread over several sentences.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from runtime.core.markers import parse_marker

SENTENCE_CHARS_MAX: Final = 400
"""Longer ones are paragraphs, and no fact to remember."""
FACTS_MAX: Final = 8
"""Of one message: a text of which more is worth remembering is to be remembered as a whole."""
_SENTENCE: Final = re.compile(
    r"(?<=[.!?])(?<!\bMr\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bMrs\.)\s+(?=[\"'(\[A-Z0-9])|\n+"
)
_UNSURE: Final = re.compile(
    r"^\W*(?:if|what if|imagine|suppose|would|could|should|maybe|perhaps|for example|e\.g\.)\b"
    r"|\b(?:might|maybe|perhaps|not sure|i guess|hypothetically|joking)\b|^\s*[>|]|^\W*[\"“]",
    re.IGNORECASE,
)
_MONTH: Final = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
)
_UNIT: Final = (
    r"(?:kg|kilos?|g|grams?|mg|tons?|km|cm|mm|m|met(?:re|er)s?|inch(?:es)?|euros?|dollars?|usd|eur"
    r"|kwh|kw|watts?|lit(?:re|er)s?|ml|degrees|°c|volts?|ma|mhz|ghz|gb|tb|mb|percent|%|bar)\b|[€$£]\s?\d"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something worth remembering. Confidence and importance are thousandths.

    `quote` stands in the source word for word; `against` tells the opposite of the same subject.
    """

    kind: str
    text: str
    quote: str
    confidence: int
    importance: int
    subject: str | None = None
    against: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A form of sentence. The group `what`, if it has one, names the subject."""

    name: str
    kind: str
    form: re.Pattern[str]
    confidence: int
    importance: int
    subject: str | None = None


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_ASKED: Final = r"^\W*(?:please,?\s+)?(?:remember|note|keep in mind|don'?t forget|do not forget)"
RULES: Final = (
    _Rule(
        name="told to remember",
        kind="fact",
        form=_form(_ASKED + r"(?:\s+that\b|\s*:|,)\s*\S.{3,}"),
        confidence=950,
        importance=900,
    ),
    _Rule(
        name="decision",
        kind="decision",
        form=_form(
            r"^\W*(?:decision|decided|agreed)\s*:"
            r"|\bwe(?:'ve| have)?\s+(?:all\s+)?(?:decided|agreed)\b"
            r"|\b(?:let'?s|we(?:'ll| will| shall)?)\s+(?:go with|settle on|stick with)\b"
            r"|\bwe(?:'ll| will| shall)?\s+use\s+\S+.*\b(?:instead of|rather than|not)\b"
        ),
        confidence=900,
        importance=850,
    ),
    _Rule(
        name="architecture",
        kind="architecture",
        form=_form(r"^\W*(?:architecture|design)\s*:\s*\S"),
        confidence=900,
        importance=850,
    ),
    _Rule(
        name="correction",
        kind="correction",
        form=_form(
            r"^\W*(?:correction\s*:|actually,\s|that(?:'s| is| was) (?:wrong|not (?:right|true))\b"
            r"|i was wrong\b|i made a mistake\b)"
        ),
        confidence=750,
        importance=750,
    ),
    _Rule(
        name="pattern",
        kind="pattern",
        form=_form(r"^\W*(?:pattern|lesson|rule)\s*:\s*\S|^\W*(?:whenever|every time)\s.+,\s*\S"),
        confidence=800,
        importance=700,
    ),
    _Rule(
        name="name",
        kind="fact",
        form=_form(
            r"^\W*(?:hi,?\s+|hello,?\s+)?(?:my name is|call me|i am called|i'?m called)\s+\S+"
        ),
        confidence=950,
        importance=950,
        subject="name",
    ),
    _Rule(
        name="somebody of mine",
        kind="fact",
        form=_form(
            r"\b(?:my|our)\s+(?P<what>wife|husband|partner|daughter|son|mother|father|sister|brother"
            r"|boss|doctor|dentist|dog|cat|landlord|neighbou?r|teacher|birthday|address"
            r"|phone number|email(?: address)?|time ?zone|blood type)(?:'s name)?"
            r"\s+is\s+(?:called\s+|named\s+)?\S"
        ),
        confidence=850,
        importance=850,
        subject="mine",
    ),
    _Rule(
        name="condition",
        kind="fact",
        form=_form(
            r"\b(?:i am|i'm|(?-i:[A-Z])\w+ is)\s+"
            r"(?:allergic to|vegetarian|vegan|diabetic|left-handed|colou?r-?blind"
            r"|intolerant)\b|\bi (?:live|work|was born) in\s+(?-i:[A-Z])"
        ),
        confidence=900,
        importance=950,
    ),
    _Rule(
        name="likes",
        kind="preference",
        form=_form(
            r"^\W*i\s+(?:really\s+|always\s+|much\s+)?(?:prefer|like|love|enjoy)\s+"
            r"(?P<what>[^.,;!]{2,80})"
        ),
        confidence=800,
        importance=600,
        subject="liking",
    ),
    _Rule(
        name="dislikes",
        kind="preference",
        form=_form(
            r"^\W*i\s+(?:really\s+)?"
            r"(?:hate|dislike|can'?t stand|cannot stand|don'?t like|do not like"
            r"|never (?:eat|drink|want))\s+(?P<what>[^.,;!]{2,80})"
        ),
        confidence=800,
        importance=650,
        subject="liking",
    ),
    _Rule(
        name="date",
        kind="date",
        form=_form(
            r"^(?=.*\b(?:appointment|deadline|due|meeting|concert|exam|trip|flight|train|birthday"
            r"|wedding|interview|surgery|conference|delivery|expires?|moves? in|starts?)\b)"
            rf"(?=.*(?:\b\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}|{_MONTH}\s+\d{{1,2}}\b"
            r"|\b\d{4}-\d{2}-\d{2}\b)).+"
        ),
        confidence=800,
        importance=700,
    ),
    _Rule(
        name="measure",
        kind="measure",
        form=_form(
            r"\b(?:is|are|was|weighs?|costs?|measures?|takes|needs|has|holds)\s+(?:about\s+|only\s+)?"
            rf"(?:\d[\d.,]*\s?{_UNIT}|[€$£]\s?\d)"
        ),
        confidence=650,
        importance=450,
    ),
)


def distil(text: str) -> list[Fact]:
    """Return what of a message is worth remembering, in its order; at most FACTS_MAX."""
    marker = parse_marker(text)
    if marker is not None:
        fact = Fact(
            kind=marker.kind, text=marker.text, quote=marker.text, confidence=900, importance=850
        )
        return [fact]
    found: dict[str, Fact] = {}
    for sentence in sentences(text):
        fact_of = _fact(sentence)
        if fact_of is not None:
            found.setdefault(fact_of.quote, fact_of)
    return list(found.values())[:FACTS_MAX]


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text that are short enough to be remembered, word for word."""
    for part in _SENTENCE.split(text):
        sentence = part.strip()
        if 0 < len(sentence) <= SENTENCE_CHARS_MAX:
            yield sentence


def _fact(sentence: str) -> Fact | None:
    if sentence.endswith("?") or _UNSURE.search(sentence):
        return None
    for rule in RULES:
        match = rule.form.search(sentence)
        if match is not None:
            return Fact(
                kind=rule.kind,
                text=sentence,
                quote=sentence,
                confidence=rule.confidence,
                importance=rule.importance,
                subject=_subject(rule, match),
                against=rule.name == "dislikes",
            )
    return None


def _subject(rule: _Rule, match: re.Match[str]) -> str | None:
    if rule.subject is None:
        return None
    what = match.groupdict().get("what") or ""
    return f"{rule.subject} {' '.join(what.lower().split())}".strip()
