"""Consensus-critical: the fleet manifest, in which an operator says which nodes are one fleet.

    body      deterministic CBOR: members with their keys, addresses and roles; quorum
    signed    [body, the operator's signature, approvals of voters]
    digest    tagged SHA-256 of the body: stands in every vote, claim and request that counts on it

A fleet is a chain of manifests, numbered from 0, each naming the digest of the one before. The
operator signs all of them. What would let him, or a thief of his key, overrule the fleet in one
step also takes a quorum of the voters *before* it: another set of voters or witnesses, another
quorum, another number of witnesses needed. Members and addresses are the operator's alone.

Which voters decide a planned run its planned time says, for good: those of the newest manifest
whose `since` is not later (`Fleet.voters_at`). How no two of them decide one run stands in
mesh/core/fleet/duty.py.

Two manifests of one number are proof against the operator, and are told apart from a replay. Not
here: how a manifest travels, who asked to join, and whether its addresses lead anywhere.
docs/spec/mesh.md, "The fleet manifest".
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor
from ledger.core.hashing import tagged
from ledger.core.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Signer, verify
from mesh.core.errors import (
    ForgedManifest,
    InvalidManifest,
    ManifestFork,
    ManifestGap,
    MissingQuorum,
    NotMember,
    RemovedMember,
    ReplayedManifest,
)

TAG: Final = "timmy/manifest/v1"
VERSION: Final = 1
MEMBERS_MAX: Final = 256
"""A fleet is watched by people; its voters exchange signatures with each other."""
NAME_CHARS_MAX: Final = 64
URLS_MAX: Final = 8
URL_CHARS_MAX: Final = 256
MANIFEST_BYTES_MAX: Final = 1024 * 1024
"""256 members with eight addresses of 256 characters are 600 kB."""
NUMBER_MAX: Final = 2**31
SINCE_S_MAX: Final = 2**37
"""The year 6325, which calendars still show."""
WITNESS: Final = "witness"
VOTER: Final = "voter"
APPROVER: Final = "approver"
"""Its yes counts under proposals of others: without one, k of n approves nothing."""
ROLES: Final = (APPROVER, "gateway", "home", "jobs", VOTER, WITNESS)
"""What a member may be, in order."""
_DIGEST_BYTES: Final = 32
_Approvals: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Nostr key and signature of each."""


