import copy
import dataclasses
import hashlib

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from genesis.core.birth import (
    KEY_ROLES,
    SIGNING_ROLES,
    TAG,
    SoulDigest,
    check_keys,
    check_name,
    parse_genesis,
    sign_genesis,
)
from genesis.core.errors import InvalidGenesis, KeyMismatch, UnprovenKey
from genesis.core.keys import AgentKeys
from genesis.core.recovery import output_signer
from ledger.core import codec, event
from ledger.core.keys import Signer

from .conftest import bear


def test_the_genesis_survives_the_ledger(birth):
    sealed = event.seal(birth.draft, position=0, stream_sequence=0, ts_ms=1, salts=bytes(64))
    assert sealed.type == "genesis.born"
    found = parse_genesis(event.Event.open(sealed.record).payload)
    assert found == birth.genesis
    assert found.to_payload() == birth.draft.payload
    assert len(sealed.record.payload) < 1500


def test_the_soul_digests_are_those_of_the_common_tools(birth):
    data = birth.soul.data
    assert birth.genesis.soul == SoulDigest(
        sha256=hashlib.sha256(data).digest(), blake3=blake3(data).digest(), length=len(data)
    )


def test_two_births_of_one_soul_share_no_key(birth):
    other = bear()
    ours = {birth.genesis.public(role) for role in SIGNING_ROLES}
    theirs = {other.genesis.public(role) for role in SIGNING_ROLES}
    assert len(ours | theirs) == 2 * len(SIGNING_ROLES)
    assert other.genesis.next_key_digest != birth.genesis.next_key_digest


@pytest.mark.parametrize("role", SIGNING_ROLES)
def test_every_key_must_have_signed(birth, role):
    payload = copy.deepcopy(birth.draft.payload)
    stranger = Signer(b"\x05" * 32)
    payload["signatures"][role] = stranger.sign(TAG, codec.encode(birth.genesis.signed_value()))
    with pytest.raises(UnprovenKey, match=f"the {role} key's signature") as caught:
        parse_genesis(payload)
    assert caught.value.role == role


@pytest.mark.parametrize("role", KEY_ROLES)
def test_a_claimed_foreign_key_is_not_proven(birth, role):
    payload = copy.deepcopy(birth.draft.payload)
    payload["keys"][role] = bear().genesis.keys[role]
    with pytest.raises(UnprovenKey):
        parse_genesis(payload)


def test_a_signature_under_another_tag_does_not_count(birth):
    payload = copy.deepcopy(birth.draft.payload)
    message = codec.encode(birth.genesis.signed_value())
    payload["signatures"]["log"] = birth.keys.log.sign("timmy/genesis/v2", message)
    with pytest.raises(UnprovenKey):
        parse_genesis(payload)


def test_a_signer_that_is_not_the_named_key_is_caught(birth):
    with pytest.raises(UnprovenKey) as caught:
        sign_genesis(
            birth.genesis,
            keys=birth.keys,
            operator=Signer(b"\x07" * 32),
            recovery_output=output_signer(birth.kit.recovery_key),
        )
    assert caught.value.role == "operator"


SWAPS = [
    ("name", "Tommy"),
    ("network", "signet"),
    ("next_key_digest", bytes(32)),
    ("recovery_key_digest", bytes(32)),
    ("architecture", bytes(32)),
    ("entropy", ["os-getrandom"]),
    ("created_ms", 1),
]


@pytest.mark.parametrize(("field", "value"), SWAPS, ids=[field for field, _ in SWAPS])
def test_every_field_is_signed(birth, field, value):
    payload = copy.deepcopy(birth.draft.payload)
    assert payload[field] != value
    payload[field] = value
    with pytest.raises(UnprovenKey):
        parse_genesis(payload)


@pytest.mark.parametrize("field", ["sha256", "blake3", "length"])
def test_every_soul_field_is_signed(birth, field):
    payload = copy.deepcopy(birth.draft.payload)
    payload["soul"][field] = 7 if field == "length" else bytes(32)
    with pytest.raises(UnprovenKey):
        parse_genesis(payload)


