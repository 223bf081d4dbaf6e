"""A message from one member of a fleet straight to another, where no server carries it.

    frame = [body, signature]                                   canonical CBOR, both byte strings
    body  = [1, sender, receiver, time_s, asks, subject, data]  canonical CBOR in itself

`sender` and `receiver` are Nostr keys of the fleet manifest; the signature is the sender's (by
BIP-340) of the tagged hash of the body. `asks` tells a request, which wants one answer, from a
message that wants none. What costs nothing is looked at first: a stranger's frame costs no
signature check.

A frame says who brought the data, and no more: what the data says is judged by whoever takes it, as
on every bus. Not covered: replay within SKEW_SECONDS_MAX; secrecy, which is the address's (https).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor
from ledger.core.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Signer, verify
from mesh.core.errors import InvalidFrame, InvalidSubject
from mesh.core.fleet.presence import SKEW_SECONDS_MAX
from mesh.core.fleet.subjects import SUBJECT_CHARS_MAX, check_subject

TAG: Final = "timmy/bus/v1"
VERSION: Final = 1
DATA_BYTES_MAX: Final = 64 * 1024
"""A word about a run has 1 KiB; whatever is much larger is a file, and no message."""
FRAME_BYTES_MAX: Final = DATA_BYTES_MAX + SUBJECT_CHARS_MAX + 256
"""Keys, signature, time and the heads of CBOR are 200 bytes."""
_TIME_S_MAX: Final = 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One message, its sender's signature verified or just made."""

    sender: bytes
    receiver: bytes
    time_s: int
    asks: bool
    subject: str
    data: bytes

    def __post_init__(self) -> None:
        if (len(self.sender), len(self.receiver)) != (PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES):
            raise InvalidFrame(f"sender and receiver are keys of {PUBLIC_KEY_BYTES} bytes")
        if not 0 <= self.time_s <= _TIME_S_MAX:
            raise InvalidFrame(f"time {self.time_s}, expected 0 to {_TIME_S_MAX}")
        if len(self.data) > DATA_BYTES_MAX:
            raise InvalidFrame(f"data of {len(self.data)} bytes, at most {DATA_BYTES_MAX}")
        try:
            check_subject(self.subject)
        except InvalidSubject as error:
            raise InvalidFrame(str(error)) from error

    def sign(self, signer: Signer) -> bytes:
        """The bytes that travel. Raises InvalidFrame for another sender's key."""
        if signer.public != self.sender:
            raise InvalidFrame(f"a frame of {self.sender.hex()}, this key is {signer.public.hex()}")
        body = self._body()
        return encode([body, signer.sign(TAG, body)])

    def _body(self) -> bytes:
        return encode(
            [VERSION, self.sender, self.receiver, self.time_s, self.asks, self.subject, self.data]
        )


def open_frame(data: bytes, *, me: bytes, members: Collection[bytes], now_s: int) -> Frame:
    """Read a frame that is for `me`, of one of `members`. Raises InvalidFrame for any other."""
    body, signature = _decoded(data, [bytes, bytes])
    version, sender, receiver, time_s, asks, subject, said = _decoded(
        body, [int, bytes, bytes, int, bool, str, bytes]
    )
    if version != VERSION:
        raise InvalidFrame(f"version {version}, expected {VERSION}")
    found = Frame(
        sender=sender, receiver=receiver, time_s=time_s, asks=asks, subject=subject, data=said
    )
    if receiver != me:
        raise InvalidFrame("the frame is for another node")
    if sender not in members:
        raise InvalidFrame("the frame is of no member of this fleet")
    if abs(time_s - now_s) > SKEW_SECONDS_MAX:
        raise InvalidFrame(
            f"the frame is {abs(time_s - now_s)} s off, at most {SKEW_SECONDS_MAX}",
            hint="set the clocks of both machines",
        )
    if len(signature) != SIGNATURE_BYTES or not verify(sender, TAG, body, signature):
        raise InvalidFrame("the frame is not signed by its sender")
    return found


def _decoded(data: bytes, kinds: list[type]) -> list[Any]:
    try:
        value = decode(data, bytes_max=FRAME_BYTES_MAX)
    except InvalidCbor as error:
        raise InvalidFrame(str(error)) from error
    if not isinstance(value, list) or [type(item) for item in value] != kinds:
        raise InvalidFrame("the frame is of another form")
    return value