def _need(held: bool, text: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not held:
        raise InvalidManifest(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A node: its ledger, its Nostr key, where it is reached, and what it may be.

    `witness` is its Ed25519 key, empty without that role.
    """

    ledger: bytes
    nostr: bytes
    name: str
    urls: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    witness: bytes = b""

    def __post_init__(self) -> None:
        who = self.name[:NAME_CHARS_MAX]
        _need(len(self.ledger) == _DIGEST_BYTES, f"{who}: a ledger id has 32 bytes")
        _need(len(self.nostr) == PUBLIC_KEY_BYTES, f"{who}: a key has 32 bytes")
        _need(0 < len(self.name) <= NAME_CHARS_MAX, f"{who}: 1 to {NAME_CHARS_MAX} characters")
        _need(self.name.isprintable(), f"{who!r}: a name is printable")
        _need(len(self.urls) <= URLS_MAX, f"{who}: {len(self.urls)} addresses, at most {URLS_MAX}")
        for url in self.urls:
            good = url.startswith(("http://", "https://")) and len(url) <= URL_CHARS_MAX
            _need(
                good and url.isascii() and url.isprintable(), f"{who}: {url[:80]!r} is no address"
            )
        ordered = tuple(role for role in ROLES if role in self.roles)
        _need(self.roles == ordered, f"{who}: roles are of {', '.join(ROLES)}, in this order, once")
        keyed = len(self.witness) == (PUBLIC_KEY_BYTES if WITNESS in self.roles else 0)
        _need(keyed, f"{who}: a witness, and nobody else, has a witness key of 32 bytes")

    def to_value(self) -> dict[str, Any]:
        """A map of the CBOR profile."""
        return {
            "ledger": self.ledger,
            "nostr": self.nostr,
            "name": self.name,
            "urls": list(self.urls),
            "roles": list(self.roles),
            "witness": self.witness,
        }

    @classmethod
    def from_value(cls, value: object) -> "Member":
        """Read the map back. Raises InvalidManifest."""
        fields = _fields(
            value, ledger=bytes, nostr=bytes, name=str, urls=list, roles=list, witness=bytes
        )
        return cls(**fields | {key: _texts(fields[key]) for key in ("urls", "roles")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the operator says at one time. `previous` is empty for number 0."""

    number: int
    previous: bytes
    operator: bytes
    members: tuple[Member, ...]
    quorum: int = 0
    needed: int = 0
    """How many witnesses a head needs before it goes out."""
    since: int = 0
    """Its voters decide runs planned at this Unix second or later. Changes with the voters only."""

    def __post_init__(self) -> None:
        _need(0 <= self.number <= NUMBER_MAX, f"number {self.number}, at most {NUMBER_MAX}")
        length = _DIGEST_BYTES if self.number else 0
        _need(
            len(self.previous) == length, f"manifest {self.number} names no {length} bytes before"
        )
        _need(len(self.operator) == PUBLIC_KEY_BYTES, "the operator's key has 32 bytes")
        _need(len(self.members) <= MEMBERS_MAX, f"{len(self.members)} of {MEMBERS_MAX} members")
        ledgers = [one.ledger for one in self.members]
        _need(ledgers == sorted(set(ledgers)), "members are ordered by ledger id, each once")
        for keys in ([m.nostr for m in self.members], [m.witness for m in self.witnesses]):
            _need(len(set(keys)) == len(keys), "one key stands for two members")
        voters = len(self.voters)
        majority = voters // 2 + 1 if voters else 0
        _need(majority <= self.quorum <= voters, f"quorum {self.quorum} of {voters} voters")
        witnesses = len(self.witnesses)
        _need(0 <= self.needed <= witnesses, f"{self.needed} needed of {witnesses} witnesses")
        latest = SINCE_S_MAX if self.number else 0
        _need(0 <= self.since <= latest, f"since {self.since}, at most {latest}")

    @property
    def voters(self) -> tuple[Member, ...]:
        """Members that vote."""
        return tuple(one for one in self.members if VOTER in one.roles)

    @property
    def approvers(self) -> tuple[Member, ...]:
        """Members whose yes counts under a routine proposal."""
        return tuple(one for one in self.members if APPROVER in one.roles)

    @property
    def witnesses(self) -> tuple[Member, ...]:
        """Members that cosign."""
        return tuple(one for one in self.members if WITNESS in one.roles)

    @property
    def digest(self) -> bytes:
        """What votes, claims and requests name it by: 32 bytes."""
        return tagged(TAG, self.encode())

    @property
    def guarded(self) -> tuple[object, ...]:
        """What changes only with a quorum of the voters before."""
        witnesses = tuple((one.ledger, one.witness) for one in self.witnesses)
        return self.electorate, witnesses, self.quorum, self.needed

    @property
    def electorate(self) -> tuple[tuple[bytes, bytes], ...]:
        """Ledger and Nostr key of each voter."""
        return tuple((one.ledger, one.nostr) for one in self.voters)

    def member(self, ledger: bytes) -> Member | None:
        """The member with this ledger."""
        return next((one for one in self.members if one.ledger == ledger), None)

    def encode(self) -> bytes:
        """The body's bytes."""
        return encode(
            {
                "version": VERSION,
                "number": self.number,
                "previous": self.previous,
                "operator": self.operator,
                "members": [one.to_value() for one in self.members],
                "quorum": self.quorum,
                "needed": self.needed,
            }
            | ({"since": self.since} if self.since else {})
        )

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """Read what `encode` gives, and nothing else. Raises InvalidManifest."""
        value = _decode(data)
        dated = {"since": int} if isinstance(value, Mapping) and "since" in value else {}
        fields = _fields(
            value, version=int, number=int, previous=bytes, operator=bytes, members=list,
            quorum=int, needed=int, **dated,
        )  # fmt: skip
        _need(not dated or fields["since"] != 0, "a time of 0 is left out")
        version = fields.pop("version")
        _need(version == VERSION, f"version {version}, expected {VERSION}")
        _need(len(fields["members"]) <= MEMBERS_MAX, f"more than {MEMBERS_MAX} members")
        fields["members"] = tuple(map(Member.from_value, fields["members"]))
        return cls(**fields)

    def following(self, **changes: Any) -> "Manifest":
        """The next one, with these changes and members in their order. Raises InvalidManifest."""
        members = tuple(sorted(changes.pop("members", self.members), key=lambda one: one.ledger))
        facts: dict[str, Any] = {
            "number": self.number + 1,
            "previous": self.digest,
            "members": members,
        }
        return replace(self, **facts | changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedManifest:
    """A manifest whose operator's signature was verified or just made; approvals as they came.

    Who may approve is for the manifest before it to say: `Fleet.advance`.
    """

    manifest: Manifest
    signature: bytes
    approvals: _Approvals = ()
    """(Nostr key, signature), by key."""

    def encode(self) -> bytes:
        """The bytes that travel."""
        approvals = [list(one) for one in self.approvals]
        return encode([self.manifest.encode(), self.signature, approvals])

    def approved(self, *signers: Signer) -> "SignedManifest":
        """The same with further approvals."""
        body = self.manifest.encode()
        added = {signer.public: signer.sign(TAG, body) for signer in signers}
        return replace(self, approvals=tuple(sorted((dict(self.approvals) | added).items())))


def sign_manifest(manifest: Manifest, operator: Signer) -> SignedManifest:
    """Sign with the operator's key. Raises ForgedManifest for another key than it names."""
    if operator.public != manifest.operator:
        raise ForgedManifest("the manifest names another operator than the key that is to sign it")
    return SignedManifest(manifest=manifest, signature=operator.sign(TAG, manifest.encode()))


def open_manifest(data: bytes) -> SignedManifest:
    """Parse and verify. Raises InvalidManifest, or ForgedManifest if a signature fails."""
    body, signature, approvals = _parts(data)
    manifest = Manifest.parse(body)
    _check_operator(manifest, body, signature)
    _check_approvals(approvals, body)
    return SignedManifest(manifest=manifest, signature=signature, approvals=approvals)


def manifest_in(data: bytes) -> Manifest:
    """What a signed manifest says, no signature looked at. Raises InvalidManifest."""
    return Manifest.parse(_parts(data)[0])


def _parts(data: bytes) -> tuple[bytes, bytes, _Approvals]:
    value = _decode(data)
    kinds = [type(item) for item in value] if isinstance(value, list) else []
    _need(kinds == [bytes, bytes, list], "a signed manifest is [bytes, bytes, list]")
    body, signature, approvals = value
    _need(len(approvals) <= MEMBERS_MAX, f"{len(approvals)} approvals, at most {MEMBERS_MAX}")
    return body, signature, _shaped(approvals)


def _check_operator(manifest: Manifest, body: bytes, signature: bytes) -> None:
    if not verify(manifest.operator, TAG, body, signature):
        raise ForgedManifest(f"the operator's signature of manifest {manifest.number} fails")


def _shaped(value: Sequence[object]) -> _Approvals:
    """Approvals as they came, their signatures not looked at. Raises InvalidManifest."""
    found = []
    for one in value:
        pair = one if isinstance(one, list) else []
        _need([type(item) for item in pair] == [bytes, bytes], "an approval is [bytes, bytes]")
        key, signature = pair
        _need(len(key) == PUBLIC_KEY_BYTES, "an approval is by a key of 32 bytes")
        _need(len(signature) == SIGNATURE_BYTES, "an approval has 64 bytes")
        found.append((key, signature))
    keys = [key for key, _ in found]
    _need(keys == sorted(set(keys)), "approvals are ordered by key, each once")
    return tuple(found)


def _check_approvals(approvals: _Approvals, body: bytes) -> None:
    for key, signature in approvals:
        if not verify(key, TAG, body, signature):
            raise ForgedManifest(f"the approval of {key.hex()} fails")


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Of a member that was taken out its Nostr key, and the number of the manifest without it."""

    nostr: bytes
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A chain of manifests as far as it is known: the newest one, and who is no member any more."""

    newest: SignedManifest
    fleet_id: bytes
    """Digest of manifest 0."""
    removed: Mapping[bytes, Removal]
    """By ledger id."""
    votings: tuple[Manifest, ...]
    """Manifests that named other voters than the one before, oldest first."""

    @classmethod
    def begin(cls, first: SignedManifest) -> "Fleet":
        """Begin with manifest 0. Raises ManifestGap for a later one."""
        if first.manifest.number:
            raise ManifestGap(f"manifest {first.manifest.number} begins no fleet: 0 does")
        return cls(
            newest=first,
            fleet_id=first.manifest.digest,
            removed=MappingProxyType({}),
            votings=(first.manifest,),
        )

    @property
    def manifest(self) -> Manifest:
        """The newest manifest."""
        return self.newest.manifest

    def others_of(self, ledger: bytes) -> tuple[Member, ...]:
        """The other members, as one of them sees it; nobody for one who is none."""
        members = self.manifest.members if self.manifest.member(ledger) is not None else ()
        return tuple(one for one in members if one.ledger != ledger)

    def voters_at(self, planned_s: int) -> tuple[bytes, ...]:
        """Nostr keys of the voters who decide what is planned then; some may be no members now."""
        last = next(one for one in reversed(self.votings) if one.since <= planned_s)
        return tuple(one.nostr for one in last.voters)

    def advance(self, new: SignedManifest) -> "Fleet":
        """Take the next manifest.

        Raises ForgedManifest for another operator's, ReplayedManifest for a known or older one,
        ManifestFork for a second one of a number, ManifestGap if some are missing between,
        InvalidManifest for a time that it may not set, and MissingQuorum if the voters before it
        had to approve and did not.
        """
        old, now = self.manifest, new.manifest
        self._check_follows(now)
        self._check_voters(new.approvals)
        if now.guarded != old.guarded and len(new.approvals) < old.quorum:
            raise MissingQuorum(
                f"manifest {now.number} changes who decides: {len(new.approvals)} voters of "
                f"manifest {old.number} approve, {old.quorum} are needed",
                hint=f"on the other voters' machines: timmy mesh approve {now.digest.hex()[:12]}",
            )
        votings = self.votings if now.electorate == old.electorate else (*self.votings, now)
        return replace(self, newest=new, removed=self._removed_by(now), votings=votings)

    def _removed_by(self, now: Manifest) -> Mapping[bytes, Removal]:
        there = {one.ledger for one in now.members}
        gone = [one for one in self.manifest.members if one.ledger not in there]
        before = {ledger: one for ledger, one in self.removed.items() if ledger not in there}
        new = {one.ledger: Removal(nostr=one.nostr, number=now.number) for one in gone}
        return MappingProxyType(before | new)

    def open(self, data: bytes) -> SignedManifest:
        """Parse and verify what may be the next manifest; anybody may have sent it.

        Signatures are asked about last, and those of strangers never: 256 of them cost half a
        second. Raises what `advance` does but MissingQuorum, and InvalidManifest.
        """
        body, signature, approvals = _parts(data)
        manifest = Manifest.parse(body)
        self._check_same_operator(manifest)
        _check_operator(manifest, body, signature)
        self._check_follows(manifest)
        self._check_voters(approvals)
        _check_approvals(approvals, body)
        return SignedManifest(manifest=manifest, signature=signature, approvals=approvals)

    def _check_same_operator(self, now: Manifest) -> None:
        if now.operator != self.manifest.operator:
            raise ForgedManifest("another operator signed it than that of this fleet")

    def _check_voters(self, approvals: _Approvals) -> None:
        old = self.manifest
        voters = {one.nostr for one in old.voters}
        strangers = [key for key, _ in approvals if key not in voters]
        if strangers:
            raise ForgedManifest(f"{strangers[0].hex()} approves and is no voter of {old.number}")

    def _check_follows(self, now: Manifest) -> None:
        self._check_same_operator(now)
        old = self.manifest
        if now.number == old.number and now.digest != old.digest:
            raise ManifestFork(
                f"the operator signed two manifests {now.number}: {old.digest.hex()} and "
                f"{now.digest.hex()}"
            )
        if now.number <= old.number:
            raise ReplayedManifest(f"manifest {now.number}, {old.number} is known")
        if now.number > old.number + 1:
            raise ManifestGap(
                f"manifest {now.number} follows {now.number - 1}, {old.number} is known"
            )
        if now.previous != old.digest:
            raise ManifestFork(
                f"manifest {now.number} follows {now.previous.hex()}, {old.digest.hex()} is known"
            )
        same = now.electorate == old.electorate
        _need(
            now.since == old.since if same else now.since >= old.since,
            f"manifest {now.number} says since {now.since}, the one before it {old.since}: later "
            "with other voters, and the same with the same",
        )

    def merged(self, one: SignedManifest, other: SignedManifest | None) -> SignedManifest:
        """The next manifest with the approvals of both copies, those of its voters only.

        Another manifest than `one` gives none. Raises what `advance` does but MissingQuorum.
        """
        given = dict(one.approvals)
        if other is not None and other.manifest == one.manifest:
            given |= dict(other.approvals)
        voters = {member.nostr for member in self.manifest.voters}
        kept = tuple(sorted((key, made) for key, made in given.items() if key in voters))
        merged = replace(one, approvals=kept)
        with suppress(MissingQuorum):
            self.advance(merged)
        return merged

    def check_member(self, ledger: bytes) -> Member:
        """Return the member with this ledger. Raises RemovedMember or NotMember."""
        found = self.manifest.member(ledger)
        if found is not None:
            return found
        if ledger in self.removed:
            raise RemovedMember(f"{ledger.hex()} was removed from this fleet")
        raise NotMember(f"{ledger.hex()} is no member of this fleet")


def _decode(data: bytes) -> Any:
    try:
        return decode(data, bytes_max=MANIFEST_BYTES_MAX)
    except InvalidCbor as error:
        raise InvalidManifest(str(error)) from error


def _fields(value: object, **kinds: type) -> dict[str, Any]:
    if not isinstance(value, Mapping) or set(value) != set(kinds):
        raise InvalidManifest(f"a map of {', '.join(kinds)} is missing")
    for name, kind in kinds.items():
        _need(type(value[name]) is kind, f"{name} is not of type {kind.__name__}")
    return dict(value)


def _texts(value: list[object]) -> tuple[str, ...]:
    _need(all(type(item) is str for item in value), "an address or role is no text")
    return tuple(str(item) for item in value)
