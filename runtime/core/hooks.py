"""Webhooks: is a delivery from who knows the secret, and was it taken before. Pure.

    github   X-Hub-Signature-256: sha256=<hex>     HMAC-SHA256 of the body
    timmy    Timmy-Signature: t=<Unix s>,id=<delivery>,v1=<hex>     of "<t>.<id>.<body>"

GitHub signs neither time nor delivery id, so the same body is taken once, for ever; nor the name of
the event (X-GitHub-Event), so that is not heard: whoever saw one delivery could say another. The
other signs both: one id is taken once, and none HOOK_AGE_S_MAX after it was signed.

Not covered: a secret that its holder lost.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from ledger.core import hashing
from ledger.core.limits import IDEMPOTENCY_KEY_BYTES
from runtime.core.limits import HOOK_AGE_S_MAX

Scheme = Literal["github", "timmy"]

GITHUB_HEADER: Final = "X-Hub-Signature-256"
TIMMY_HEADER: Final = "Timmy-Signature"
_KEY: Final = "timmy-node 2026-11 webhook delivery v1"
_GITHUB: Final = re.compile(r"sha256=([0-9a-f]{64})")
_TIMMY: Final = re.compile(r"t=([0-9]{1,12}),id=([A-Za-z0-9._:-]{1,64}),v1=([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One hook: its words go to a conversation, or it runs a job. Exactly one of them is named."""

    name: str
    scheme: Scheme
    secret: bytes = field(repr=False)
    conversation: str = ""
    job: str = ""

    def __post_init__(self) -> None:
        if bool(self.conversation) == bool(self.job):
            raise ValueError("a hook has a conversation or a job")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One that is genuine. `key`: 16 bytes, the same for each repetition."""

    key: bytes
    text: str


def open_delivery(
    hook: Hook, headers: Mapping[str, str], body: bytes, now_s: int
) -> Delivery | None:
    """Return what was delivered, or None for anything that its secret's holder did not send now."""
    given = headers.get(GITHUB_HEADER if hook.scheme == "github" else TIMMY_HEADER, "")
    if hook.scheme == "github":
        found = _GITHUB.fullmatch(given)
        signed, signature, fresh, parts = body, found and found[1], True, [b"", body]
    else:
        found = _TIMMY.fullmatch(given)
        at, name = (found[1], found[2]) if found else ("0", "")
        signed = b".".join((at.encode(), name.encode(), body))
        signature, fresh = found and found[3], abs(now_s - int(at)) <= HOOK_AGE_S_MAX
        parts = [name.encode(), b""]
    good = hmac.compare_digest(sign(hook.secret, signed), signature or "0" * 64)
    if not (found and good and fresh):
        return None
    sized = b"".join(len(p).to_bytes(8, "big") + p for p in (hook.name.encode(), *parts))
    key = hashing.xof(_KEY, IDEMPOTENCY_KEY_BYTES, sized)
    return Delivery(key=key, text=body.decode(errors="replace"))


def sign(secret: bytes, data: bytes) -> str:
    """Return HMAC-SHA256 in hex."""
    return hmac.new(secret, data, hashlib.sha256).hexdigest()
