"""The bridge between agents, in plain sight: signs of life and work, and what others answer.

    heartbeat  kind 1, t=timmy-heartbeat, p=each peer, expiring: "I am alive", for people, too
    ack        kind 1, t=timmy-ack, e=the heartbeat, p=its author: "seen"
    artifact   kind 30078, d=type/digest, content=digest, t=timmy-artifact,
               t=artifact-type:TYPE, e=the ledger event that records it: "I made this"
    receipt    kind 78, t=timmy-receipt, e=the report, p=its author, x=the digest: "I noted it"

All of it is public, and signed by who says it. An artifact's report is addressable: a later one of
the same digest takes its place, so what counts is the ledger's record and the receipts. Artifacts
themselves are elsewhere: a commit, a file, a page.

Not covered: whether an artifact exists or is what it is said to be; liveness as a fact (an
expired heartbeat is gone from relays; a missing one may be the relay's fault).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh.core.errors import InvalidEvent
from mesh.core.nip01 import Event, NostrSigner, UnsignedEvent, VerifiedEvent, is_hex32, made_safe
from mesh.core.relay.kinds import first_value

NOTE_KIND: Final = 1
ARTIFACT_KIND: Final = 30078
RECEIPT_KIND: Final = 78
BEAT_TAG: Final = "timmy-heartbeat"
ACK_TAG: Final = "timmy-ack"
ARTIFACT_TAG: Final = "timmy-artifact"
RECEIPT_TAG: Final = "timmy-receipt"
BEAT_TTL_SECONDS: Final = 86_400
"""Heartbeats and acks are of no use to anybody after a day; relays may drop them then (NIP-40)."""
PEERS_MAX: Final = 32
_TYPE: Final = re.compile("[a-z][a-z0-9-]{0,31}")
_DIGEST: Final = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_TYPE_PREFIX: Final = "artifact-type:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What was made: a type like `git-commit`, and a digest of 20 or 32 bytes in hex.

    `recorded` is the id of the ledger event that says so, in hex.
    """

    kind: str
    digest: str
    recorded: str

    def __post_init__(self) -> None:
        if _TYPE.fullmatch(self.kind) is None:
            raise InvalidEvent("an artifact's type is 1 to 32 of a-z, 0-9 and -, a letter first")
        if _DIGEST.fullmatch(self.digest) is None:
            raise InvalidEvent("an artifact's digest is 40 or 64 characters of lower-case hex")
        if not is_hex32(self.recorded):
            raise InvalidEvent("an artifact's event is not 64 characters of lower-case hex")


def mint_beat(signer: NostrSigner, words: str, peers: Sequence[str], *, now: int) -> VerifiedEvent:
    """Return a heartbeat for people and `peers` (public keys in hex); `now` in Unix seconds."""
    tags = [("t", BEAT_TAG), *(("p", peer) for peer in peers)]
    return _note(signer, words, tags, now)


def mint_ack(signer: NostrSigner, beat: Event, *, now: int) -> VerifiedEvent:
    """Return the acknowledgement of a heartbeat."""
    tags = [("t", ACK_TAG), ("e", beat.id, "", "reply"), ("p", beat.pubkey)]
    return _note(signer, "seen", tags, now)


def _note(
    signer: NostrSigner, words: str, tags: Sequence[tuple[str, ...]], now: int
) -> VerifiedEvent:
    ends = ("expiration", str(now + BEAT_TTL_SECONDS))
    return signer.sign(
        UnsignedEvent(
            pubkey=signer.pubkey,
            created_at=now,
            kind=NOTE_KIND,
            tags=(*tags, ends),
            content=made_safe(words),
        )
    )


def is_beat(event: Event) -> bool:
    """Tell whether an event is a heartbeat."""
    return event.kind == NOTE_KIND and _says(event, BEAT_TAG)


def acknowledged(event: Event) -> str | None:
    """Return the id of the heartbeat that an event acknowledges, or None if it does not."""
    found = first_value(event, "e")
    good = event.kind == NOTE_KIND and _says(event, ACK_TAG) and is_hex32(found)
    return found if good else None


def mint_artifact(signer: NostrSigner, artifact: Artifact, *, now: int) -> VerifiedEvent:
    """Return the report of an artifact."""
    return signer.sign(
        UnsignedEvent(
            pubkey=signer.pubkey,
            created_at=now,
            kind=ARTIFACT_KIND,
            tags=(
                ("d", f"{artifact.kind}/{artifact.digest}"),
                ("e", artifact.recorded),
                ("t", ARTIFACT_TAG),
                ("t", BEAT_TAG),
                ("t", _TYPE_PREFIX + artifact.kind),
            ),
            content=artifact.digest,
        )
    )


def artifact_of(event: Event) -> Artifact | None:
    """Return what an event reports; None if it is no report, or one that is not well-formed."""
    if event.kind != ARTIFACT_KIND or not _says(event, ARTIFACT_TAG):
        return None
    named = [tag[1] for tag in event.tags if tag[0] == "t" and len(tag) > 1]
    kinds = [one.removeprefix(_TYPE_PREFIX) for one in named if one.startswith(_TYPE_PREFIX)]
    if len(kinds) != 1 or first_value(event, "d") != f"{kinds[0]}/{event.content}":
        return None
    try:
        recorded = first_value(event, "e") or ""
        return Artifact(kind=kinds[0], digest=event.content, recorded=recorded)
    except InvalidEvent:
        return None


def mint_receipt(
    signer: NostrSigner, report: Event, artifact: Artifact, *, now: int
) -> VerifiedEvent:
    """Return the receipt for a report."""
    tags = (
        ("e", report.id),
        ("p", report.pubkey),
        ("t", RECEIPT_TAG),
        ("x", artifact.digest),
    )
    return signer.sign(
        UnsignedEvent(pubkey=signer.pubkey, created_at=now, kind=RECEIPT_KIND, tags=tags)
    )


def receipted(event: Event) -> tuple[str, str] | None:
    """Return (id of the report, digest) that an event is a receipt for, or None."""
    report, digest = first_value(event, "e"), first_value(event, "x")
    if event.kind != RECEIPT_KIND or not _says(event, RECEIPT_TAG) or not is_hex32(report):
        return None
    if digest is None or report is None or _DIGEST.fullmatch(digest) is None:
        return None
    return report, digest


def _says(event: Event, topic: str) -> bool:
    return any(tag[:2] == ("t", topic) for tag in event.tags)
