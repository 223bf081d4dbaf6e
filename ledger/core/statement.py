"""Consensus-critical: what a foreign author signs.

An author outside this log cannot sign an envelope: its position and time are not his to know. He
signs a statement, an array [destination ledger, nonce, type, body commitment], and the log carries
statement and signature as payload and the body as content. A signature is random; no id depends
on it.
"""

from dataclasses import dataclass
from typing import Any, Final

from ledger.core import hashing
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor, InvalidStatement
from ledger.core.keys import Signer, verify

TAG: Final = "timmy/statement/v1"
NONCE_BYTES: Final = 16
_BYTES_MAX: Final = 256
"""Two 32-byte strings, a nonce and a short type name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Who says what kind of thing to which ledger, once."""

    ledger_id: bytes
    nonce: bytes
    type: str
    body_commitment: bytes

    def __post_init__(self) -> None:
        sizes = (len(self.ledger_id), len(self.nonce), len(self.body_commitment))
        if sizes != (32, NONCE_BYTES, 32):
            raise InvalidStatement(f"fields of {sizes} bytes, expected (32, 16, 32)")

    def encode(self) -> bytes:
        """The bytes that are signed."""
        return encode([self.ledger_id, self.nonce, self.type, self.body_commitment])

    @classmethod
    def parse(cls, data: bytes) -> "Statement":
        """Parse what `encode` gives. Raises InvalidStatement."""
        try:
            value = decode(data, bytes_max=_BYTES_MAX)
        except InvalidCbor as error:
            raise InvalidStatement(str(error)) from error
        kinds = [type(item) for item in value] if isinstance(value, list) else []
        if kinds != [bytes, bytes, str, bytes]:
            raise InvalidStatement("statement is not [bytes, bytes, text, bytes]")
        return cls(ledger_id=value[0], nonce=value[1], type=value[2], body_commitment=value[3])


def make_statement(
    body: dict[str, Any], *, ledger_id: bytes, nonce: bytes, kind: str, signer: Signer
) -> dict[str, Any]:
    """Return the payload map {author, statement, signature} for `body`."""
    statement = Statement(
        ledger_id=ledger_id,
        nonce=nonce,
        type=kind,
        body_commitment=hashing.digest(hashing.STATEMENT_BODY, nonce, encode(body)),
    )
    data = statement.encode()
    return {"author": signer.public, "statement": data, "signature": signer.sign(TAG, data)}


def open_statement(
    payload: dict[str, Any], body: dict[str, Any] | None, *, ledger_id: bytes
) -> Statement:
    """Verify a statement payload for this ledger, and its body unless it was redacted (None).

    Raises InvalidStatement if it is malformed, not the author's, for another ledger, or about
    another body.
    """
    author, data, signature = (payload.get(k) for k in ("author", "statement", "signature"))
    if not (isinstance(author, bytes) and isinstance(data, bytes) and isinstance(signature, bytes)):
        raise InvalidStatement("payload lacks author, statement or signature")
    statement = Statement.parse(data)
    if not verify(author, TAG, data, signature):
        raise InvalidStatement(f"the signature of {author.hex()} fails")
    if statement.ledger_id != ledger_id:
        raise InvalidStatement(f"statement is for ledger {statement.ledger_id.hex()}")
    if body is not None:
        found = hashing.digest(hashing.STATEMENT_BODY, statement.nonce, encode(body))
        if found != statement.body_commitment:
            raise InvalidStatement("body does not match the statement's commitment")
    return statement