MALFORMED = [
    (("version",), 2, "version is 2, this software reads 1"),
    (("version",), True, "version is True"),
    (("version",), None, "version is None"),
    (("name",), "", "0 characters, expected 1 to 32"),
    (("name",), 7, "name is not text"),
    (("network",), "testnet", "network is 'testnet', expected regtest, signet, mainnet"),
    (("network",), [], "network is"),
    (("soul",), b"", "soul is not a map"),
    (("soul", "sha256"), bytes(31), "soul sha256 is not 32 bytes"),
    (("soul", "blake3"), "x", "soul blake3 is not 32 bytes"),
    (("soul", "length"), 0, "soul length is 0, expected 1 to 65536"),
    (("soul", "length"), 65537, "soul length is 65537"),
    (("soul", "length"), True, "soul length is True"),
    (("soul", "extra"), 1, "soul holds unknown extra"),
    (("keys",), [], "keys is not a map"),
    (("keys", "log"), bytes(33), "log key is not 32 bytes"),
    (("keys", "tool"), bytes(32), "keys holds unknown tool"),
    (("next_key_digest",), None, "next_key_digest is not 32 bytes"),
    (("recovery_output_key",), b"", "recovery_output_key is not 32 bytes"),
    (("architecture",), bytes(20), "architecture is not 32 bytes"),
    (("entropy",), [], "0 entropy sources"),
    (("entropy",), ["os"] * 17, "17 entropy sources"),
    (("entropy",), ["os", "os"], "named twice"),
    (("entropy",), ["OS RNG"], "not a lower-case name"),
    (("entropy",), [1], "not a lower-case name"),
    (("entropy",), "os", "entropy is not a list"),
    (("created_ms",), -1, "created_ms"),
    (("created_ms",), False, "created_ms"),
    (("signatures",), None, "signatures is not a map"),
    (("signatures", "log"), bytes(63), "log signature is not 64 bytes"),
    (("signatures", "next"), bytes(64), "signatures holds unknown next"),
    (("content",), bytes(32), "payload holds unknown content"),
]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    MALFORMED,
    ids=[f"{n} {p[-1]}" for n, (p, _, _) in enumerate(MALFORMED)],
)
def test_malformed_payloads_are_named(birth, path, value, message):
    payload = copy.deepcopy(birth.draft.payload)
    target = payload
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    with pytest.raises(InvalidGenesis, match=message):
        parse_genesis(payload)


def test_every_missing_field_is_named(birth):
    whole = birth.draft.payload
    for name in whole:
        with pytest.raises(InvalidGenesis, match=name):
            parse_genesis({key: value for key, value in whole.items() if key != name})
    for group in ("soul", "keys", "signatures"):
        for name in whole[group]:
            payload = copy.deepcopy(whole)
            del payload[group][name]
            with pytest.raises(InvalidGenesis, match=f"{group} lacks {name}"):
                parse_genesis(payload)
    with pytest.raises(InvalidGenesis, match="not a map"):
        parse_genesis([])


def test_one_key_cannot_serve_two_roles(birth):
    payload = copy.deepcopy(birth.draft.payload)
    payload["keys"]["nostr"] = payload["keys"]["log"]
    payload["signatures"]["nostr"] = payload["signatures"]["log"]
    with pytest.raises(InvalidGenesis, match="two roles share one key"):
        parse_genesis(payload)
    payload = copy.deepcopy(birth.draft.payload)
    payload["next_key_digest"] = hashlib.sha256(payload["keys"]["log"]).digest()
    with pytest.raises(InvalidGenesis, match="also used in another role"):
        parse_genesis(payload)


@given(st.data())
def test_any_mutation_raises_a_documented_error(birth, data):
    def leaves(value, path=()):
        for key, item in value.items():
            yield (*path, key)
            if isinstance(item, dict):
                yield from leaves(item, (*path, key))

    payload = copy.deepcopy(birth.draft.payload)
    path = data.draw(st.sampled_from(sorted(leaves(payload))))
    target = payload
    for name in path[:-1]:
        target = target[name]
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
    scalar = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary() | text
    value = data.draw(scalar | st.lists(scalar, max_size=3) | st.dictionaries(text, scalar))
    if target[path[-1]] == value:
        return
    target[path[-1]] = value
    with pytest.raises(InvalidGenesis):
        parse_genesis(payload)


@pytest.mark.parametrize(
    "name", ["T", "Timmy", "a b", "Тимми", "天", "🦊", "Zoë", "x" * 32, "O'Neil-2"]
)
def test_good_names(name):
    check_name(name)


BAD_NAMES = [
    ("", "0 characters"),
    ("x" * 33, "33 characters"),
    (" x", "space"),
    ("x ", "space"),
    (" ", "space"),
    ("a  b", "two spaces"),
    *(
        (f"a{chr(code)}b", f"U\\+{code:04X} at character 2")
        for code in (
            *(
                0x00,
                0x09,
                0x0A,
                0x1B,
                0x7F,
                0x85,
                0xA0,
                0xAD,
                0x061C,
                0x200B,
                0x200D,
                0x200E,
                0x200F,
            ),
            *(
                0x2028,
                0x202A,
                0x202E,
                0x2060,
                0x2066,
                0x2069,
                0x3000,
                0x3164,
                0xD800,
                0xFEFF,
                0xFFFE,
            ),
            *(0xE0041, 0x1D173),
        )
    ),
]


@pytest.mark.parametrize(("name", "message"), BAD_NAMES, ids=[repr(name) for name, _ in BAD_NAMES])
def test_bad_names(name, message):
    with pytest.raises(InvalidGenesis, match=message):
        check_name(name)


def test_a_name_is_composed_at_birth():
    assert bear(name="Zoe\u0308").genesis.name == "Zoë"


def test_keys_of_another_agent_are_named(birth):
    check_keys(birth.keys, birth.genesis)
    with pytest.raises(KeyMismatch, match="log key"):
        check_keys(AgentKeys.from_root(bytes(range(32))), birth.genesis)


def test_a_genesis_cannot_be_built_unproven(birth):
    with pytest.raises(UnprovenKey):
        dataclasses.replace(birth.genesis, created_ms=5)
