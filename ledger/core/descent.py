"""Consensus-critical: the certificate by which a parent agent says that a child agent is its own.

It stands in two ledgers, in the same words: as `child.fathered` in the parent's, and as
`parent.certified`, the second event, in the child's. It names the child's ledger, SOUL and keys,
the skills it was given, and the numbers by which its gates are judged; the parent's log key signs
it, and the child's log key signs it too, so that nobody can be claimed who did not agree.

Nobody can be his own ancestor. A certificate keeps a head of the parent's ledger of at least two
events, and the second of them is the parent's own certificate, if it has one: a ring of
certificates would be a ring of SHA-256. What `ancestors` says beyond that is the parent's word;
each step of it is proven by the certificate in that ancestor's ledger.

What it does not show: that the child's keys were made anew (only that they are none of those of
the parent that it names), that parent and child run on different machines, or that what is kept is
the parent's history, which whoever has the parent's ledger compares. Record: docs/spec/child.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ledger.core.codec import encode
from ledger.core.errors import InvalidCertificate
from ledger.core.genesis import KEY_ROLES, Genesis
from ledger.core.keys import SIGNATURE_BYTES, Signer, verify
from ledger.core.limits import INT_MAX

TAG: Final = "timmy/child/v1"
VERSION: Final = 1
PLACE: Final = 1
"""Position of the certificate in the child's ledger: right behind its genesis."""
KEPT_SIZE_MIN: Final = 2
"""Genesis, and the parent's own certificate if it is a child itself: see above."""
ANCESTORS_MAX: Final = 64
"""Generations; with a new one each month, five years of them. 64 ids are 2 KiB."""
SKILLS_MAX: Final = 64
"""A child begins with few; what it needs further it learns, or is given later."""
NUMBERS_MAX: Final = 32
"""Thresholds of gates: there are a dozen."""
_BYTES: Final = 32
_SKILL: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_NUMBER: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")

