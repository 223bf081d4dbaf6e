"""The parent's side: certifying a birth, orders to children, what they tell, looking at ledgers.

    certify    child.fathered: the certificate, once for each child
    order      child.ordered: signed, numbered; sent at once if the child's address is known, else
               it waits until the child asks
    hear       child.told: a report or an alarm, the next of its number
    check      child.checked: the child's own ledger, verified, counted and judged; a gate that is
               not kept is taken back at once, one that is ready is granted if that is asked

Nothing waits for a child: one that is silent stands as an alarm (`silent`), and its letters wait.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import structlog

from genesis.core.children.errors import InvalidLetter
from genesis.core.children.gates import Judgment, check_numbers, judge
from genesis.core.children.letters import (
    TELLINGS,
    Chain,
    Kind,
    Letter,
    Opened,
    check_fresh,
    open_letter,
    write_letter,
)
from genesis.core.children.profile import MAY_FATHER, WORDS
from ledger.core import types
from ledger.core.codec import decode
from ledger.core.descent import (
    ANCESTORS_MAX,
    Certificate,
    open_certificate,
    sign_certificate,
)
from ledger.core.errors import InvalidCertificate, NotFound, Refused
from ledger.core.event import Draft, Event
from ledger.core.keys import Signer
from ledger.core.lineage import Lineage
from ledger.core.statement import NONCE_BYTES
from ledger.log import Log
from ledger.release import Release
from node.children.entries import checked, kept, refused, rows
from node.children.kin import Contact, Kin, address
from node.children.ledgers import LedgerRefused, Shown, read_ledger
from node.children.post import Post, Relays, Unreachable
from node.children.records import Child, Family, Ward, check_known
from node.open import now_ms
from runtime.journal import Journal
from runtime.tools.skills import Skills

ORDERS_AT_ONCE: Final = 16
"""Letters in one answer: what a child missed in a week; it asks again for the rest."""
_CERTIFICATE_BYTES_MAX: Final = 48 * 1024
"""With as many skills, ancestors and numbers as there may be it has 12 KiB."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Parenting:
    """One node as a parent. `log_key` and `nostr` sign; `silent_s`: how long is too long."""

    log: Log
    journal: Journal
    release: Release
    lineage: Lineage
    log_key: Signer
    nostr: Signer
    skills: Skills
    """Those in force."""
    kin: Kin
    post: Post
    ward: Ward
    silent_s: int
    clock: Callable[[], int] = now_ms
    relays: Relays | None = None
    fathered: Callable[[], None] = lambda: None
    """Told of each new child."""
    _family: Family | None = None
    _deciding: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One ledger after the other: each is compared with the one before."""

    @property
    def children(self) -> dict[bytes, Child]:
        """Every child, by ledger id."""
        if self._family is None:
            self._family = Family(self.log)
        return self._family.now()

    def find(self, name: str) -> Child:
        """Find a child by its ledger id, or by a beginning that only it has. Raises NotFound."""
        found = [one for one in self.children.values() if one.id.hex().startswith(name.lower())]
        if len(found) != 1 or not name:
            what = "no child begins" if not found else f"{len(found)} children begin"
            raise NotFound(f"{what} with {name[:64]!r}", hint="timmy lineage list")
        return found[0]

    # ---- a birth -------------------------------------------------------------------------------

    async def draft(self, child: Mapping[str, Any]) -> Certificate:
        """Return the certificate as this parent would sign it now. Raises ChildError, Refused.

        `child` has ledger, soul, keys, skills and gates.
        """
        level = self.ward.level
        if level is not None and level < MAY_FATHER:
            raise Refused(
                f"this agent is a child itself, and passed {level} of {MAY_FATHER} gates",
                hint="it may father when it has passed all: timmy lineage show",
            )
        own = self.ward.certificate
        line = () if own is None else (own.parent, *own.ancestors)
        head = await asyncio.to_thread(self.release.head)
        await asyncio.to_thread(self._check_skills, child["skills"])
        return Certificate(
            parent=self.log.ledger_id,
            parent_soul=self.lineage.genesis.soul.sha256,
            parent_keys={"log": self.log_key.public, "nostr": self.nostr.public},
            kept_size=head.size,
            kept_root=head.root,
            ancestors=line[:ANCESTORS_MAX],
            child=child["ledger"],
            child_soul=child["soul"],
            child_keys=child["keys"],
            skills=child["skills"],
            gates=check_numbers(child["gates"]),
            made_ms=self.clock(),
        )

    def _check_skills(self, named: Mapping[str, bytes]) -> None:
        """Raise Refused for a skill that this agent has not, or has otherwise."""
        known = {name for name, _ in self.skills.all()} if named else set()
        for name, digest in named.items():
            if name not in known:
                raise Refused(f"this agent has no skill {name[:64]!r}", hint="timmy skills list")
            if hashlib.sha256(self.skills.text(name).encode()).digest() != digest:
                raise Refused(f"the skill {name} is another one here", hint="father anew")

    async def certify(self, data: bytes, proof: bytes) -> dict[str, Any]:
        """Sign a certificate of `draft` that the child signed, and record it; return the payload.

        A child that has one is given the same again. Raises InvalidCertificate, Refused.
        """
        value = decode(data, bytes_max=_CERTIFICATE_BYTES_MAX)
        certificate = Certificate.from_value(value)
        async with self._deciding:
            known = self.children.get(certificate.child)
            if known is not None:
                return self.log.read(known.position).payload
            self._check_own(certificate)
            payload = certificate.to_payload(
                signature=sign_certificate(certificate, self.log_key), proof=proof
            )
            open_certificate(payload)
            await self.journal.append(
                Draft(type=types.CHILD_FATHERED.name, stream=types.CHILDREN_STREAM, payload=payload)
            )
        self.fathered()
        return payload

    def _check_own(self, certificate: Certificate) -> None:
        """Sign nothing but what `draft` would say: the child's side brought it back."""
        log, own = self.log, self.ward.certificate
        line = () if own is None else (own.parent, *own.ancestors)
        level = self.ward.level
        wanted = {
            "parent": log.ledger_id,
            "parent_soul": self.lineage.genesis.soul.sha256,
            "parent_keys": {"log": self.log_key.public, "nostr": self.nostr.public},
            "ancestors": line[:ANCESTORS_MAX],
            "gates": check_numbers(certificate.gates),
        }
        for name, value in wanted.items():
            if getattr(certificate, name) != value:
                raise InvalidCertificate(f"certificate: {name} is not what this parent would sign")
        size = certificate.kept_size
        if size > self.release.newest.size or log.tree.root(size) != certificate.kept_root:
            raise InvalidCertificate("certificate: keeps no head of this parent")
        if level is not None and level < MAY_FATHER:
            raise Refused("this agent may not father yet", hint="timmy lineage show")
        self._check_skills(certificate.skills)

    # ---- orders --------------------------------------------------------------------------------

    async def order(
        self,
        child: Child,
        kind: Kind,
        facts: Mapping[str, Any],
        text: str,
        *,
        after: Chain | None = None,
    ) -> Event:
        """Sign and record the next order, and try to send it. Raises ChildError.

        `after`: the order that it must follow, OutOfTurn if there is a newer one by now.
        """
        async with self._deciding:
            opened = write_letter(
                kind,
                facts,
                text,
                chain=child.standing.chain if after is None else after,
                ledger_id=child.id,
                at_ms=self.clock(),
                nonce=os.urandom(NONCE_BYTES),
                signer=self.nostr,
            )
            child.standing.take(opened)  # refused here, before it is on record
            [event] = await self.journal.append(kept(types.CHILD_ORDERED.name, child.id, opened))
            _ = self.children
        await self.deliver(child)
        return event

    async def deliver(self, child: Child) -> bool:
        """Send the orders that the child lacks, by HTTP or by relays; tell whether it has all.

        How many it has, its answers say; relays give none.
        """
        try:
            number = await self._send(child)
        except Unreachable as error:
            _log.info("a child is not there", child=child.id.hex()[:16], why=str(error))
            await self._seal(child)
            return False
        return number >= child.standing.chain.number

    async def _send(self, child: Child) -> int:
        """Send by HTTP; return the number that the child has then. Raises Unreachable."""
        url, number = self.kin.child(child.id).url, 0
        if not url:
            raise Unreachable("nobody knows where this child is")
        for _, opened in child.orders[-ORDERS_AT_ONCE:]:
            if opened.number > number:
                number = max(number, (await self.post.send(url, opened.letter)).number)
        return number

    async def _seal(self, child: Child) -> None:
        """Leave the newest orders at relays, if there are any."""
        if self.relays is None:
            return
        try:
            for _, opened in child.orders[-ORDERS_AT_ONCE:]:
                await self.relays.send(child.certificate.child_keys["nostr"], opened.letter)
        except Unreachable as error:
            _log.info("no relay takes a child's orders", why=str(error))

    def heard_word(self, key: bytes, told: int) -> Letter:
        """Say to the child of a Nostr key how many of its tellings this parent has."""
        [child] = [
            one for one in self.children.values() if one.certificate.child_keys["nostr"] == key
        ]
        return write_letter(
            Kind.HEARD,
            {"told": told},
            "",
            chain=None,
            ledger_id=child.id,
            at_ms=self.clock(),
            nonce=os.urandom(NONCE_BYTES),
            signer=self.nostr,
        ).letter

    # ---- what a child tells --------------------------------------------------------------------

    async def hear(self, letter: Letter) -> tuple[int, list[bytes]]:
        """Take a letter of a child; return the number taken last, and orders that it lacks.

        Raises NotFound for a stranger, InvalidLetter, OutOfTurn.
        """
        child = self._author(letter)
        opened = open_letter(letter, author=letter.author, ledger_id=self.log.ledger_id)
        if opened.kind is Kind.ALIVE:
            contact = self.kin.child(child.id)
            check_fresh(opened, now_ms=self.clock(), taken_ms=contact.alive_ms)
            self._heard(child, contact, opened)
            lacks = child.standing.chain.number - opened.facts["orders"]
            orders = child.orders[-lacks:][:ORDERS_AT_ONCE] if lacks > 0 else []
            return child.told.chain.number, [one.letter.encode() for _, one in orders]
        if opened.kind not in TELLINGS:
            raise InvalidLetter(f"{opened.kind.value} is nothing that a child tells")
        async with self._deciding:
            if opened.number > child.told.chain.number:
                await self._keep(child, opened)
            else:
                check_known(child.told.letters, opened)
            return child.told.chain.number, []

    async def _keep(self, child: Child, opened: Opened) -> None:
        """Record a telling that is new: one that is known may come from anybody who saw it."""
        child.told.chain.take(opened)
        await self.journal.append(kept(types.CHILD_TOLD.name, child.id, opened))
        _ = self.children
        contact = self.kin.child(child.id)  # it may have said that it lives meanwhile
        self.kin.set_child(child.id, replace(contact, heard_ms=self.clock()))

    def _author(self, letter: Letter) -> Child:
        for child in self.children.values():
            if child.certificate.child_keys["nostr"] == letter.author:
                return child
        raise NotFound("no child of this agent has that key")

    def _heard(self, child: Child, contact: Contact, opened: Opened) -> None:
        facts = opened.facts
        self.kin.set_child(
            child.id,
            replace(
                contact,
                url=address(facts["url"]) or contact.url,
                heard_ms=self.clock(),
                alive_ms=opened.at_ms,
                size=facts["size"],
                gate=facts["gate"],
                alarms=facts["alarms"],
            ),
        )

    def silent(self) -> dict[tuple[str, str], str]:
        """What the heartbeat raises as alarms: children that were not heard for too long."""
        found = {}
        for child in self.children.values():
            seconds = self._silence_ms(child) // 1000
            if seconds > self.silent_s:
                name = child.id.hex()[:16]
                found["child", name] = f"silent for {seconds // 60} minutes"
        return found

    def _silence_ms(self, child: Child) -> int:
        return self.clock() - max(self.kin.child(child.id).heard_ms, child.fathered_ms)

    # ---- looking at it -------------------------------------------------------------------------

    async def check(
        self, child: Child, file: Path | None, *, grant: bool, folder: Path
    ) -> dict[str, Any]:
        """Verify, count and judge a child's ledger, from a file or asked of the child.

        Takes a gate back that is not kept; grants one that is ready if `grant`. Raises
        LedgerRefused (which is on record), Unreachable.
        """
        path = folder / "child.bundle" if file is None else file
        if file is None:
            await self._fetch(child, path)
        async with self._looking:
            shown, judgment = await self._look(child, path)
            done = await self._act(child, shown, judgment, grant=grant)
        return self.row(child) | {
            "judgment": rows(judgment),
            "did": done,
            "current": _current(child, shown),
            "verdict": shown.verdict,
        }

    async def _look(self, child: Child, path: Path) -> tuple[Shown, Judgment]:
        """Verify and judge a file that goes on from the newest head that was not refused."""
        _ = self.children
        try:
            shown = await asyncio.to_thread(read_ledger, path, child.certificate, known=child.seen)
        except LedgerRefused as error:
            await self.journal.append(refused(child, str(error), self.clock()))
            raise
        judgment = judge(
            shown.evidence, child.standing, child.certificate.gates, now_ms=self.clock()
        )
        await self.journal.append(checked(child, shown, judgment))
        _ = self.children
        return shown, judgment

    async def _fetch(self, child: Child, path: Path) -> None:
        contact = self.kin.child(child.id)
        if not contact.url:
            raise Unreachable(
                "nobody knows where this child is: it did not say yet",
                hint="at the child: timmy export -o FILE; here: timmy lineage check CHILD FILE",
            )
        look = write_letter(
            Kind.LOOK,
            {},
            "",
            chain=None,
            ledger_id=child.id,
            at_ms=self.clock(),
            nonce=os.urandom(NONCE_BYTES),
            signer=self.nostr,
        )
        await self.post.fetch(contact.url, look.letter, path)

    async def _act(
        self, child: Child, shown: Shown, judgment: Judgment, *, grant: bool
    ) -> str | None:
        if judgment.lost is not None:
            failing = [
                one.name for one in judgment.of(judgment.lost) if one.keeps and not one.holds
            ]
            text = f"not kept: {', '.join(failing)}"
            await self.order(child, Kind.NARROW, {"gate": judgment.lost}, text)
            return f"narrowed {judgment.lost}"
        if grant and judgment.ready is not None and _current(child, shown):
            facts = {"gate": judgment.ready, "size": shown.size, "root": shown.root}
            await self.order(child, Kind.GRANT, facts, "", after=shown.evidence.standing.chain)
            return f"granted {judgment.ready}"
        return None

    async def review(self, child: Child, *, grant: bool, folder: Path) -> str:
        """Look at a child in the evening, and tell it what was found; return that."""
        found = await self.check(child, None, grant=grant, folder=folder)
        lacking = [
            f"- {one['about']}: {one['have']}, and {one['need']} are asked"
            for one in found["judgment"]["findings"]
            if one["gate"] == found["next"] and not one["holds"]
        ]
        said = [f"Your ledger was looked at: {found['gate'] or 'no gate'} passed."]
        said += [f"It {found['did']}."] if found["did"] else []
        said += [f"Before {found['next']} stand:", *lacking] if lacking else []
        text = "\n".join(said)
        await self.order(child, Kind.GUIDE, {}, text)
        return text

    # ---- for people ----------------------------------------------------------------------------

    def row(self, child: Child) -> dict[str, Any]:
        """A child as the row that scripts rely on."""
        contact, standing = self.kin.child(child.id), child.standing
        event = self.log.read(child.position)
        last = child.checked
        return {
            "child": child.id, "position": child.position, "id": event.id, "ts_ms": event.ts_ms,
            "soul": child.certificate.child_soul, "npub": child.certificate.child_keys["nostr"],
            "inherited": child.certificate.child_soul == child.certificate.parent_soul,
            "skills": dict(child.certificate.skills), "gates": dict(child.certificate.gates),
            "gate": standing.gate, "level": standing.level, "next": standing.next,
            "may": WORDS[standing.level], "since_ms": standing.since_ms,
            "orders": standing.chain.number, "resets": standing.resets,
            "told": child.told.chain.number, "heard_ms": contact.heard_ms or None,
            "silent": self._silence_ms(child) // 1000 > self.silent_s,
            "url": contact.url or None, "alarms": contact.alarms,
            "checked": None if last is None else dict(last.payload) | {"position": last.position},
        }  # fmt: skip

    def letters(self, child: Child) -> list[dict[str, Any]]:
        """Everything that passed between the two, oldest first."""
        both = [("order", one) for one in child.orders] + [
            ("told", one) for one in child.told.letters
        ]
        return [
            {
                "position": at, "way": way, "kind": opened.kind.value, "number": opened.number,
                "at_ms": opened.at_ms, "text": opened.letter.text,
                "facts": {
                    name: value for name, value in opened.facts.items()
                    if name not in ("number", "previous", "at_ms", "words")
                },
            }
            for way, (at, opened) in sorted(both, key=lambda one: one[1][0])
        ]  # fmt: skip


def _current(child: Child, shown: Shown) -> bool:
    """Whether a ledger holds the newest order: what it shows of before a reset counts no more."""
    return shown.evidence.standing.chain == child.standing.chain
