"""Which keys were in charge when: handoffs, epochs and recoveries (lineage.md)."""

from dataclasses import dataclass, field
from typing import Any

from tests.spec.stranger.codec import demand, encode, is_bytes, is_uint, sha256, signed
from tests.spec.stranger.event import Event

ROLES = {"log", "seal", "funding"}
REASON_MAX = 500
UNSIGNED = {"old_signature", "next_signature", "proofs"}
HANDOFF_FIELDS = {
    "version",
    "number",
    "previous",
    "soul",
    "kept_size",
    "kept_root",
    "architecture",
    "successor",
    "key",
    "reason",
    *UNSIGNED,
}
FORM, KEY, SIGNATURE = "lineage.form", "lineage.key", "lineage.signature"
PLACE, TWICE = "lineage.place", "lineage.twice"
RECORDS = ("soul.handed_off", "ledger.epoch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenure:
    """A run of heads under one log key. `began` is birth, handoff, epoch or recovery."""

    number: int
    epoch: int
    start: int
    keys: dict[str, bytes]
    next_key_digest: bytes
    record: bytes
    began: str
    event: bytes
    """The id of the one that it began with, which may have kept the keys."""


def _has(value: object, keys: set[str], size: int) -> bool:
    same = type(value) is dict and set(value) == keys
    return same and all(is_bytes(item, size) for item in value.values())


@dataclass(slots=True)
class Lineage:
    """The tenures that the records so far lead to."""

    ledger: bytes
    genesis: dict
    tenures: list[Tenure] = field(default_factory=list)
    kept: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)  # of each epoch's record

    def __post_init__(self) -> None:
        keys = {role: self.genesis["keys"][role] for role in ROLES}
        birth = Tenure(
            number=0,
            epoch=0,
            start=0,
            keys=keys,
            next_key_digest=self.genesis["next_key_digest"],
            record=self.ledger,
            began="birth",
            event=self.ledger,
        )
        self.tenures.append(birth)

    @property
    def last(self) -> Tenure:
        return self.tenures[-1]

    def signer(self, epoch: int, size: int) -> Tenure | None:
        fits = [one for one in self.tenures if one.epoch == epoch and one.start <= size]
        return fits[-1] if fits else None

    def take(self, event: Event, position: int) -> None:
        """The rules of the record, whatever it keeps."""
        if event.type == "soul.handed_off":
            self.tenures.append(self._handoff(event, position))
        elif event.type == "ledger.epoch":
            self.tenures.append(self._epoch(event, position))
            facts = event.payload
            self.kept[facts["epoch"]] = position, facts["kept_size"], facts["kept_root"]

    def _handoff(self, event: Event, position: int) -> Tenure:
        facts, before = event.payload, self.last
        check_form(facts)
        successor, key = facts["successor"], facts["key"]
        demand(sha256(key) == before.next_key_digest, KEY, "not the next key")
        body = {name: item for name, item in facts.items() if name not in UNSIGNED}
        message = encode([self.ledger, body])
        log = before.keys["log"]
        old = signed(log, facts["old_signature"], "timmy/handoff/v1", message)
        demand(old, SIGNATURE, "signature of the old key")
        held = signed(key, facts["next_signature"], "timmy/handoff/v1", message)
        demand(held, SIGNATURE, "signature of the next key")
        _check_proofs(successor, facts["proofs"], "timmy/handoff/v1", message)
        demand(facts["number"] == before.number + 1, PLACE, "number")
        demand(facts["previous"] == before.record, PLACE, "previous")
        demand(facts["soul"] == self.genesis["soul"]["sha256"], PLACE, "soul")
        self._check_new(successor, key)
        return Tenure(
            number=facts["number"],
            epoch=before.epoch,
            start=position + 2,
            keys=successor["keys"],
            next_key_digest=successor["next_key_digest"],
            record=event.id,
            began="handoff",
            event=event.id,
        )

    def _epoch(self, event: Event, position: int) -> Tenure:
        facts, before = event.payload, self.last
        names = ("epoch", "kept_size", "kept_root", "key", "signature")
        epoch, size, root, key, signature = (facts.get(name) for name in names)
        demand(type(epoch) is int and type(size) is int, FORM, "type of a number")
        demand(is_bytes(root) and is_bytes(key) and is_bytes(signature), FORM, "type of bytes")
        renews = "successor" in facts
        demand(renews == ("proofs" in facts), FORM, "one of successor and proofs without the other")
        message = [self.ledger, epoch, size, root]
        if renews:
            check_successor(facts["successor"], facts["proofs"])
            message.append(facts["successor"])
        demand(sha256(key) == self.genesis["recovery_key_digest"], KEY, "not the recovery key")
        holds = signed(key, signature, "timmy/epoch/v1", encode(message))
        demand(holds, SIGNATURE, "signature of the recovery key")
        if renews:
            successor, proofs = facts["successor"], facts["proofs"]
            _check_proofs(successor, proofs, "timmy/epoch/v1", encode(message))
        demand(epoch == before.epoch + 1, PLACE, f"epoch {epoch} after {before.epoch}")
        if renews:
            self._check_new(facts["successor"], key)
        return Tenure(
            number=before.number + renews,
            epoch=epoch,
            start=position + 1,
            keys=facts["successor"]["keys"] if renews else before.keys,
            next_key_digest=facts["successor"]["next_key_digest"]
            if renews
            else before.next_key_digest,
            record=event.id if renews else before.record,
            began="recovery" if renews else "epoch",
            event=event.id,
        )

    def _check_new(self, successor: dict, key: bytes) -> None:
        """No key twice."""
        used = {*self.genesis["keys"].values(), self.genesis["recovery_output_key"], key}
        announced = {self.genesis["recovery_key_digest"]}
        for tenure in self.tenures:
            used |= set(tenure.keys.values())
            announced.add(tenure.next_key_digest)
        keys, digest = set(successor["keys"].values()), successor["next_key_digest"]
        demand(not keys & used, TWICE, "a key was used before")
        demand(not set(map(sha256, keys)) & announced, TWICE, "a key was announced before")
        demand(digest not in announced, TWICE, "the next key was announced before")
        demand(digest not in set(map(sha256, used | keys)), TWICE, "the next key was used before")