_KINDS: Final = {
    "version": int,
    "parent": bytes,
    "parent_soul": bytes,
    "parent_keys": dict,
    "kept_size": int,
    "kept_root": bytes,
    "ancestors": list,
    "child": bytes,
    "child_soul": bytes,
    "child_keys": dict,
    "skills": dict,
    "gates": dict,
    "made_ms": int,
}
_PARENT_ROLES: Final = ("log", "nostr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Ledger `parent` says that ledger `child` is its child. Ids, digests and keys are 32 bytes.

    `parent_keys`: log, which signs this, and nostr, by which the parent speaks to the child.
    `kept_size`, `kept_root`: a head of the parent's log. `ancestors`: the parent's own parent
    first. `child_keys`: of each of KEY_ROLES. `skills`: digest by name. `gates`: number by name.
    """

    parent: bytes
    parent_soul: bytes
    parent_keys: Mapping[str, bytes]
    kept_size: int
    kept_root: bytes
    ancestors: tuple[bytes, ...]
    child: bytes
    child_soul: bytes
    child_keys: Mapping[str, bytes]
    skills: Mapping[str, bytes]
    gates: Mapping[str, int]
    made_ms: int

    def __post_init__(self) -> None:
        for name in ("parent", "parent_soul", "kept_root", "child", "child_soul"):
            _require_bytes(getattr(self, name), name)
        _require_keys(self.parent_keys, _PARENT_ROLES, "parent_keys")
        _require_keys(self.child_keys, KEY_ROLES, "child_keys")
        if not KEPT_SIZE_MIN <= self.kept_size <= INT_MAX:
            raise InvalidCertificate(
                f"certificate: keeps {self.kept_size} events of the parent, "
                f"at least {KEPT_SIZE_MIN}"
            )
        if not 0 <= self.made_ms <= INT_MAX:
            raise InvalidCertificate(f"certificate: made at {self.made_ms} ms")
        self._check_lists()
        self._check_kin()

    def _check_lists(self) -> None:
        for what, count, most in (
            ("ancestors", len(self.ancestors), ANCESTORS_MAX),
            ("skills", len(self.skills), SKILLS_MAX),
            ("gates", len(self.gates), NUMBERS_MAX),
        ):
            if count > most:
                raise InvalidCertificate(f"certificate: {count} {what}, at most {most}")
        for ancestor in self.ancestors:
            _require_bytes(ancestor, "an ancestor")
        for skill, digest in self.skills.items():
            _require_name(_SKILL, skill, "a skill")
            _require_bytes(digest, "the digest of a skill")
        for gate, number in self.gates.items():
            _require_name(_NUMBER, gate, "a number of a gate")
            if type(number) is not int or not 0 <= number <= INT_MAX:
                raise InvalidCertificate(f"certificate: {gate} is no number from 0 on")

    def _check_kin(self) -> None:
        """Nobody stands twice in one line, and no key is the parent's and the child's."""
        line = (self.child, self.parent, *self.ancestors)
        if len(set(line)) != len(line):
            raise InvalidCertificate("certificate: somebody would be his own ancestor")
        own = {key for role, key in self.child_keys.items() if role != "operator"}
        if own & set(self.parent_keys.values()):
            raise InvalidCertificate("certificate: a key of the child is the parent's")

    def signed_value(self) -> dict[str, Any]:
        """The map that is signed."""
        return {
            "version": VERSION,
            "parent": self.parent,
            "parent_soul": self.parent_soul,
            "parent_keys": dict(self.parent_keys),
            "kept_size": self.kept_size,
            "kept_root": self.kept_root,
            "ancestors": list(self.ancestors),
            "child": self.child,
            "child_soul": self.child_soul,
            "child_keys": dict(self.child_keys),
            "skills": dict(self.skills),
            "gates": dict(self.gates),
            "made_ms": self.made_ms,
        }

    def message(self) -> bytes:
        """The bytes that both log keys sign."""
        return encode(self.signed_value())

    @classmethod
    def from_value(cls, value: object) -> "Certificate":
        """Read what `signed_value` gives. Raises InvalidCertificate."""
        if not isinstance(value, dict) or value.keys() != _KINDS.keys():
            raise InvalidCertificate(f"certificate: fields are not exactly {', '.join(_KINDS)}")
        for name, kind in _KINDS.items():
            if type(value[name]) is not kind:
                raise InvalidCertificate(f"certificate: {name} is not of type {kind.__name__}")
        if value["version"] != VERSION:
            raise InvalidCertificate(
                f"certificate: version {value['version']}, this software reads {VERSION}"
            )
        facts = {name: value[name] for name in _KINDS if name != "version"}
        return cls(**(facts | {"ancestors": tuple(value["ancestors"])}))

    def to_payload(self, *, signature: bytes, proof: bytes) -> dict[str, Any]:
        """The payload of both events."""
        return {"certificate": self.signed_value(), "signature": signature, "proof": proof}


def sign_certificate(certificate: Certificate, signer: Signer) -> bytes:
    """Sign as parent (the `signature`) or as child (the `proof`)."""
    return signer.sign(TAG, certificate.message())


def open_certificate(payload: Mapping[str, Any]) -> Certificate:
    """Verify the payload of a `child.fathered` or `parent.certified`. Raises InvalidCertificate.

    Whose the keys are, and where it stands, is for `check_child` and `check_parent`.
    """
    if payload.keys() != {"certificate", "signature", "proof"}:
        raise InvalidCertificate("certificate: not exactly certificate, signature and proof")
    certificate = Certificate.from_value(payload["certificate"])
    message = certificate.message()
    signers = (
        ("signature", certificate.parent_keys["log"], "parent"),
        ("proof", certificate.child_keys["log"], "child"),
    )
    for name, key, whose in signers:
        signature = payload[name]
        sized = type(signature) is bytes and len(signature) == SIGNATURE_BYTES
        if not sized or not verify(key, TAG, message, signature):
            raise InvalidCertificate(f"the signature of the {whose}'s log key does not verify")
    return certificate


def check_child(
    certificate: Certificate, genesis: Genesis, *, ledger_id: bytes, position: int
) -> None:
    """Raise InvalidCertificate unless it is about this ledger, and stands where it must."""
    if position != PLACE:
        raise InvalidCertificate(f"a certificate at position {position}, it stands at {PLACE}")
    if certificate.child != ledger_id:
        raise InvalidCertificate(f"the certificate is about ledger {certificate.child.hex()}")
    if certificate.child_soul != genesis.soul.sha256:
        raise InvalidCertificate("the certificate is about another SOUL")
    if dict(certificate.child_keys) != dict(genesis.keys):
        raise InvalidCertificate("the certificate is about other keys")


def check_parent(
    certificate: Certificate,
    *,
    ledger_id: bytes,
    soul: bytes,
    log_key: bytes,
    position: int,
) -> None:
    """Raise InvalidCertificate unless the ledger at whose `position` it stands made it.

    `log_key`: the one in charge there. `kept_root` is for whoever has the tree.
    """
    if certificate.parent != ledger_id or certificate.parent_soul != soul:
        raise InvalidCertificate(f"the certificate is by ledger {certificate.parent.hex()}")
    if certificate.parent_keys["log"] != log_key:
        raise InvalidCertificate("the certificate is not by the log key that was in charge")
    if certificate.kept_size > position:
        raise InvalidCertificate(
            f"the certificate keeps {certificate.kept_size} events at position {position}"
        )


def _require_bytes(value: object, name: str) -> None:
    if type(value) is not bytes or len(value) != _BYTES:
        raise InvalidCertificate(f"certificate: {name} is not {_BYTES} bytes")


def _require_keys(value: Mapping[str, bytes], roles: tuple[str, ...], name: str) -> None:
    if value.keys() != set(roles):
        raise InvalidCertificate(f"certificate: {name} are not exactly {', '.join(roles)}")
    for role, key in value.items():
        _require_bytes(key, f"the {role} key of {name}")
    if len(set(value.values())) != len(roles):
        raise InvalidCertificate(f"certificate: two roles of {name} share one key")


def _require_name(pattern: re.Pattern[str], name: object, what: str) -> None:
    if type(name) is not str or pattern.fullmatch(name) is None:
        raise InvalidCertificate(f"certificate: {str(name)[:60]!r} is no name of {what}")
