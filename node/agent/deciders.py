"""Who decides about proposals at one node, and by which keys: none that this machine has.

    operators   the operator's key of genesis, and the npub that the Nostr gateway knows him by
    people      those of node.toml (`[approval]`), for what is constitutional; never the operator's
                key of genesis, which was made on this machine
    approvers   those of the fleet's manifest, if one of these operators signed it

Read when it is asked: a fleet and what lies here may change. Not covered: a keystore that lies
elsewhere on this disk, and whoever edits node.toml: he runs the node.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from genesis.core.errors import BirthError
from genesis.core.granting import HOUR_MS, Rules
from genesis.keys import keystore
from ledger.core.lineage import Lineage
from mesh.core.fleet.manifest import Fleet
from node.config import Config, public_key
from node.home import Home
from node.opened import Opened


@dataclass(frozen=True, kw_only=True)
class Deciders:
    """Keys, by what they may do. `own` are those that this process holds."""

    home: Home
    config: Config
    lineage: Lineage
    own: frozenset[bytes]
    fleet: Callable[[], Fleet | None] = lambda: None

    @cached_property
    def evaluator(self) -> bytes:
        """The judge that this software has; its sources are read once."""
        from genesis.judge import evaluator_digest

        return evaluator_digest()

    def rules(self) -> Rules:
        """Return the rules as they are now."""
        genesis, named = self.lineage.genesis.keys, self.config.gateways.nostr.operator
        operators = {genesis["operator"]}
        if named:
            operators.add(bytes.fromhex(public_key(named, "gateways.nostr.operator")))
        people = {
            bytes.fromhex(public_key(text, "approval.people"))
            for text in self.config.approval.people
        }
        tenures = {key for one in self.lineage.tenures for key in one.keys.values()}
        agents = {key for role, key in genesis.items() if role != "operator"}
        own = self.own | tenures | agents
        fleet = self.fleet()
        enabled = fleet is not None and fleet.manifest.operator in operators
        approvers = fleet.manifest.approvers if fleet is not None and enabled else ()
        return Rules(
            judges=frozenset(one.keys["log"] for one in self.lineage.tenures),
            evaluator=self.evaluator,
            operators=frozenset(operators),
            people=frozenset(people - keys_here(self.home) - {genesis["operator"]}),
            own=own,
            approvers=frozenset(one.nostr for one in approvers),
            people_needed=self.config.approval.people_needed or len(people) // 2 + 1,
            wait_ms=self.config.approval.wait_hours * HOUR_MS,
        )


def keys_here(home: Home) -> frozenset[bytes]:
    """Return the public keys of every keystore of this home and of its operator's folder.

    A keystore that cannot be read names none; `timmy doctor` tells of it.
    """
    found = set()
    files = [*(home.path / "keys").glob("*.keystore"), keystore.operator_path(home.operator)]
    for file in files:
        for role in ("agent", "operator", "nostr"):
            try:
                found.add(keystore.read_keystore(file, role=role).public)
            except (BirthError, OSError):
                continue
    return frozenset(found)


def make_deciders(opened: Opened, fleet: Callable[[], Fleet | None]) -> Deciders:
    """Return those of a node that is open."""
    held = [opened.keys, *opened.past.values()]
    return Deciders(
        home=opened.home,
        config=opened.config,
        lineage=opened.lineage,
        own=frozenset(key for keys in held for key in keys.public().values()),
        fleet=fleet,
    )
