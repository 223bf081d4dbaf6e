"""The fleet that this node is of: its manifests on disk, who asked to join, who is there.

A manifest proves itself; whoever brings it is not asked. What this node says to the others by
itself is in `node.fleet.telling`, what people are shown in `node.fleet.members_shown`.
"""

import asyncio
import hashlib
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import aiohttp
import structlog

from ledger.core.cosignature import Witness
from ledger.core.errors import NotFound, TimmyError
from ledger.core.keys import Signer
from ledger.log import Log
from mesh.core.errors import (
    InvalidManifest,
    ManifestFork,
    MissingQuorum,
    NotMember,
    Refused,
    ReplayedManifest,
)
from mesh.core.fleet.joining import SECRET_BYTES, Token, open_request, part_of
from mesh.core.fleet.manifest import (
    NAME_CHARS_MAX,
    VOTER,
    WITNESS,
    Fleet,
    Manifest,
    Member,
    SignedManifest,
    open_manifest,
    sign_manifest,
)
from mesh.core.fleet.presence import Presence, ledger_in, open_presence
from mesh.core.fleet.routing import TIMES, Times
from mesh.core.told import Told
from mesh.witnesses.asking import Asked, post
from node.fleet import newcomers
from node.fleet.agreed import agreed
from node.fleet.ed25519 import Ed25519Key, witness_name
from node.fleet.files import FleetFiles, fleet_files
from node.open import now_ms
from node.opened import Opened

_ASK_SECONDS_MAX: Final = 10.0
_ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
"""A few manifests of a large fleet."""
_INVITES_MAX: Final = 64
_TOLD_MAX: Final = 64
"""Proposals of one number, with the approvals that each has: more are of somebody who plays."""
_OK: Final = 200
_WHY_BYTES_MAX: Final = 200
_MANIFESTS: Final = "/fleet/manifest"
"""Where a refusal is nothing: two members bring the same one, a proposal waits for a quorum."""
BACK_HINT: Final = (
    "it goes on alone; to come back: timmy run --join TOKEN; to be of no fleet, or of another one: "
    "stop it and remove <home>/fleet"
)
_log = structlog.get_logger("node.fleet.members")


class Vote(Protocol):
    """What a voter has granted, as far as a change of voters has to ask for it."""

    async def since(self, lead_s: int | None, *, alone: bool) -> int:
        """From when on voters of a manifest that is drafted now may decide. Raises Refused."""
        ...

    async def look_first(self) -> None:
        """Wait until it is known, as far as it can be, that no grant was forgotten."""
        ...

    async def promise(self, number: int, since_s: int) -> None:
        """Grant nothing planned then or later under that manifest any more. Raises Refused."""
        ...


