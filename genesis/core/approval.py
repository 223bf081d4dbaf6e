"""Consensus-critical: what a person signs to say yes or no to a proposal, and nothing else by it.

    question   this ledger, this proposal, what it makes, the verdict on it, its class
    answer     approve or disapprove, and when
    signed     BIP-340 under the tag "timmy/approval/v1", of the answer's canonical CBOR; or the
               operator's sealed Nostr message that names the question (`genesis.core.sealed_word`)

Everything an answer is about is in what is signed: it serves for no other ledger, proposal, result
or verdict. Its time is in it too: of several answers of one key the latest stands, whatever order
they are shown in, so that an old yes that is shown again does not undo a later no.

Whose answers count, and how many are enough, is `genesis.core.granting`'s to say. Not covered:
whether a person read what he signed. Sources: BIP-340; docs/spec/verdict.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from genesis.core.errors import InvalidApproval, InvalidSealedWord
from genesis.core.patch import PatchClass
from genesis.core.sealed_word import SealedWord
from ledger.core.codec import encode
from ledger.core.hashing import tagged
from ledger.core.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Signer, verify
from ledger.core.limits import INT_MAX

TAG: Final = "timmy/approval/v1"
QUESTION_TAG: Final = "timmy/approval-question/v1"
VERSION: Final = 1
_DIGEST_BYTES: Final = 32


class Word(StrEnum):
    """What is said."""

    APPROVE = "approve"
    DISAPPROVE = "disapprove"


def _check(value: object, length: int, name: str) -> None:
    if type(value) is not bytes or len(value) != length:
        raise InvalidApproval(f"{name} is not {length} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be approved. Digests and ids are 32 bytes; raises InvalidApproval.

    `patch` is the id of the proposal's event, `root` that of the architecture it makes, `verdict`
    the digest of the findings.
    """

    ledger: bytes
    patch: bytes
    root: bytes
    verdict: bytes
    patch_class: PatchClass

    def __post_init__(self) -> None:
        for name in ("ledger", "patch", "root", "verdict"):
            _check(getattr(self, name), _DIGEST_BYTES, name)

    @property
    def digest(self) -> bytes:
        """32 bytes that name the question: what a message says that cannot hold all of it."""
        return tagged(QUESTION_TAG, encode([VERSION, *self.to_list()]))

    def to_list(self) -> list[Any]:
        """Return the values that an answer is about, in order."""
        return [self.ledger, self.patch, self.root, self.verdict, self.patch_class.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One word to a question, at a time in Unix milliseconds. Raises InvalidApproval."""

    question: Question
    word: Word
    at_ms: int

    def __post_init__(self) -> None:
        if type(self.at_ms) is not int or not 0 <= self.at_ms <= INT_MAX:
            raise InvalidApproval("an answer's time is no time in milliseconds")

    def encode(self) -> bytes:
        """Return the bytes that are signed."""
        return encode([VERSION, self.word.value, *self.question.to_list(), self.at_ms])

    def sign(self, signer: Signer) -> "SignedAnswer":
        """Return it with this key's signature."""
        made = signer.sign(TAG, self.encode())
        return SignedAnswer(answer=self, key=signer.public, signature=made)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedAnswer:
    """An answer with what shows whose it is. Raises InvalidApproval for what does not show it.

    `key` is 32 bytes. Without `sealed` the `signature` is the key's, of the answer; with it, it is
    that of the NIP-59 seal, and 64 bytes as well.
    """

    answer: Answer
    key: bytes
    signature: bytes
    sealed: SealedWord | None = None

    def __post_init__(self) -> None:
        _check(self.key, PUBLIC_KEY_BYTES, "key")
        _check(self.signature, SIGNATURE_BYTES, "signature")
        sealed = self.sealed
        if sealed is None:
            if not verify(self.key, TAG, self.answer.encode(), self.signature):
                raise InvalidApproval(f"the signature of {self.key.hex()} fails")
            return
        if (self.key, self.signature) != (sealed.author, sealed.signature):
            raise InvalidApproval("the sealed message is of another key, or has another signature")
        if said(sealed, self.answer.question) != self.answer:
            raise InvalidApproval("the sealed message says something else than the answer")

    def to_payload(self, position: int) -> dict[str, Any]:
        """Return the payload of the event about the proposal at `position`."""
        question = self.answer.question
        return {
            "patch": position,
            "verdict": question.verdict,
            "root": question.root,
            "key": self.key,
            "signature": self.signature,
            "at_ms": self.answer.at_ms,
        } | ({} if self.sealed is None else {"sealed": self.sealed.to_value()})


def said(sealed: SealedWord, question: Question) -> Answer:
    """Return what a sealed message answers to `question`: "approve DIGEST", or "disapprove DIGEST".

    DIGEST is the question's, in hex; a full stop behind it and the case are passed over. Raises
    InvalidApproval if it says neither to this one.
    """
    word, _, named = sealed.text.strip().removesuffix(".").lower().partition(" ")
    if word not in set(Word) or named.strip() != question.digest.hex():
        raise InvalidApproval("the message answers another question, or none")
    return Answer(question=question, word=Word(word), at_ms=sealed.created_at * 1000)


def sealed_answer(sealed: SealedWord, question: Question) -> SignedAnswer:
    """Return the answer that a sealed message is. Raises InvalidApproval."""
    answer = said(sealed, question)
    return SignedAnswer(answer=answer, key=sealed.author, signature=sealed.signature, sealed=sealed)


_KINDS: Final = {"verdict": bytes, "root": bytes, "key": bytes, "signature": bytes, "at_ms": int}


def read_answer(
    payload: Mapping[str, Any], word: Word, *, ledger: bytes, patch: bytes, patch_class: PatchClass
) -> SignedAnswer:
    """Return the answer that an event's payload holds, about this proposal. Raises InvalidApproval.

    Of the payload only what was signed is believed, and of the proposal only what is given here.
    """
    for name, kind in _KINDS.items():
        if type(payload.get(name)) is not kind:
            raise InvalidApproval(f"{name} is missing, or not of type {kind.__name__}")
    question = Question(
        ledger=ledger,
        patch=patch,
        root=payload["root"],
        verdict=payload["verdict"],
        patch_class=patch_class,
    )
    sealed = None
    if "sealed" in payload:
        try:
            sealed = SealedWord.from_value(payload["sealed"])
        except InvalidSealedWord as error:
            raise InvalidApproval(str(error)) from error
    return SignedAnswer(
        answer=Answer(question=question, word=word, at_ms=payload["at_ms"]),
        key=payload["key"],
        signature=payload["signature"],
        sealed=sealed,
    )
