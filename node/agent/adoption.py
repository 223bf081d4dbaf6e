"""Proposals and adoptions wired: with processes and keys, and a fold of the ledger anew."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ledger.core.keys import Signer
from ledger.core.lineage import Cause
from ledger.core.state import State
from ledger.release import Release
from ledger.upcasting import UpcastLog, understood
from node.agent.adopted_skins import AdoptedSkins
from node.agent.adopting import Adopting, Approval
from node.agent.architecture import Present
from node.agent.hosts import Hosts
from node.agent.introspection import offer_architecture
from node.agent.layering import Layers, newest
from node.agent.patching import Patching
from node.home import Home
from node.keeping.folding import INTERPRETED, REDUCERS
from node.open import now_ms, open_log
from node.opened import Opened
from runtime.journal import Journal
from runtime.toolbox import Toolbox

_STOP_EVENTS: Final = 1_000
"""How often a fold looks whether the node stops: ten times a second."""


@dataclass(slots=True)
class Rebuild:
    """Folds the ledger anew, in a thread, with a connection of its own."""

    home: Home
    stopped: bool = False

    def __call__(self, size: int) -> bytes:
        """Return the digest of the state of the first `size` events; nothing if it is stopped."""
        state = State(REDUCERS)
        with open_log(self.home) as log:
            for event in understood(log.events(0, size), INTERPRETED):
                state.apply(event)
                if self.stopped and not event.position % _STOP_EVENTS:
                    return b""
        return state.digest()


def make_layered(opened: Opened, state: State) -> tuple[Journal, Layers]:
    """Return the journal, and the skills and thresholds in force by it."""
    journal = Journal(UpcastLog(opened.log, needed=INTERPRETED), state)
    return journal, newest(Layers(home=opened.home, config=opened.config, journal=journal))


def make_patching(
    opened: Opened, release: Release, journal: Journal, toolbox: Toolbox, layers: Layers
) -> Patching:
    """Wire proposals, and the tools by which the agent reads itself and makes one."""
    present = Present(home=opened.home, config=layers.config, log=opened.log, journal=journal)
    patching = Patching(
        log=opened.log,
        book=journal,
        present=present,
        release=release,
        signer=opened.keys.log,
        past=tuple(_trusted(opened)),
        engine=opened.engine,
        trials=opened.home.trials,
    )
    offer_architecture(toolbox, patching, opened.config.tools.toolsets)
    return patching


def _trusted(opened: Opened) -> Iterator[Signer]:
    """Yield past log keys but those of before a recovery: a thief may know their seeds.

    Keystores of before lay beside the one that was stolen.
    """
    tenures = opened.lineage.tenures
    recovered = [one.number for one in tenures if one.cause is Cause.RECOVERY]
    for number, keys in opened.past.items():
        if number >= max(recovered, default=0):
            yield keys.log


def make_adopting(
    opened: Opened,
    journal: Journal,
    patching: Patching,
    approval: Approval,
    hosts: Hosts,
    layers: Layers,
) -> Adopting:
    """Wire them."""
    return Adopting(
        home=opened.home,
        log=opened.log,
        journal=journal,
        lineage=opened.lineage,
        patching=patching,
        approval=approval,
        hosts=hosts,
        layers=layers,
        skins=AdoptedSkins(log=opened.log, journal=journal, key=opened.keys.nostr),
        rebuild=Rebuild(opened.home),
        clock=now_ms,
    )