def check_form(facts: dict) -> None:
    """Rule 1 of a handoff."""
    demand(set(facts) == HANDOFF_FIELDS, FORM, "fields")
    demand(type(facts["version"]) is int and facts["version"] == 1, FORM, "version")
    for name in ("number", "kept_size"):
        demand(is_uint(facts[name]) and facts[name] >= 1, FORM, name)
    for name in ("previous", "soul", "kept_root", "architecture", "key"):
        demand(is_bytes(facts[name], 32), FORM, name)
    reason = facts["reason"]
    demand(type(reason) is str and len(reason) <= REASON_MAX, FORM, "reason")
    demand(is_bytes(facts["old_signature"]), FORM, "old_signature")
    demand(is_bytes(facts["next_signature"]), FORM, "next_signature")
    check_successor(facts["successor"], facts["proofs"])


def check_successor(successor: Any, proofs: Any) -> None:
    fits = type(successor) is dict and set(successor) == {"keys", "next_key_digest"}
    demand(fits and _has(successor["keys"], ROLES, 32), FORM, "successor")
    demand(is_bytes(successor["next_key_digest"], 32), FORM, "next_key_digest of the successor")
    demand(len(set(successor["keys"].values())) == 3, FORM, "a key twice in the successor")
    demand(_has(proofs, ROLES, 64), FORM, "proofs")


def _check_proofs(successor: dict, proofs: dict, tag: str, message: bytes) -> None:
    for role, key in successor["keys"].items():
        demand(signed(key, proofs[role], tag, message), SIGNATURE, f"proof of {role}")
