"""A parent that looks at a child's ledger more than once: what it saw, it goes on from."""

import os
from copy import deepcopy
from dataclasses import dataclass

import pytest

from genesis.core.children.errors import OutOfTurn
from genesis.core.children.letters import Kind
from ledger.core import types
from ledger.core.descent import sign_certificate
from ledger.core.event import Draft
from ledger.core.lineage import Lineage
from ledger.log import Log
from ledger.release import Release
from node.children.kin import Kin
from node.children.ledgers import LedgerRefused
from node.children.parenting import Parenting
from node.children.records import Family, Ward
from runtime.journal import Journal
from runtime.tools.skills import Skills
from tests.children.kin import CHILD, START_MS, Childhood
from tests.children.test_parenting import Nowhere
from tests.ledger.makers import open_log
from tests.spec import agent
from tests.spec.make_children import PARENT_LOG, PARENT_NOSTR


@dataclass
class House:
    """A parent with a log of its own, and one child whose life is written here."""

    log: Log
    parenting: Parenting
    child: Childhood
    folder: object
    files: int = 0

    @property
    def known(self):
        return self.parenting.children[CHILD]

    def file(self, life=None):
        self.files += 1
        path = self.folder / f"life{self.files}"
        path.write_bytes(agent.bundle(agent.export((life or self.child).ledger)))
        return path

    async def check(self, file=None, *, grant=True):
        return await self.parenting.check(
            self.known, file or self.file(), grant=grant, folder=self.folder
        )

    def obey(self):
        """The child takes the orders that it lacks."""
        for _, opened in self.known.orders[self.child.standing.chain.number :]:
            self.child.standing = self.child.standing.take(opened)
            self.child.add(
                types.PARENT_ORDERED,
                opened.letter.to_payload(),
                {"text": opened.text} if opened.text else None,
                stream=types.PARENT_STREAM,
            )


def make_parent(log, folder):
    return Parenting(
        log=log,
        journal=Journal(log),
        release=Release.begin(log, folder, agent.KEYS.log),
        lineage=Lineage.of(log.read(0)),
        log_key=PARENT_LOG,
        nostr=PARENT_NOSTR,
        skills=Skills(os.fspath(folder / "skills")),
        kin=Kin(folder),
        post=Nowhere(),
        ward=Ward(log),
        silent_s=3900,
        clock=lambda: START_MS,
    )


@pytest.fixture
async def house(tmp_path):
    facts = agent.genesis_facts()
    with open_log() as log:
        log.append_now(agent.genesis_draft())
        log.append_now(Draft(type="test.fact", stream=bytes(16), payload={}))
        parenting = make_parent(log, tmp_path)
        drafted = await parenting.draft(
            {
                "ledger": CHILD,
                "soul": facts.soul.sha256,
                "keys": dict(facts.keys),
                "skills": {},
                "gates": {},
            }
        )
        proof = sign_certificate(drafted, agent.LOG)
        certified = await parenting.certify(drafted.message(), proof)
        yield House(log, parenting, Childhood(certified=certified), tmp_path)


# ---- after a refusal ----------------------------------------------------------------------------


async def test_a_ledger_that_was_rolled_back_is_refused_at_every_try(house):
    house.child.rite()
    young = house.file(deepcopy(house.child))
    house.child.answer()
    head = (house.child.ledger.tree.size, house.child.ledger.tree.root())
    await house.check(grant=False)
    for _ in range(3):
        with pytest.raises(LedgerRefused, match="when it was checked"):
            await house.check(young)
    assert (house.known.seen, house.known.checked.payload["verdict"]) == (head, "refused")
    assert Family(house.log).now()[CHILD].seen == head, "also after a start"
    assert house.known.standing.level == 0


async def test_a_ledger_that_was_rewritten_is_refused_at_every_try(house):
    other = deepcopy(house.child)
    house.child.answer()
    await house.check()
    other.add(types.NODE_BEAT, {})
    other.rite()
    for _ in range(3):
        with pytest.raises(LedgerRefused, match="REWRITTEN"):
            await house.check(house.file(other))
    assert house.known.standing.level == 0
    house.child.add(types.SOUL_ATTESTED, {"size": 2})
    assert (await house.check())["did"] == "granted rite", "its own goes on"


# ---- after a reset ------------------------------------------------------------------------------


async def test_nothing_is_granted_on_what_was_done_before_a_reset(house):
    house.child.rite()
    await house.check()
    house.obey()
    house.child.tools()
    await house.parenting.order(house.known, Kind.RESET, {}, "begin again")
    found = await house.check()
    assert (found["judgment"]["ready"], found["did"], found["current"]) == ("tools", None, False)
    assert house.known.standing.gate == "rite"
    house.obey()
    found = await house.check()
    assert (found["judgment"]["ready"], found["did"], found["current"]) == (None, None, True)
    house.child.tools()
    assert (await house.check())["did"] == "granted tools"


async def test_a_grant_that_a_reset_overtakes_is_not_signed(house):
    house.child.rite()
    chain = house.known.standing.chain
    await house.parenting.order(house.known, Kind.RESET, {}, "begin again")
    facts = {"gate": "rite", "size": 9, "root": bytes(32)}
    with pytest.raises(OutOfTurn, match="was taken before"):
        await house.parenting.order(house.known, Kind.GRANT, facts, "", after=chain)
    assert (house.known.standing.level, len(house.known.orders)) == (0, 1)
