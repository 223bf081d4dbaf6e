"""Consensus-critical: what the members of a fleet tell each other about planned runs, as bytes.

    message = [body, signature]            canonical CBOR (docs/spec/event.md), both byte strings
    body    = [1, "ask", run, planned_s, until_s, member, manifest]
              [1, "grant", [run, planned_s, until_s, member, manifest], voter]
              [1, "refusal", [run, planned_s, until_s, member, manifest], voter, why, holder]
              [1, "begun", run, planned_s, member, manifest, fence]

The body is canonical CBOR in itself. Its author is the member of an ask or begun, the voter of a
grant or refusal; the signature is the author's (BIP-340, by the key that is his id) of
the tagged hash of the body. Whoever hands it on changes nothing: the bus is not believed.

`Signed` is a word whose signature was checked; nothing else makes one. What the words mean is
decided in mesh/core/fleet/duty.py and by whoever knows the members, whose ids are their Nostr keys
in the fleet manifest. Not covered: replay. An old ask gets the answer that it got, an old begun
says what was so.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ledger.core import codec
from ledger.core.errors import InvalidCbor
from ledger.core.keys import SIGNATURE_BYTES, Signer, verify
from mesh.core.errors import InvalidDuty
from mesh.core.fleet.duty import Ask, Grant, Refusal

TAG: Final = "timmy/duty/v1"
VERSION: Final = 1
MESSAGE_BYTES_MAX: Final = 1024
"""A refusal of the greatest lengths is 500 bytes; the rest is for characters of several bytes."""
ID_BYTES: Final = 32
RUN_BYTES: Final = (16, 32)
"""Shortest and longest id of a run."""
FENCE_BYTES: Final = 16
WHY_CHARS_MAX: Final = 100
"""Of a refusal: one line in a log."""
TIME_S_MAX: Final = 2**40
"""The year 36812; sums of three stay far below what CBOR holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A member's word that it began a run: the others leave it."""

    run: bytes
    planned_s: int
    member: bytes
    manifest: bytes
    fence: bytes


Word: TypeAlias = Ask | Grant | Refusal | Begun


def author(word: Word) -> bytes:
    """Whose signature a word must carry."""
    return word.voter if isinstance(word, Grant | Refusal) else word.member


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A word that its author signed: the constructor checks. Raises InvalidDuty."""

    word: Word
    signature: bytes

    def __post_init__(self) -> None:
        if not verify(author(self.word), TAG, body_of(self.word), self.signature):
            raise InvalidDuty("the signature is not the author's")

    def to_bytes(self) -> bytes:
        """The message."""
        return codec.encode([body_of(self.word), self.signature])


def sign(word: Word, signer: Signer) -> bytes:
    """Return the message. Raises InvalidDuty for a word of another, or out of its bounds."""
    if author(word) != signer.public:
        raise InvalidDuty(f"word of {author(word).hex()}, this key is {signer.public.hex()}")
    body = body_of(word)
    if _word(codec.decode(body, bytes_max=MESSAGE_BYTES_MAX)) != word:
        raise InvalidDuty("a word that does not read back")
    return Signed(word=word, signature=signer.sign(TAG, body)).to_bytes()


def body_of(word: Word) -> bytes:
    """The bytes that are signed."""
    match word:
        case Ask():
            said: list[Any] = ["ask", *_fields(word)]
        case Grant():
            said = ["grant", _fields(word.ask), word.voter]
        case Refusal():
            said = ["refusal", _fields(word.ask), word.voter, word.why, word.holder]
        case Begun():
            said = ["begun", word.run, word.planned_s, word.member, word.manifest, word.fence]
    return codec.encode([VERSION, *said])


def _fields(ask: Ask) -> list[Any]:
    return [ask.run, ask.planned_s, ask.until_s, ask.member, ask.manifest]


def read(data: bytes) -> Signed:
    """Read a message of anybody's. Raises InvalidDuty, and nothing else, for what is none."""
    try:
        outer = codec.decode(data, bytes_max=MESSAGE_BYTES_MAX)
        body, signature = _shape(outer, 2, "message")
        body = _bytes(body, (1, MESSAGE_BYTES_MAX), "body")
        signature = _bytes(signature, (SIGNATURE_BYTES, SIGNATURE_BYTES), "signature")
        word = _word(codec.decode(body, bytes_max=MESSAGE_BYTES_MAX))
    except InvalidCbor as error:
        raise InvalidDuty(str(error)) from error
    return Signed(word=word, signature=signature)


def _word(said: Any) -> Word:
    if not isinstance(said, list) or len(said) < 2 or said[0] != VERSION or said[0] is True:
        raise InvalidDuty("body is not a list that begins with 1 and a kind")
    kind, more = said[1], said[2:]
    match kind:
        case "ask":
            return _ask(more)
        case "grant":
            asked, voter = _shape(more, 2, "grant")
            return Grant(ask=_ask(asked), voter=_id(voter, "voter"))
        case "refusal":
            return _refusal(more)
        case "begun":
            run, planned_s, member, manifest, fence = _shape(more, 5, "begun")
            return Begun(
                run=_bytes(run, RUN_BYTES, "run"),
                planned_s=_time(planned_s, "planned_s"),
                member=_id(member, "member"),
                manifest=_manifest(manifest),
                fence=_bytes(fence, (FENCE_BYTES, FENCE_BYTES), "fence"),
            )
    raise InvalidDuty("a kind that is not known")


def _ask(said: Any) -> Ask:
    run, planned_s, until_s, member, manifest = _shape(said, 5, "ask")
    return Ask(
        run=_bytes(run, RUN_BYTES, "run"),
        planned_s=_time(planned_s, "planned_s"),
        until_s=_time(until_s, "until_s"),
        member=_id(member, "member"),
        manifest=_manifest(manifest),
    )


def _refusal(said: Any) -> Refusal:
    asked, voter, why, holder = _shape(said, 4, "refusal")
    if not isinstance(why, str) or len(why) > WHY_CHARS_MAX or not why.isprintable():
        raise InvalidDuty(f"why is not printable text of at most {WHY_CHARS_MAX} characters")
    return Refusal(
        ask=_ask(asked),
        voter=_id(voter, "voter"),
        why=why,
        holder=None if holder is None else _id(holder, "holder"),
    )


def _shape(said: Any, count: int, what: str) -> list[Any]:
    if not isinstance(said, list) or len(said) != count:
        raise InvalidDuty(f"{what} is not a list of {count}")
    return said


def _bytes(value: Any, bounds: tuple[int, int], what: str) -> bytes:
    if not isinstance(value, bytes) or not bounds[0] <= len(value) <= bounds[1]:
        raise InvalidDuty(f"{what} is not {bounds[0]} to {bounds[1]} bytes")
    return value


def _id(value: Any, what: str) -> bytes:
    return _bytes(value, (ID_BYTES, ID_BYTES), what)


def _manifest(value: Any) -> bytes:
    """A digest; none where no manifest decides."""
    return b"" if value == b"" else _bytes(value, (ID_BYTES, ID_BYTES), "manifest")


def _time(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value <= TIME_S_MAX:
        raise InvalidDuty(f"{what} is not 0 to {TIME_S_MAX}")
    return value
