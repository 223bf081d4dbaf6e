"""What a member says of itself now and then: that it is there, what it knows, how busy it is.

Signed by its Nostr key, with the digest of the manifest it goes by, so that whoever hears it sees
who is behind. A presence is a word, kept in memory; it is said every third of a lease, and is stale
after it (`mesh.core.fleet.routing`).
"""

from dataclasses import dataclass
from typing import Any, Final

from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor
from ledger.core.keys import Signer, verify
from mesh.core.errors import InvalidPresence

TAG: Final = "timmy/presence/v1"
SKEW_SECONDS_MAX: Final = 3600
"""Clocks of cheap machines; more is a replay."""
BYTES_MAX: Final = 4096
_LOAD_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """One member at one time. `load` is thousandths of a core in use, `able` what it can do."""

    ledger: bytes
    manifest: bytes
    number: int
    time_s: int
    events: int
    load: int
    able: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (len(self.ledger), len(self.manifest)) != (32, 32):
            raise InvalidPresence("a ledger id and a manifest's digest have 32 bytes")
        numbers = (self.number, self.time_s, self.events, self.load)
        if min(numbers) < 0 or self.load > _LOAD_MAX:
            raise InvalidPresence("a number is out of range")
        if len(self.able) > 16 or any(not 0 < len(one) <= 64 for one in self.able):
            raise InvalidPresence("at most 16 abilities of 1 to 64 characters")

    def sign(self, signer: Signer) -> bytes:
        """The bytes that travel."""
        values = [self.ledger, self.manifest, self.number, self.time_s, self.events, self.load]
        body = encode([*values, list(self.able)])
        return encode([body, signer.sign(TAG, body)])


def ledger_in(data: bytes) -> bytes:
    """Whose presence it says it is, nothing verified. Raises InvalidPresence."""
    return _parsed(data)[0].ledger


def open_presence(data: bytes, key: bytes, *, now_s: int) -> Presence:
    """Parse and verify against the member's key and our clock. Raises InvalidPresence."""
    found, body, signature = _parsed(data)
    if not verify(key, TAG, body, signature):
        raise InvalidPresence(f"the presence is not signed by {key.hex()}")
    if abs(found.time_s - now_s) > SKEW_SECONDS_MAX:
        raise InvalidPresence(
            f"the presence is {abs(found.time_s - now_s)} s off, at most {SKEW_SECONDS_MAX}"
        )
    return found


def _parsed(data: bytes) -> tuple[Presence, bytes, bytes]:
    body, signature = _decoded(data, [bytes, bytes])
    ledger, manifest, number, time_s, events, load, able = _decoded(
        body, [bytes, bytes, int, int, int, int, list]
    )
    if any(type(one) is not str for one in able):
        raise InvalidPresence("an ability is no text")
    found = Presence(
        ledger=ledger, manifest=manifest, number=number, time_s=time_s, events=events, load=load,
        able=tuple(able),
    )  # fmt: skip
    return found, body, signature


def _decoded(data: bytes, kinds: list[type]) -> list[Any]:
    try:
        value = decode(data, bytes_max=BYTES_MAX)
    except InvalidCbor as error:
        raise InvalidPresence(str(error)) from error
    if not isinstance(value, list) or [type(item) for item in value] != kinds:
        raise InvalidPresence("the presence is of another form")
    return value
