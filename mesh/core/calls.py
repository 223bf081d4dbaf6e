"""Live calls: what one node asks another that is there now, and its answer, sealed (NIP-59).

    question    a rumor of CALL_KIND; its content is bytes, in base64
    answer      the same with an `e` tag: the question's id

Both travel in wraps of kind 21059, which relays hand on and do not keep: worthless after seconds,
they leave nothing behind. What is lost is asked again. A relay that gives one out again gives it to
the same receiver: who answers must be one whom the same question twice does not move, and an answer
counts for the one question that it names, of the one who was asked.

Not covered: what the bytes say; who may ask.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from mesh.core import limits
from mesh.core.errors import InvalidWrap, TooLong
from mesh.core.nip01 import Tag, is_hex32
from mesh.core.nip59 import Opened, Rumor

CALL_KIND: Final = 21784
"""Never published as an event: it is only in wraps. Of the ephemeral range, so that it would not be
kept either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A question, or the answer to the one that `answers` names; keys and ids in hex."""

    id: str
    author: str
    answers: str | None
    body: bytes


def make(author: str, body: bytes, *, now: int, answers: str | None = None) -> Rumor:
    """Return the rumor of a question, or of an answer; `now` in Unix seconds. Raises TooLong."""
    if len(body) > limits.LIVE_CALL_BYTES_MAX:
        bound = limits.LIVE_CALL_BYTES_MAX
        raise TooLong(f"a call of {len(body)} bytes, at most {bound} allowed")
    tags: tuple[Tag, ...] = () if answers is None else (("e", answers),)
    content = base64.b64encode(body).decode()
    return Rumor(pubkey=author, created_at=now, kind=CALL_KIND, tags=tags, content=content)


def read(opened: Opened, *, now: int) -> Call | None:
    """Return what a wrap asks or answers, None if it holds no call. Raises InvalidWrap."""
    rumor = opened.rumor
    if rumor.kind != CALL_KIND:
        return None
    if not opened.live:
        raise InvalidWrap("a live call in a wrap that relays keep")
    off = abs(now - rumor.created_at)
    if off > limits.LIVE_CALL_SECONDS_MAX:
        bound = limits.LIVE_CALL_SECONDS_MAX
        raise InvalidWrap(f"a live call that is {off} s off, at most {bound} allowed")
    named = next((tag[1] for tag in rumor.tags if tag[0] == "e" and len(tag) > 1), None)
    if named is not None and not is_hex32(named):
        raise InvalidWrap("an answer to what is no question")
    try:
        body = base64.b64decode(rumor.content.encode(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidWrap("a live call is bytes in base64") from error
    if len(body) > limits.LIVE_CALL_BYTES_MAX:
        raise InvalidWrap(f"a live call of {len(body)} bytes")
    return Call(id=rumor.id, author=rumor.pubkey, answers=named, body=body)