@dataclass(slots=True, kw_only=True)
class FleetNode:
    """This node's part in a fleet."""

    files: FleetFiles
    own: Member
    """This node as a newcomer would name it; address and roles are the manifest's to say."""
    signer: Signer
    log: Log
    session: aiohttp.ClientSession
    able: tuple[str, ...] = ()
    times: Times = TIMES
    started_ms: int = field(default_factory=now_ms)
    load: Callable[[], float] = lambda: os.getloadavg()[0]
    vote: Vote | None = None
    """This node's grants; None where it keeps none at all, and has nothing to promise."""
    fleet: Fleet | None = None
    proposal: SignedManifest | None = None
    """The next manifest, as far as voters have approved it. In memory: it is told again."""
    _told: set[tuple[bytes, tuple[bytes, ...]]] = field(default_factory=set)
    """Proposals of which the others were told: by digest, and who had approved."""
    seen: dict[bytes, Presence] = field(default_factory=dict)
    heard_ms: dict[bytes, int] = field(default_factory=dict)
    reached_ms: dict[bytes, int] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    newcomer: bool = False
    """Whether this run of the node saw itself come into the fleet, and never was a voter before."""
    unheard: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Of the ways in its token those by which a newcomer was not answered last: why, and a hint."""
    told: Told = field(default_factory=Told)
    """What was logged of members that did not answer, or refused."""
    on_settled: Callable[[Fleet], None] = lambda _fleet: None
    """Told of each manifest that is taken, before anybody acts on it; must not wait."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def is_member(self, ledger_id: bytes) -> bool:
        """Whether a ledger is one of this fleet's, as far as it is known here."""
        return self.fleet is not None and self.fleet.manifest.member(ledger_id) is not None

    def witnesses(self) -> list[Asked]:
        """The other members that cosign."""
        return [
            Asked(
                witness=Witness(name=witness_name(one.ledger), public=one.witness),
                url=f"{one.urls[0]}/witness",
            )
            for one in self.others
            if WITNESS in one.roles and one.urls
        ]

    @property
    def needed(self) -> int:
        """How many witnesses the fleet wants under a head; itself not counted.

        One without an address counts: addresses are the operator's alone, and who is needed is not.
        """
        count = sum(WITNESS in one.roles for one in self.others)
        return 0 if self.fleet is None else min(self.fleet.manifest.needed, count)

    @property
    def ours(self) -> Fleet | None:
        """The fleet, as long as this node is one of it."""
        return None if self.membership is None else self.fleet

    @property
    def others(self) -> tuple[Member, ...]:
        """The other members, as long as this node is one."""
        return () if self.fleet is None else self.fleet.others_of(self.own.ledger)

    @property
    def membership(self) -> Member | None:
        """This node in the newest manifest, if it is there."""
        return None if self.fleet is None else self.fleet.manifest.member(self.own.ledger)

    @property
    def removed_by(self) -> int | None:
        """The number of the manifest that took this node out; None if none did, or it is back."""
        found = None if self.fleet is None else self.fleet.removed.get(self.own.ledger)
        return None if found is None else found.number

    # ---- what the operator does ------------------------------------------------------------------

    def draft(self, url: str) -> Manifest:
        """The manifest that begins a fleet: this node alone, which votes and witnesses."""
        roles = ("gateway", "home", "jobs", VOTER, WITNESS)
        first = replace(self.own, urls=(url,), roles=roles)
        return Manifest(
            number=0, previous=b"", operator=self.signer.public, members=(first,), quorum=1
        )

    async def take(self, data: bytes, *, approve: bool = False) -> Fleet:
        """Take the next manifest, with this node's own approval if it is asked for and may vote.

        One that wants approvals of more voters is kept as a proposal, and the others are told.
        Raises InvalidManifest or ManifestRefused; then nothing else is changed.
        """
        known, one = await self._open(data)
        try:
            async with self._lock:
                if known is None and approve and self.files.token() is None:
                    self.newcomer = True  # who begins a fleet
                if known is not self.fleet:
                    known, one = await self._open(data)
                fleet = await self._advance(known, one, approve=approve)
        except MissingQuorum:
            await self._tell_proposal()
            raise
        _log.info("fleet manifest", number=one.manifest.number, digest=one.manifest.digest.hex())
        if drafts := agreed(known, fleet):
            await self.log.append(*drafts)
        self.changed.set()
        return fleet

    async def _advance(self, known: Fleet | None, one: SignedManifest, *, approve: bool) -> Fleet:
        if known is None:
            fleet = self._beginning(one, approve=approve)
        else:
            one = await self._approved(known, one, approve=approve)
            try:
                fleet = known.advance(one)
            except MissingQuorum:
                self.proposal = one
                raise
        await asyncio.to_thread(self.files.put, one)
        self._settle(fleet)
        return fleet

    async def _open(self, data: bytes) -> tuple[Fleet | None, SignedManifest]:
        """Verify, beside the node's own work, what anybody may have sent."""
        known = self.fleet
        return known, await asyncio.to_thread(open_manifest if known is None else self._check, data)

    def _check(self, data: bytes) -> SignedManifest:
        """Verify what may follow; a second one of a number is kept, as proof against the operator.

        Both errors are raised of what the operator signed, and of nothing else.
        """
        assert self.fleet is not None
        try:
            return self.fleet.open(data)
        except (ManifestFork, ReplayedManifest) as error:
            if (path := self.files.put_fork(data)) is not None:
                _log.error("THE OPERATOR SIGNED TWO MANIFESTS", why=str(error), file=str(path))
            raise

    async def approve(self, digest: bytes) -> Fleet:
        """Say yes to the manifest that a person looked at, as the voter whose node this is.

        Raises Refused if another one or none is proposed, MissingQuorum while others still have to.
        """
        hint = "timmy mesh members shows what is"
        if self.vote is not None:
            await self.vote.look_first()
        if self.proposal is None:
            raise Refused("nothing is proposed", hint=hint)
        if self.proposal.manifest.digest != digest:
            raise Refused("another one is proposed by now", hint=hint)
        return await self.take(self.proposal.encode(), approve=True)

    async def _approved(
        self, fleet: Fleet, one: SignedManifest, *, approve: bool
    ) -> SignedManifest:
        old, new = fleet.manifest, one.manifest
        if approve and self.signer.public in {member.nostr for member in old.voters}:
            if self.vote is not None and new.electorate != old.electorate:
                await self.vote.promise(old.number, new.since)
            one = one.approved(self.signer)
        follows = one.manifest.number == fleet.manifest.number + 1
        return fleet.merged(one, self.proposal) if follows else one

    async def _tell_proposal(self) -> None:
        """Tell the others what is new about it; the same thing once, or two proposals of one number
        would chase each other through the fleet.
        """
        if (one := self.proposal) is None:
            return
        news = (one.manifest.digest, tuple(key for key, _ in one.approvals))
        if news not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add(news)
            await self.tell_all(_MANIFESTS, one.encode())

    def _beginning(self, one: SignedManifest, *, approve: bool) -> Fleet:
        """Begin a fleet: our own operator's word, or the very one that the token names."""
        token = self.files.token()
        fleet = Fleet.begin(one)
        if token is None and not approve:
            raise NotMember("this node is of no fleet")
        if token is not None:
            named = (token.fleet_id, token.operator)
            if named != (fleet.fleet_id, one.manifest.operator):
                raise InvalidManifest("the manifest is of another fleet than the token")
        return fleet

    def _settle(self, fleet: Fleet) -> None:
        was, self.fleet, self.proposal = self.membership, fleet, None
        if was is not None and (number := self.removed_by) is not None:
            _log.error("THIS NODE WAS TAKEN OUT OF ITS FLEET", manifest=number, hint=BACK_HINT)
        self._told.clear()
        self.on_settled(fleet)
        self.settled.set()
        members = {one.ledger for one in fleet.manifest.members}
        for known in (self.seen, self.heard_ms, self.reached_ms):
            for gone in known.keys() - members:
                del known[gone]
        if self.own.ledger in members:
            self.files.put_token(None)
        invites = self.files.invites()
        open_ = {
            key: invite
            for key, invite in invites.items()
            if (asker := newcomers.asker(invite)) is None or asker.ledger not in members
        }
        if open_ != invites:
            self.files.put_invites(open_)

    def invite(
        self, url: str, roles: tuple[str, ...], *, hours: int, relays: tuple[str, ...] = ()
    ) -> Token:
        """Make a token that is good once. Raises Refused without a fleet, or with too many open.

        `relays`: where its bearer asks; he who listens there is `node.fleet.inviting`.
        """
        if self.fleet is None:
            raise Refused("this node is of no fleet", hint="timmy mesh found begins one")
        now_s = now_ms() // 1000
        invites = {k: v for k, v in self.files.invites().items() if v["until"] > now_s}
        if len(invites) >= _INVITES_MAX:
            raise Refused(f"{len(invites)} invitations are open", hint="take in or wait")
        secret = secrets.token_bytes(SECRET_BYTES)
        until = now_s + hours * 3600
        invites[_named(secret)] = {"roles": list(roles), "until": until, "member": None}
        self.files.put_invites(invites)
        return Token(
            fleet_id=self.fleet.fleet_id,
            operator=self.fleet.manifest.operator,
            url=url,
            secret=secret,
            inviter=self.signer.public if relays else b"",
            relays=relays,
        )

    # ---- what newcomers and members say ----------------------------------------------------------

    def asked(self, data: bytes, *, after: int = 0) -> list[bytes]:
        """Take a request to join; return manifests from number `after` on: one answer's.

        Raises Refused or NotMember.
        """
        if self.fleet is None:
            raise NotMember("this node is of no fleet")
        secret, member = open_request(data)
        known = self.fleet.manifest.member(member.ledger)
        invites = self.files.invites()
        invite = invites.get(_named(secret))
        if known is None or known.nostr != member.nostr:
            now_s = now_ms() // 1000
            if invite is None or invite["until"] <= now_s:
                raise Refused("this invitation is unknown, used or over", hint="ask for another")
            newcomers.check(member, invite, invites, self.fleet.manifest.members, now_s=now_s)
            if newcomers.asker(invite) != member:  # each request is signed anew
                invite["member"] = data.hex()
                self.files.put_invites(invites)
                _log.info("somebody asks to join", name=member.name, ledger=member.ledger.hex())
        return part_of(self.files.chain()[after:])

    def refuse(self, nostr: str) -> int:
        """Take whoever asked under this key from the list; return how many invitations that ends.

        A token that somebody else saw may have been used by him: it is good no more, for nobody.
        Raises NotFound if nobody asks under it.
        """
        invites = self.files.invites()
        left = {
            name: one
            for name, one in invites.items()
            if (found := newcomers.asker(one)) is None or found.nostr.hex() != nostr
        }
        if len(left) == len(invites):
            raise NotFound("nobody asks to join under that key", hint="timmy mesh members")
        self.files.put_invites(left)
        return len(invites) - len(left)

    def waiting(self) -> list[Member]:
        """Who asked to join, with the roles that were offered."""
        return newcomers.waiting(self.files.invites())

    def present(self, data: bytes) -> int:
        """Take a member's presence; return the number we know.

        One that is dated before the last counts only if that came a lease ago: a clock that was
        ahead was set back, or somebody says an old one again, who is not reached by that.
        Raises NotMember or InvalidPresence.
        """
        if self.fleet is None:
            raise NotMember("this node is of no fleet")
        member = self.fleet.check_member(ledger_in(data))
        found = open_presence(data, member.nostr, now_s=now_ms() // 1000)
        before, came_ms = self.seen.get(member.ledger), self.heard_ms.get(member.ledger, 0)
        silent = now_ms() - came_ms > 1000 * self.times.lease_s
        if before is None or before.time_s < found.time_s or silent:
            self.seen[member.ledger] = found
            self.heard_ms[member.ledger] = now_ms()
        return self.fleet.manifest.number  # who knows more sends it now, unasked

    # ---- to the others ---------------------------------------------------------------------------

    async def tell_all(self, place: str, data: bytes) -> None:
        """Send bytes to every other member that is reached; who is not is not waited for."""
        members = () if self.fleet is None else self.fleet.manifest.members
        urls = [one.urls[0] for one in members if one.urls and one.ledger != self.own.ledger]
        async with asyncio.TaskGroup() as group:
            for url in urls:
                group.create_task(self.post(f"{url}{place}", data))

    async def post(self, url: str, data: bytes, seconds: float = _ASK_SECONDS_MAX) -> bytes | None:
        """Send bytes to a member; return what it answers, None if it does not or refuses."""
        try:
            async with asyncio.timeout(seconds):
                answer = await post(self.session, url, data, bytes_max=_ANSWER_BYTES_MAX)
            if answer.status == _OK:
                return answer.body
            why = (
                f"refuses: {answer.status} {answer.body[:_WHY_BYTES_MAX].decode(errors='replace')}"
            )
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            why = f"does not answer: {type(error).__name__} {error}"[:_WHY_BYTES_MAX]
        place, _, _ = url.partition("?")
        if not place.endswith(_MANIFESTS) and self.told.first(place, why, time.monotonic()):
            _log.warning("a member did not take a word", url=place, why=why)
        return None

    @property
    def joining(self) -> bool:
        """Whether it has a token and waits to be taken in."""
        try:
            return self.files.token() is not None
        except TimmyError:
            return False


def _named(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()


def make_fleet(opened: Opened) -> FleetNode:
    """Make this node's part in its fleet, if it is of one. Raises InvalidManifest."""
    log, signer, name = opened.log, opened.keys.nostr, opened.lineage.genesis.name
    key = Ed25519Key.derive(signer.secret, "witness")
    own = Member(
        ledger=log.ledger_id,
        nostr=signer.public,
        name=name[:NAME_CHARS_MAX],
        roles=(WITNESS,),
        witness=key.public,
    )
    files = fleet_files(opened.home)
    return FleetNode(
        files=files,
        own=own,
        signer=signer,
        log=log,
        session=opened.session,
        able=able_of(opened),
        fleet=files.load(),
        times=Times(lease_s=opened.config.mesh.lease_seconds),
    )


def able_of(opened: Opened) -> tuple[str, ...]:
    """What this node can do, in words: what its operator says, and what it knows of itself."""
    known = {"model": bool(opened.config.models), "local-model": opened.local is not None}
    words = [*opened.config.mesh.able, *(word for word, true in known.items() if true)]
    return tuple(dict.fromkeys(words))


def signed_first(manifest: Manifest, operator: Signer) -> SignedManifest:
    """Manifest 0, in the operator's name."""
    return sign_manifest(replace(manifest, operator=operator.public), operator)
