"""Consensus-critical: words by which a text would weaken what holds in a crisis, by rules.

Read are templates of prompts, voices of skins and skills. Two things are found: an order not to
name help, and the loss of a line that names it. It is a screen and no guard: it knows forms of
words, in English, and passes harm in words of its own (docs/THREATS.md).
"""

import re
from typing import Final

_HELP: Final = (
    r"(?:crisis|suicid\w*|self-harm|help ?lines?|hot ?lines?|life ?lines?|emergency|ambulance|"
    r"988|911|112|999|doctors?|therapists?|professional help|samaritans|other people|real people)"
)
_NAMES: Final = (
    r"(?:mention|nam|suggest|refer|recommend|giv|offer|point|send|direct|bring|tell|say|propos|"
    r"redirect|speak|talk|list|add|includ)\w*"
)
_DENIED: Final = (
    r"(?:never|not|don['\u2019]?t|avoid|without|stop|refrain from|instead of|rather than|"
    r"no need to)"
)
_HUSHES: Final = re.compile(
    rf"{_DENIED}\b[^.!?\n]{{0,40}}?\b{_NAMES}\b[^.!?\n]{{0,80}}?\b{_HELP}\b"
)
_SWITCHES: Final = re.compile(
    r"\b(?:ignore|skip|disable|drop|forget|suspend|switch off|turn off|leave out|remove)\b"
    rf"[^.!?\n]{{0,60}}?\b(?:{_HELP}|safety|the soul|who you are|warnings?)\b"
)
_GUARDS: Final = re.compile(rf"\b{_HELP}\b")
_FOLDED: Final = re.compile(r"\s+")


def weakens(text: str) -> bool:
    """Whether `text` asks not to name help, or to leave out what keeps people safe."""
    plain = _FOLDED.sub(" ", text).casefold()
    return bool(_HUSHES.search(plain) or _SWITCHES.search(plain))


def guards(text: str) -> frozenset[str]:
    """Return the lines of `text` that name help, without what they begin and end with."""
    lines = (line.strip() for line in text.split("\n"))
    return frozenset(line for line in lines if _GUARDS.search(line.casefold()))
