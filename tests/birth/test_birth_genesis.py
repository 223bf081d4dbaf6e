"""The genesis that a birth makes; that of any maker is in tests/ledger/test_genesis.py."""

import pytest

from genesis.core.birth import check_keys, sign_genesis
from genesis.core.errors import KeyMismatch
from genesis.core.keys import AgentKeys
from genesis.core.recovery import output_signer
from ledger.core import event
from ledger.core.errors import UnprovenKey
from ledger.core.genesis import SIGNING_ROLES, SoulDigest, parse_genesis
from ledger.core.keys import Signer

from .conftest import bear


def test_the_genesis_survives_the_ledger(birth):
    sealed = event.seal(birth.draft, position=0, stream_sequence=0, ts_ms=1, salts=bytes(64))
    assert sealed.type == "genesis.born"
    found = parse_genesis(event.Event.open(sealed.record).payload)
    assert found == birth.genesis
    assert found.to_payload() == birth.draft.payload
    assert len(sealed.record.payload) < 1500


def test_the_soul_is_the_one_that_was_given(birth):
    assert birth.genesis.soul == SoulDigest.of(birth.soul.data)


def test_two_births_of_one_soul_share_no_key(birth):
    other = bear()
    ours = {birth.genesis.public(role) for role in SIGNING_ROLES}
    theirs = {other.genesis.public(role) for role in SIGNING_ROLES}
    assert len(ours | theirs) == 2 * len(SIGNING_ROLES)
    assert other.genesis.next_key_digest != birth.genesis.next_key_digest


def test_a_signer_that_is_not_the_named_key_is_caught(birth):
    with pytest.raises(UnprovenKey) as caught:
        sign_genesis(
            birth.genesis,
            keys=birth.keys,
            operator=Signer(b"\x07" * 32),
            recovery_output=output_signer(birth.kit.recovery_key),
        )
    assert caught.value.role == "operator"


def test_a_name_is_composed_at_birth():
    assert bear(name="Zoe\u0308").genesis.name == "Zoë"


def test_keys_of_another_agent_are_named(birth):
    check_keys(birth.keys, birth.genesis.keys)
    with pytest.raises(KeyMismatch, match="log key"):
        check_keys(AgentKeys.from_root(bytes(range(32))), birth.genesis.keys)
