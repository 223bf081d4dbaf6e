"""Adoptions without a process: the state has one reader, an edit in between holds, a fold is checked."""

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from genesis.core.adopting.health import Plan
from genesis.keys import keystore
from ledger.core.event import Draft
from ledger.core.state import State
from ledger.upcasting import UpcastLog
from node.agent.adopted_skins import AdoptedSkins
from node.agent.adopting import Adopting
from node.agent.adoption import Rebuild
from node.agent.architecture import Present
from node.agent.layering import Layers
from node.agent.patching import Patching
from node.config import load
from node.home import Home as RealHome
from node.keeping.folding import INTERPRETED, REDUCERS
from node.open import lineage_of, now_ms, open_log
from runtime.core.adoptions import Stage
from runtime.journal import Journal
from tests.adoption.world import SECONDS

TEA = "skills/tea/SKILL.md"
TEXT = "---\nname: tea\ndescription: tea\n---\nBoil water.\n"


class Lanes:
    """The processes of a node, of which there are none."""

    tree, running, fell = bytes(32), (), None

    def allow(self, tree):
        pass

    def refresh(self):
        pass

    def begun_by(self, tree):
        return []

    async def end(self, tree):
        pass


@dataclass(kw_only=True)
class OnRecord:
    """An approval by what the world put on record."""

    log: object

    def granted(self, position):
        proposal = self.log.read(position)
        [judged] = [e for e in self.log.stream(proposal.stream, last=9) if e.type == "patch.judged"]
        return SimpleNamespace(
            verdict=judged.payload["digest"], root=proposal.payload["root"], approvers=()
        )

    def objection(self, position):
        return ""


class OneThread(Journal):
    """A journal that notes who reads its state."""

    def __init__(self, log, state):
        super().__init__(log, state)
        self.readers = set()

    @property
    def state(self):
        self.readers.add(threading.get_ident())
        return super().state


class ThenEdited(Present):
    """The operator edits a file right after the architecture was read."""

    def read(self):
        found = Present.read(self)
        skill = self.home.path / TEA
        skill.parent.mkdir(parents=True)
        skill.write_text(TEXT)
        return found


@contextmanager
def adopting_upon(home, present, *reducers, ahead_ms=0):
    """An `Adopting` upon a real home, its state folded by `reducers` as well."""
    place = RealHome(path=home.path, state=home.state)
    keys = keystore.unlock_agent(place.path, home.passphrase)
    config = load(place.config)
    with open_log(place, write=True) as log:
        journal = OneThread(UpcastLog(log, needed=INTERPRETED), State((*REDUCERS, *reducers)))
        here = {"home": place, "config": config, "journal": journal}
        patching = Patching(
            log=log, book=journal, present=present(log=log, **here), release=None,
            signer=keys.log, engine=None, trials=place.trials,
        )  # fmt: skip
        yield Adopting(
            home=place, log=log, journal=journal, lineage=lineage_of(log), patching=patching,
            approval=OnRecord(log=log), hosts=Lanes(), layers=Layers(**here),
            skins=AdoptedSkins(log=log, journal=journal, key=keys.nostr),
            rebuild=Rebuild(place), clock=lambda: now_ms() + ahead_ms,
        )  # fmt: skip


async def test_the_state_has_one_reader_and_an_edit_in_between_holds(kind):
    home, position = kind
    with adopting_upon(home, ThenEdited) as adopting:
        found = await adopting.apply(position, Plan(), by="operator")
        assert found["under_way"]["stage"] == "canary"
        assert adopting.journal.readers == {threading.get_ident()}
        assert adopting.now.under_way.version is None  # nothing lies over his own files
        assert adopting.layers.own()[TEA] == TEXT.encode()


def misfolded(entries, event):
    """Write what no fold of the ledger by this version writes."""
    yield "wrong", 1


async def answered(adopting, stage):
    """Wait for a stage, and have the candidate answer somebody in it."""
    while adopting.now.under_way.stage is not stage:
        await asyncio.sleep(0.01)
    turn = {"message": adopting.log.size, "turn": bytes(16), "tree": adopting.now.under_way.tree}
    started = Draft(type="turn.started", stream=bytes(16), payload=turn | {"attempt": 1})
    ended = Draft(type="turn.finished", stream=bytes(16), payload=turn | {"outcome": "answered"})
    await adopting.journal.append(started, ended)


async def tried(adopting, position):
    """Adopt it, for everybody and until it settles or is taken back."""
    await adopting.apply(position, Plan(share=1000, window_s=60, turns=1), by="operator")
    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(adopting.run())
        for stage in (Stage.CANARY, Stage.NODE):
            await answered(adopting, stage)
        while adopting.now.under_way is not None:
            await asyncio.sleep(0.01)
        running.cancel()


@pytest.mark.parametrize(
    ("reducers", "last"), [((), "patch.settled"), ((misfolded,), "patch.rolledback")]
)
async def test_it_settles_only_if_the_state_that_is_folded_anew_is_the_same(kind, reducers, last):
    home, position = kind
    with adopting_upon(home, Present, *reducers, ahead_ms=3_600_000) as adopting:
        before = adopting.patching.present.read().root
        await tried(adopting, position)
        [*_, step] = adopting.status()["steps"]
        assert step["type"] == last
        if reducers:
            assert (step["reason"], step["by"]) == ("state", "node")
            assert "rebuilt" in step["why"]
            assert adopting.now.in_force.root == before
