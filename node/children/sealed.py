"""Letters between parent and child as sealed Nostr messages, where both have a gateway to relays.

A letter is signed already; here it is also hidden, and waits at relays while the other node is off.
It is asked for by nobody and answered by letters: a child says that it lives (`alive`), its parent
says what it has (`heard`) and sends the orders that are lacking. Sending one again is sending the
same event, and taking one again changes nothing.

Not covered: letters of more than SEALED_BYTES_MAX, which go by HTTP or as files.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

import structlog

from genesis.core.children.errors import ChildError, InvalidLetter
from genesis.core.children.letters import Letter
from ledger.core.errors import StoreError, TimmyError
from mesh.core import nip17
from mesh.core.errors import Refused
from mesh.core.errors import StoreError as MeshStoreError
from mesh.sealed.mailbox import Letter as Sealed
from node.children.growing import Growing
from node.children.parenting import Parenting
from node.children.post import Unreachable
from node.nostr.gateway import NostrGateway

MARK: Final = "timmy-letter "
SEALED_BYTES_MAX: Final = 20_000
"""Of a letter: in base64 it fits the words of one sealed message."""

_log = structlog.get_logger(__name__)


def to_text(letter: Letter) -> str:
    """Return the words of a sealed message. Raises Unreachable for a letter that does not fit."""
    data = letter.encode()
    if len(data) > SEALED_BYTES_MAX:
        raise Unreachable(
            f"a letter of {len(data)} bytes, at most {SEALED_BYTES_MAX} are sealed",
            hint="carry it: timmy lineage carry -o FILE",
        )
    return MARK + base64.b64encode(data).decode()


def from_text(text: str) -> Letter:
    """Read what `to_text` gives. Raises InvalidLetter."""
    try:
        data = base64.b64decode(text.removeprefix(MARK).encode(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidLetter("no letter: not base64") from error
    return Letter.parse(data)


@dataclass(frozen=True, slots=True)
class SealedPost:
    """Sends letters by the gateway's mailbox."""

    gateway: NostrGateway

    async def send(self, key: bytes, letter: Letter) -> None:
        """Queue a letter for the owner of a Nostr key. Raises Unreachable."""
        mailbox = self.gateway.mailbox
        text, now = to_text(letter), letter.facts["at_ms"] // 1000
        try:
            await mailbox.send(nip17.write(mailbox.pubkey, [key.hex()], text, now=now))
        except (Refused, MeshStoreError) as error:
            raise Unreachable(f"no relay takes it: {error}") from error


@dataclass(frozen=True, slots=True)
class Taking:
    """Takes letters out of sealed messages; what is no letter of kin is left to the gateway."""

    parenting: Parenting
    growing: Growing
    post: SealedPost

    async def __call__(self, sealed: Sealed) -> bool:
        """Tell whether the message was a letter of the parent or of a child; then it is taken."""
        if not sealed.text.startswith(MARK):
            return False
        try:
            key = bytes.fromhex(sealed.author)
            letter = from_text(sealed.text)
            if letter.author != key:
                raise InvalidLetter("sealed by another one than its author")
            return await self._take(key, letter)
        except StoreError:
            raise
        except TimmyError as error:  # one that is forged or came twice stays so
            _log.info("a sealed letter is not taken", author=sealed.author, why=str(error))
            return True

    async def _take(self, key: bytes, letter: Letter) -> bool:
        certificate = self.growing.ward.now().certificate
        if certificate is not None and key == certificate.parent_keys["nostr"]:
            await self.growing.hear(letter)
            return True
        keys = {one.certificate.child_keys["nostr"] for one in self.parenting.children.values()}
        if key not in keys:
            return False
        told, orders = await self.parenting.hear(letter)
        for one in (self.parenting.heard_word(key, told), *map(Letter.parse, orders)):
            try:
                await self.post.send(key, one)
            except ChildError as error:
                _log.info("a child is not answered by relays", why=str(error))
        return True
