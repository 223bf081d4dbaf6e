"""What happens while an adoption is staged: the state has one reader, an edit in between holds."""

import threading
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from genesis.core.adopting.health import Plan
from genesis.keys import keystore
from ledger.upcasting import UpcastLog
from node.agent.adopted_skins import AdoptedSkins
from node.agent.adopting import Adopting
from node.agent.architecture import Present
from node.agent.layering import Layers
from node.agent.patching import Patching
from node.config import load
from node.home import Home as RealHome
from node.keeping.folding import INTERPRETED
from node.open import lineage_of, now_ms, open_log
from runtime.journal import Journal

TEA = "skills/tea/SKILL.md"
TEXT = "---\nname: tea\ndescription: tea\n---\nBoil water.\n"


class Lanes:
    """The processes of a node, of which there are none."""

    tree, running, fell = bytes(32), (), None

    def allow(self, tree):
        pass

    def refresh(self):
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

    def __init__(self, log):
        super().__init__(log)
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


@pytest.fixture
def staged(kind):
    """An `Adopting` upon a real home, whose operator edits at the worst moment."""
    home, position = kind
    place = RealHome(path=home.path, state=home.state)
    keys = keystore.unlock_agent(place.path, home.passphrase)
    config = load(place.config)
    with open_log(place, write=True) as log:
        journal = OneThread(UpcastLog(log, needed=INTERPRETED))
        here = {"home": place, "config": config, "journal": journal}
        patching = Patching(
            log=log, book=journal, present=ThenEdited(log=log, **here), release=None,
            signer=keys.log, engine=None, trials=place.trials,
        )  # fmt: skip
        adopting = Adopting(
            home=place, log=log, journal=journal, lineage=lineage_of(log), patching=patching,
            approval=OnRecord(log=log), hosts=Lanes(), layers=Layers(**here),
            skins=AdoptedSkins(log=log, journal=journal, key=keys.nostr),
            rebuild=None, clock=now_ms,
        )  # fmt: skip
        yield adopting, position


async def test_the_state_has_one_reader_and_an_edit_in_between_holds(staged):
    adopting, position = staged
    found = await adopting.apply(position, Plan(), by="operator")
    assert found["under_way"]["stage"] == "canary"
    assert adopting.journal.readers == {threading.get_ident()}
    assert adopting.now.under_way.version is None  # nothing lies over his own files
    assert adopting.layers.own()[TEA] == TEXT.encode()
