"""Subjects of the bus: words between dots, and patterns of them.

A subject is 1 to 8 tokens of letters, digits, `-` and `_`, joined by dots. In a pattern `*` stands
for any one token, and `>` as the last one for one or more. That is a part of what NATS takes
(docs.nats.io, "Subject-Based Messaging"): without the characters that its servers keep for
themselves (`$`), and without white space, which would end a command of its protocol.
"""

import re
from typing import Final

from mesh.core.errors import InvalidSubject

SUBJECT_CHARS_MAX: Final = 200
"""NATS servers take a line of 4,096 bytes; a subject of ours is a handful of short words."""
TOKENS_MAX: Final = 8
"""An id, and what it is about; each token is a level of the server's search tree."""
_TOKEN: Final = re.compile("[A-Za-z0-9_-]+")
_SHOWN_CHARS: Final = 60


def check_subject(text: str) -> str:
    """Return `text` if it is a subject. Raises InvalidSubject."""
    _check(text, ())
    return text


def check_pattern(text: str) -> str:
    """Return `text` if it is a pattern; every subject is one. Raises InvalidSubject."""
    tokens = _check(text, ("*", ">"))
    if ">" in tokens[:-1]:
        raise InvalidSubject(f"> is not the last token of {text[:_SHOWN_CHARS]!r}")
    return text


def check_token(text: str) -> str:
    """Return `text` if it is one token: a group, a fleet. Raises InvalidSubject."""
    if len(_check(text, ())) != 1:
        raise InvalidSubject(f"{text[:_SHOWN_CHARS]!r} is more than one token")
    return text


def _check(text: str, wild: tuple[str, ...]) -> list[str]:
    if len(text) > SUBJECT_CHARS_MAX:
        raise InvalidSubject(f"subject of {len(text)} characters, at most {SUBJECT_CHARS_MAX}")
    tokens = text.split(".")
    if len(tokens) > TOKENS_MAX:
        raise InvalidSubject(f"subject of {len(tokens)} tokens, at most {TOKENS_MAX}")
    for token in tokens:
        if token not in wild and _TOKEN.fullmatch(token) is None:
            raise InvalidSubject(f"{text[:_SHOWN_CHARS]!r} is no subject: token {token[:20]!r}")
    return tokens


def matches(pattern: str, subject: str) -> bool:
    """Tell whether a pattern stands for a subject; both were checked."""
    wanted, given = pattern.split("."), subject.split(".")
    for place, word in enumerate(wanted):
        if word == ">":
            return len(given) > place
        if place >= len(given) or word not in ("*", given[place]):
            return False
    return len(wanted) == len(given)
