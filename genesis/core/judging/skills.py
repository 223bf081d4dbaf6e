"""Consensus-critical: what a skill must be before an agent may load it. Pure.

    form        front matter with a name (that of its folder), a description and allowed-tools;
                words behind it; nothing that a reader would not see
    permission  allowed-tools names tools or permission rules, and not all of them; `none` is said
    orders      nothing that reads like commands in disguise, or asks to hush help up
    triggers    it is found by what it says it is for, on drawn messages; it is not found by words
                of other skills or by none of its own; and it takes no message from another skill

How a skill is found: an agent reads names and descriptions and takes what fits. Here that is done
by rule: the skill whose description shares the most words with the message, if it shares two.

Not covered: whether the instructions are any good, and whether a model takes the skill that fits.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from genesis.core.draws import Draws
from genesis.core.front import hidden_in
from genesis.core.judging.words import weakens
from runtime.core.errors import RuleRefused
from runtime.core.injection import findings
from runtime.core.permission_rules import Effect, Scope, parse_rule

NONE: Final = "none"
_FIELD: Final = re.compile(r"^([a-z_-]+):(.*)$", re.MULTILINE)
_TOOL: Final = re.compile(r"[a-z][a-z0-9_]{0,63}|mcp__[A-Za-z0-9_.-]{1,123}")
_WORD: Final = re.compile(r"[^\W_]{4,}")
_DESCRIPTION_CHARS_MAX: Final = 300
"""What the tool that lists skills shows."""
_SHARED_MIN: Final = 2
"""Words that a message and a description have in common: one is chance."""
_TRIALS: Final = 4
"""Drawn messages of each kind: half of a description's words each, so that one is not another."""
_EMPTY_WORDS: Final = """
about above after again against agent also always another answer anyone anything before being
below between both could does doing down during each either else every everybody everyone
everything from have having here into itself just like made make makes many message messages
more most much must never none nothing only other others over people person please question
questions request requests same should skill some such task tasks than that their them then
there these they thing things this those through time times under until upon very want wants
what whatever when whenever where whether which while will with within without work works would
your yours
"""
_EMPTY: Final = frozenset(_EMPTY_WORDS.split())
"""Words that say nothing of what a skill is for: one that is found by them is found by anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a skill says of itself."""

    name: str
    description: str
    words: frozenset[str]
    """Those of its description by which it may be found."""


def fields_of(text: str) -> dict[str, str] | None:
    """Return the plain fields of the front matter; None where there is none that ends."""
    head, end, _ = text.removeprefix("---\n").partition("\n---\n")
    if not text.startswith("---\n") or not end:
        return None
    return {name: value.strip() for name, value in _FIELD.findall(head)}


def card_of(name: str, text: str) -> Card:
    """Return what a skill says of itself; nothing, if it says nothing."""
    described = (fields_of(text) or {}).get("description", "")
    return Card(name=name, description=described, words=terms(described) - _EMPTY)


def terms(text: str) -> frozenset[str]:
    """Return the words of a text by which things are found: four letters or more, folded."""
    return frozenset(word.casefold() for word in _WORD.findall(text))


def found(message: str, cards: Iterable[Card]) -> list[str]:
    """Return the names of the skills that fit a message best; none, one, or several alike."""
    wanted = terms(message)
    scores = {card.name: len(wanted & card.words) for card in cards}
    best = max(scores.values(), default=0)
    return [name for name, score in scores.items() if score == best >= _SHARED_MIN]


def form_fault(name: str, text: str) -> str | None:
    """Return what is wrong with a skill by itself, in a few words, or None."""
    fields = fields_of(text)
    if fields is None:
        return "it has no front matter between two lines of ---"
    if fields.get("name") != name:
        return f"its name is not that of its folder, {name}"
    if not 1 <= len(fields.get("description", "")) <= _DESCRIPTION_CHARS_MAX:
        return f"its description is not 1 to {_DESCRIPTION_CHARS_MAX} characters"
    if fields.get("status", "").strip("\"'").lower() == "draft":
        return "it is a draft"
    if not text.partition("\n---\n")[2].strip():
        return "it has no words"
    if hidden_in(text) is not None:
        return "it holds a sign that cannot be seen"
    return _permission_fault(fields.get("allowed-tools")) or _order_fault(text)


def _permission_fault(declared: str | None) -> str | None:
    if not declared:
        return f"it does not say which tools it may use: allowed-tools, or {NONE}"
    for name in _entries(declared):
        if _TOOL.fullmatch(name):
            continue
        try:
            parse_rule(name, effect=Effect.ALLOW, scope=Scope.NODE, file="", line=0)
        except RuleRefused:
            return "allowed-tools names something that is neither a tool nor a rule"
        if "*" in name.partition("(")[0]:
            return "allowed-tools asks for every tool"
    return None


def _entries(declared: str) -> list[str]:
    """Cut at commas that stand in no bracket."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", declared)]


def _order_fault(text: str) -> str | None:
    if findings(text):
        return "it reads like commands in disguise"
    return "it asks not to name help" if weakens(text) else None


def trigger_fault(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> str | None:
    """Return how a skill is found where it should not be, or not where it should, or None.

    `before`, `after`: the words of every skill, by name, without the change and with it. Drawn
    messages come from `trial_messages`, under a fixed key: descriptions are no secret.
    """
    card, cards = card_of(name, after[name]), [card_of(*item) for item in after.items()]
    if len(card.words) < 2 * _SHARED_MIN:
        return "its description says too little of what it is for"
    for message in trial_messages(card):
        if found(message, cards) != [name]:
            return "it is not found by what it says it is for, or not alone"
    others = [card_of(*item) for item in before.items() if item[0] != name and item[0] in after]
    for other in others:
        if len(other.words) < 2 * _SHARED_MIN:
            continue
        alone = [card_of(*item) for item in before.items() if item[0] != name]
        for message in trial_messages(other):
            if found(message, alone) == [other.name] != found(message, cards):
                return f"it takes messages from the skill {other.name}"
    return None


def trial_messages(card: Card) -> list[str]:
    """Return messages that are about what a skill is for: half of its words, drawn words around."""
    draws = Draws(b"timmy/skill-trial/v1", card.description)
    messages = []
    for _ in range(_TRIALS):
        left = sorted(card.words)
        taken = [left.pop(draws.below(len(left))) for _ in range(max(_SHARED_MIN, len(left) // 2))]
        messages.append(f"{draws.words(2)} {' '.join(taken)} {draws.word()}")
    return messages


def name_fault(name: str, others: Iterable[str]) -> str | None:
    """Return whether a name reads like that of another skill, or None."""
    plain = name.replace("-", "")
    alike = [other for other in others if other != name and other.replace("-", "") == plain]
    return f"its name reads like that of {alike[0]}" if alike else None
