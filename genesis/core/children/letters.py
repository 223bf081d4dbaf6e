"""Consensus-critical: the letters of a parent and its child (docs/spec/child.md).

A letter is a statement of its author to the other's ledger. Its facts are the statement's body, and
stay on record; its words lie beside them, named by their SHA-256, and can be erased. Orders and
tellings are numbered, each names the one before, and whoever is told takes the next one only: so a
letter cannot be replayed, left out, changed, or shown to another child.

`Opened` exists verified only. Not covered: that a letter arrives; both sides ask again.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from genesis.core.children.errors import InvalidLetter, OutOfTurn
from genesis.core.limits import DOCUMENT_BYTES_MAX
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor, InvalidStatement
from ledger.core.keys import Signer
from ledger.core.limits import INT_MAX
from ledger.core.statement import Statement, make_statement, open_statement

WORDS_BYTES_MAX: Final = DOCUMENT_BYTES_MAX
"""A proposal is the longest that is sent; guidance and reports are pages."""
LETTER_BYTES_MAX: Final = WORDS_BYTES_MAX + 16 * 1024
"""The words, and all that stands around them."""
FACT_CHARS_MAX: Final = 500
"""Of a text among the facts, which are never erased: names, not words."""
STALE_MS: Final = 10 * 60_000
"""How far the clock of a letter that is not numbered may be off: clocks without NTP drift by less
in a month, and within it the last one that was taken is remembered."""
FIRST: Final = bytes(32)
"""What the first letter names as the one before it."""


class Kind(StrEnum):
    """What a letter is: the type of its statement."""

    GRANT = "order/grant"
    NARROW = "order/narrow"
    GUIDE = "order/guide"
    PATCH = "order/patch"
    RESET = "order/reset"
    REPORT = "told/report"
    ALARM = "told/alarm"
    RELIEF = "told/relief"
    LOOK = "look"
    HEARD = "heard"
    ALIVE = "alive"


ORDERS: Final = frozenset({Kind.GRANT, Kind.NARROW, Kind.GUIDE, Kind.PATCH, Kind.RESET})
TELLINGS: Final = frozenset({Kind.REPORT, Kind.ALARM, Kind.RELIEF})
_HEAD: Final = {"size": int, "root": bytes}
_ABOUT: Final = {"event": int, "trigger": str, "subject": str}
_FACTS: Final[Mapping[Kind, Mapping[str, type]]] = {
    Kind.GRANT: {"gate": str, **_HEAD},
    Kind.NARROW: {"gate": str},
    Kind.GUIDE: {},
    Kind.PATCH: {},
    Kind.RESET: {},
    Kind.REPORT: {"kind": str, "gate": str, **_HEAD},
    Kind.ALARM: _ABOUT,
    Kind.RELIEF: _ABOUT,
    Kind.LOOK: {},
    Kind.HEARD: {"told": int},
    Kind.ALIVE: {"url": str, "gate": str, "orders": int, "told": int, "alarms": int, **_HEAD},
}
_OF_ALL: Final = {"number": int, "previous": bytes, "at_ms": int, "words": bytes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A letter as it came: nothing of it is believed. `text` is None where it was erased."""

    author: bytes
    statement: bytes
    signature: bytes
    facts: Mapping[str, Any]
    text: str | None

    def encode(self) -> bytes:
        """What travels. Erased words are null: a chain goes on without them."""
        return encode(
            [self.author, self.statement, self.signature, dict(self.facts), self.text]
        )  # fmt: skip

    @classmethod
    def parse(cls, data: bytes) -> "Letter":
        """Read what `encode` gives. Raises InvalidLetter."""
        try:
            value = decode(data, bytes_max=LETTER_BYTES_MAX)
        except InvalidCbor as error:
            raise InvalidLetter(f"no letter: {error}") from error
        kinds = [type(item) for item in value] if isinstance(value, list) else []
        if kinds[:4] != [bytes, bytes, bytes, dict] or kinds[4:] not in ([str], [type(None)]):
            raise InvalidLetter("a letter is not [author, statement, signature, facts, words]")
        author, statement, signature, facts, text = value
        return cls(author=author, statement=statement, signature=signature, facts=facts, text=text)

    def to_payload(self) -> dict[str, Any]:
        """The payload of an event that keeps it; the words are the event's content."""
        return {
            "author": self.author,
            "statement": self.statement,
            "signature": self.signature,
            "facts": dict(self.facts),
        }

    @classmethod
    def from_event(cls, payload: Mapping[str, Any], content: Mapping[str, Any] | None) -> "Letter":
        """Read an event that keeps one. Raises InvalidLetter."""
        found: list[Any] = [
            payload.get(name) for name in ("author", "statement", "signature", "facts")
        ]
        if [type(item) for item in found] != [bytes, bytes, bytes, dict]:
            raise InvalidLetter("an event that keeps no letter")
        author, statement, signature, facts = found
        text = "" if content is None else content.get("text", "")
        if type(text) is not str:
            raise InvalidLetter("the words of the letter are no text")
        return cls(
            author=author,
            statement=statement,
            signature=signature,
            facts=facts,
            text=text if content is not None or facts.get("words") == _digest("") else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A letter that its author signed, for this ledger, about these facts and words."""

    letter: Letter
    kind: Kind
    number: int
    previous: bytes
    at_ms: int

    @property
    def facts(self) -> Mapping[str, Any]:
        """What stays on record."""
        return self.letter.facts

    @property
    def text(self) -> str:
        """The words; empty where they were erased."""
        return self.letter.text or ""

    @property
    def digest(self) -> bytes:
        """What the next letter names as the one before it."""
        return hashlib.sha256(self.letter.statement).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """How far one side's numbered letters have come."""

    number: int = 0
    previous: bytes = FIRST

    def take(self, opened: Opened) -> "Chain":
        """Return the chain with the next letter. Raises OutOfTurn for any other."""
        if opened.number != self.number + 1:
            what = "was taken before" if opened.number <= self.number else "comes too early"
            raise OutOfTurn(f"letter {opened.number} {what}: the next is {self.number + 1}")
        if opened.previous != self.previous:
            raise OutOfTurn(f"letter {opened.number} follows another letter {self.number}")
        return Chain(number=opened.number, previous=opened.digest)


def write_letter(
    kind: Kind,
    facts: Mapping[str, Any],
    text: str,
    *,
    chain: Chain | None,
    ledger_id: bytes,
    at_ms: int,
    nonce: bytes,
    signer: Signer,
) -> Opened:
    """Write and sign the next letter of `chain` to ledger `ledger_id`; None: one without a number.

    Raises InvalidLetter for facts that are not those of its kind, and for words that are too long.
    """
    _check_text(text)
    whole = {
        "number": 0 if chain is None else chain.number + 1,
        "previous": FIRST if chain is None else chain.previous,
        "at_ms": at_ms,
        "words": _digest(text),
        **facts,
    }
    _check_facts(kind, whole)
    signed = make_statement(whole, ledger_id=ledger_id, nonce=nonce, kind=kind.value, signer=signer)
    return open_letter(
        Letter(facts=whole, text=text, **signed), author=signer.public, ledger_id=ledger_id
    )


def open_letter(letter: Letter, *, author: bytes, ledger_id: bytes) -> Opened:
    """Verify a letter of `author` to ledger `ledger_id`. Raises InvalidLetter."""
    if letter.author != author:
        raise InvalidLetter(
            f"the letter is by {letter.author.hex()[:16]}, not by {author.hex()[:16]}"
        )
    try:
        statement: Statement = open_statement(
            letter.to_payload(), dict(letter.facts), ledger_id=ledger_id
        )
        kind = Kind(statement.type)
    except InvalidStatement as error:
        raise InvalidLetter(str(error)) from error
    except ValueError as error:
        raise InvalidLetter("a letter of a kind that this version does not know") from error
    _check_facts(kind, letter.facts)
    if letter.text is not None:
        _check_text(letter.text)
        if _digest(letter.text) != letter.facts["words"]:
            raise InvalidLetter("the letter is about other words")
    return Opened(
        letter=letter,
        kind=kind,
        number=letter.facts["number"],
        previous=letter.facts["previous"],
        at_ms=letter.facts["at_ms"],
    )


def check_fresh(opened: Opened, *, now_ms: int, taken_ms: int) -> None:
    """Raise OutOfTurn unless a letter without a number is of now, and newer than the last one."""
    if abs(now_ms - opened.at_ms) > STALE_MS:
        raise OutOfTurn(
            f"a letter of {opened.at_ms} ms, our clock is at {now_ms} ms",
            hint="compare the clocks of both machines",
        )
    if opened.at_ms <= taken_ms:
        raise OutOfTurn("a letter that was taken before")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _check_text(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidLetter("words that are not UTF-8") from error
    if size > WORDS_BYTES_MAX:
        raise InvalidLetter(f"words of {size} bytes, at most {WORDS_BYTES_MAX}")


def _check_facts(kind: Kind, facts: Mapping[str, Any]) -> None:
    wanted: dict[str, type] = _OF_ALL | dict(_FACTS[kind])
    if facts.keys() != wanted.keys():
        raise InvalidLetter(f"facts of {kind.value} are not exactly {', '.join(sorted(wanted))}")
    for name, type_ in wanted.items():
        value, found = facts[name], type(facts[name])
        if found is not type_:
            raise InvalidLetter(f"{name} of {kind.value} is not of type {type_.__name__}")
        if type_ is int and not 0 <= value <= INT_MAX:
            raise InvalidLetter(f"{name} of {kind.value} is {value}, expected 0 or more")
        if type_ is bytes and len(value) != len(FIRST):
            raise InvalidLetter(f"{name} of {kind.value} has {len(value)} bytes, {len(FIRST)}")
        if type_ is str and (len(value) > FACT_CHARS_MAX or not (value.isprintable() or not value)):
            raise InvalidLetter(
                f"{name} of {kind.value} is no line of at most {FACT_CHARS_MAX} characters"
            )
    if (facts["number"] > 0) != (kind in ORDERS | TELLINGS):
        raise InvalidLetter(f"{kind.value} with the number {facts['number']}")
