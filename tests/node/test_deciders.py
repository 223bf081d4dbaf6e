"""Who decides at a node: keys by what they may do, and none that this machine has."""

from dataclasses import replace

import pytest

from genesis.core.granting import HOUR_MS, WAIT_MS
from genesis.keys import keystore
from ledger.core.keys import Signer
from mesh.core import nip19
from mesh.core.fleet.manifest import APPROVER, Fleet, Manifest, sign_manifest
from node import config
from node.agent.deciders import Deciders, keys_here
from node.home import Home
from node.open import reading
from node.sections.base import ConfigError
from tests.mesh.test_manifest import member
from tests.node.world import PASSPHRASE

NPUB, ALICE, THIEF = (Signer(bytes([n]) * 32) for n in (51, 52, 53))


@pytest.fixture
def place(born):
    return Home(path=born.path, state=born.state)


@pytest.fixture
def operator(place):
    return keystore.unlock_operator(place.operator, PASSPHRASE)


def rules(place, text="", *, fleet=None, own=frozenset()):
    place.config.write_text(text)
    with reading(place) as opened:
        deciders = Deciders(
            home=place, config=config.load(place.config), lineage=opened.lineage, own=own,
            fleet=lambda: fleet,
        )  # fmt: skip
        return deciders.rules(), opened.lineage


def test_the_operator_of_genesis_and_the_npub_of_the_gateway(place, operator):
    found, lineage = rules(place)
    assert found.operators == {operator.public}
    assert found.judges == {lineage.keys["log"]}
    assert {lineage.keys[role] for role in ("log", "nostr", "seal", "funding")} <= found.own
    assert operator.public not in found.own
    npub = nip19.npub(NPUB.public.hex())
    found, _ = rules(place, f'[gateways.nostr]\noperator = "{npub}"\n')
    assert found.operators == {operator.public, NPUB.public}


def test_people_whose_keys_lie_here_or_were_made_here_are_none(place, operator):
    named = f'["{nip19.npub(ALICE.public.hex())}", "{operator.public.hex()}"]'
    found, _ = rules(place, f"[approval]\npeople = {named}\n")
    assert found.people == {ALICE.public}
    assert operator.public in keys_here(place)
    keystore.operator_path(place.operator).rename(place.state / "away.keystore")
    found, _ = rules(place, f"[approval]\npeople = {named}\n")
    assert operator.public not in keys_here(place)
    assert found.people == {ALICE.public}  # the operator's was made on this machine


def test_how_many_people_and_how_long(place):
    three = [nip19.npub(Signer(bytes([n]) * 32).public.hex()) for n in (1, 2, 3)]
    named = f"[approval]\npeople = {three}\n".replace("'", '"')
    found, _ = rules(place, named)
    assert (found.people_needed, found.wait_ms) == (2, WAIT_MS)
    found, _ = rules(place, f"{named}people_needed = 3\nwait_hours = 1\n")
    assert (found.people_needed, found.wait_ms) == (3, HOUR_MS)
    for wrong, words in (
        ("people_needed = 4\n", "people_needed is 4, and approval.people names 3"),
        ("wait_hours = 0\n", "wait_hours"),
    ):
        with pytest.raises(ConfigError, match=words):
            rules(place, f"{named}{wrong}")


def fleet_of(operator, *approvers):
    members = tuple(
        sorted((member(name, APPROVER) for name in approvers), key=lambda one: one.ledger)
    )
    body = Manifest(number=0, previous=b"", operator=operator.public, members=members)
    return Fleet.begin(sign_manifest(body, operator))


def test_approvers_of_a_manifest_that_this_operator_signed(place, operator):
    fleet = fleet_of(operator, "a", "b", "c")
    found, _ = rules(place, fleet=fleet)
    assert found.approvers == {one.nostr for one in fleet.manifest.members}
    assert found.quorum == 2
    found, _ = rules(place, fleet=fleet_of(THIEF, "a", "b", "c"))
    assert found.approvers == frozenset()
    assert found.quorum == 0
    plain = tuple(replace(one, roles=()) for one in fleet.manifest.members)
    bare = Fleet.begin(sign_manifest(replace(fleet.manifest, members=plain), operator))
    assert rules(place, fleet=bare)[0].quorum == 0


def test_a_key_that_is_none_is_refused(place):
    place.config.write_text('[approval]\npeople = ["npub1nonsense"]\n')
    with pytest.raises(config.ConfigError, match=r"approval\.people"):
        config.load(place.config)
