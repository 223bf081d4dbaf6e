"""The genesis payload: every key has signed every field, and nothing but the exact shape is read."""

import copy
import hashlib
from dataclasses import replace

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from ledger.core import codec
from ledger.core.errors import InvalidGenesis, SoulChanged, UnprovenKey
from ledger.core.event import Event, seal
from ledger.core.genesis import (
    ENTROPY_INPUTS_MAX,
    KEY_ROLES,
    SIGNING_ROLES,
    SOUL_BYTES_MAX,
    TAG,
    SoulDigest,
    check_name,
    check_soul,
    parse_genesis,
)
from ledger.core.limits import INT_MAX
from tests.spec import agent


@pytest.fixture(scope="module")
def whole():
    """A payload that is read. Never changed: each case changes a copy."""
    return agent.genesis_payload()


@pytest.fixture(scope="module")
def genesis(whole):
    return parse_genesis(whole)


def with_value(payload, path, value):
    """A copy of the payload with another value at `path`."""
    mine = copy.deepcopy(payload)
    target = mine
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    return mine


def test_a_genesis_is_written_as_it_was_read(whole, genesis):
    assert genesis.to_payload() == whole
    assert parse_genesis(genesis.to_payload()) == genesis
    assert (genesis.name, genesis.network, genesis.entropy) == ("Vector", "regtest", ("vectors",))
    assert genesis.soul == SoulDigest.of(agent.SOUL)


def test_the_first_event_holds_it(whole, genesis):
    draft = genesis.to_draft(agent.STREAM)
    first = seal(draft, position=0, stream_sequence=0, ts_ms=1, salts=bytes(64))
    assert (first.type, first.stream, first.has_content) == ("genesis.born", agent.STREAM, False)
    assert Event.open(first.record).payload == whole


def test_a_soul_has_the_digests_of_the_common_tools():
    data = agent.SOUL
    assert SoulDigest.of(data) == SoulDigest(
        sha256=hashlib.sha256(data).digest(), blake3=blake3(data).digest(), length=len(data)
    )


# ---- what is signed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("role", SIGNING_ROLES)
def test_every_key_must_have_signed(whole, genesis, role):
    forged = agent.STRANGER.sign(TAG, codec.encode(genesis.signed_value()))
    with pytest.raises(UnprovenKey, match=f"the {role} key's signature") as caught:
        parse_genesis(with_value(whole, ("signatures", role), forged))
    assert caught.value.role == role


@pytest.mark.parametrize("role", KEY_ROLES)
def test_a_claimed_foreign_key_is_not_proven(whole, role):
    with pytest.raises(UnprovenKey):
        parse_genesis(with_value(whole, ("keys", role), agent.STRANGER.public))


def test_a_signature_under_another_tag_does_not_count(whole, genesis):
    other = agent.KEYS.log.sign("timmy/genesis/v2", codec.encode(genesis.signed_value()))
    with pytest.raises(UnprovenKey) as caught:
        parse_genesis(with_value(whole, ("signatures", "log"), other))
    assert caught.value.role == "log"


SWAPS = {
    ("name",): "Tommy",
    ("network",): "signet",
    ("soul", "sha256"): bytes(32),
    ("soul", "blake3"): bytes(32),
    ("soul", "length"): 7,
    ("next_key_digest",): bytes(32),
    ("recovery_key_digest",): bytes(32),
    ("architecture",): bytes(32),
    ("entropy",): ["os-getrandom"],
    ("created_ms",): 1,
}


@pytest.mark.parametrize("path", SWAPS, ids=".".join)
def test_every_field_is_signed(whole, path):
    changed = with_value(whole, path, SWAPS[path])
    assert changed != whole
    with pytest.raises(UnprovenKey):
        parse_genesis(changed)


def test_a_genesis_cannot_be_built_unproven(genesis):
    with pytest.raises(UnprovenKey):
        replace(genesis, created_ms=5)


# ---- the exact shape ----------------------------------------------------------------------------------

LONG_SOUL = SoulDigest(sha256=bytes(32), blake3=bytes(32), length=SOUL_BYTES_MAX)
AT_THE_BOUND = {
    "born at the beginning of time": {"created_ms": 0},
    "born at its end": {"created_ms": INT_MAX},
    "the shortest soul": {"soul": SoulDigest.of(b"x")},
    "the longest soul": {"soul": LONG_SOUL},
    "the shortest name": {"name": "T"},
    "the longest name": {"name": "\U0001f98a" * 32},
    "every source of entropy": {"entropy": tuple(f"s{n}" for n in range(ENTROPY_INPUTS_MAX))},
    "the longest name of a source": {"entropy": ("a" * 64, "0.-_z")},
    "mainnet": {"network": "mainnet"},
}


@pytest.mark.parametrize("name", AT_THE_BOUND)
def test_what_is_at_a_bound_is_within_it(name):
    payload = agent.genesis_payload(**AT_THE_BOUND[name])
    assert parse_genesis(payload).to_payload() == payload


MALFORMED = [
    (("version",), 2, "version is 2, this software reads 1"),
    (("version",), True, "version is True"),
    (("version",), None, "version is None"),
    (("name",), "", "name has 0 characters, expected 1 to 32"),
    (("name",), 7, "name is not text"),
    (("network",), "testnet", "network is 'testnet', expected regtest, signet, mainnet"),
    (("network",), [], "network is"),
    (("soul",), b"", "soul is not a map"),
    (("soul", "sha256"), bytes(31), "soul sha256 is not 32 bytes"),
    (("soul", "sha256"), "x" * 32, "soul sha256 is not 32 bytes"),
    (("soul", "blake3"), "x", "soul blake3 is not 32 bytes"),
    (("soul", "length"), 0, "soul length is 0, expected 1 to 65536"),
    (("soul", "length"), 65537, "soul length is 65537"),
    (("soul", "length"), True, "soul length is True"),
    (("soul", "extra"), 1, "soul holds unknown extra"),
    (("keys",), [], "keys is not a map"),
    (("keys", "log"), bytes(33), "log key is not 32 bytes"),
    (("keys", "operator"), "x" * 32, "operator key is not 32 bytes"),
    (("keys", "tool"), bytes(32), "keys holds unknown tool"),
    (("next_key_digest",), None, "next_key_digest is not 32 bytes"),
    (("recovery_key_digest",), bytes(31), "recovery_key_digest is not 32 bytes"),
    (("recovery_output_key",), b"", "recovery_output_key is not 32 bytes"),
    (("architecture",), bytes(20), "architecture is not 32 bytes"),
    (("entropy",), [], "0 entropy sources, expected 1 to 16"),
    (("entropy",), ["os"] * 17, "17 entropy sources, expected 1 to 16"),
    (("entropy",), ["os", "os"], "an entropy source is named twice"),
    (("entropy",), ["OS RNG"], "entropy source 'OS RNG' is not a lower-case name"),
    (("entropy",), ["a" * 65], "entropy source 'a+' is not a lower-case name"),
    (("entropy",), ["os\n"], r"entropy source 'os.n' is not a lower-case name"),
    (("entropy",), [1], "entropy source 1 is not a lower-case name"),
    (("entropy",), "os", "entropy is not a list"),
    (("created_ms",), -1, "created_ms"),
    (("created_ms",), INT_MAX + 1, "created_ms"),
    (("created_ms",), False, "created_ms"),
    (("signatures",), None, "signatures is not a map"),
    (("signatures", "log"), bytes(63), "log signature is not 64 bytes"),
    (("signatures", "next"), bytes(64), "signatures holds unknown next"),
    (("content",), bytes(32), "payload holds unknown content"),
]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    MALFORMED,
    ids=[f"{n} {path[-1]}" for n, (path, _, _) in enumerate(MALFORMED)],
)
def test_malformed_payloads_are_named(whole, path, value, message):
    with pytest.raises(InvalidGenesis, match=f"^genesis: {message}"):
        parse_genesis(with_value(whole, path, value))


def test_every_missing_field_is_named(whole):
    for name in whole:
        with pytest.raises(InvalidGenesis, match=name):
            parse_genesis({key: value for key, value in whole.items() if key != name})
    for group in ("soul", "keys", "signatures"):
        for name in whole[group]:
            less = {key: value for key, value in whole[group].items() if key != name}
            with pytest.raises(InvalidGenesis, match=f"{group} lacks {name}$"):
                parse_genesis(with_value(whole, (group,), less))
    with pytest.raises(InvalidGenesis, match=r"^genesis: payload is not a map"):
        parse_genesis([])


def test_all_of_what_is_missing_or_unknown_is_named(whole):
    with pytest.raises(InvalidGenesis, match=r"^genesis: soul lacks blake3, sha256$"):
        parse_genesis(with_value(whole, ("soul",), {"length": 1}))
    with pytest.raises(InvalidGenesis, match=r"^genesis: payload holds unknown extra, more$"):
        parse_genesis(whole | {"more": 1, "extra": 2})
    with pytest.raises(InvalidGenesis, match=r"^genesis: payload lacks architecture, name$"):
        parse_genesis({key: whole[key] for key in whole if key not in {"architecture", "name"}})


def test_a_newer_ledger_needs_newer_software(whole):
    with pytest.raises(InvalidGenesis) as caught:
        parse_genesis(whole | {"version": 2, "what": "is new"})
    assert caught.value.hint == "a newer ledger needs a newer timmy"


def test_one_key_cannot_serve_two_roles(whole):
    twice = with_value(whole, ("keys", "nostr"), whole["keys"]["log"])
    twice["signatures"]["nostr"] = whole["signatures"]["log"]
    with pytest.raises(InvalidGenesis, match=r"^genesis: two roles share one key"):
        parse_genesis(twice)
    with pytest.raises(InvalidGenesis, match=r"^genesis: two roles share one key"):
        parse_genesis(with_value(whole, ("keys", "seal"), whole["recovery_output_key"]))


@pytest.mark.parametrize("name", ["next_key_digest", "recovery_key_digest"])
def test_a_later_key_has_no_role_before(whole, name):
    used = [*whole["keys"].values(), whole["recovery_output_key"]]
    other = whole["next_key_digest" if name == "recovery_key_digest" else "recovery_key_digest"]
    for digest in (other, *(hashlib.sha256(key).digest() for key in used)):
        with pytest.raises(
            InvalidGenesis, match=r"^genesis: the next or recovery key is also used in"
        ):
            parse_genesis(with_value(whole, (name,), digest))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
scalars = st.none() | st.booleans() | st.integers(-(2**63), INT_MAX) | st.binary() | texts
others = scalars | st.lists(scalars, max_size=3) | st.dictionaries(texts, scalars)


def paths(value, before=()):
    for key, item in value.items():
        yield (*before, key)
        if isinstance(item, dict):
            yield from paths(item, (*before, key))


@given(st.data(), others)
def test_any_change_raises_a_documented_error(whole, data, value):
    path = data.draw(st.sampled_from(sorted(paths(whole))))
    changed = with_value(whole, path, value)
    if codec.encode(changed) != codec.encode(whole):
        with pytest.raises(InvalidGenesis):
            parse_genesis(changed)


# ---- names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["T", "Timmy", "X", "a b", "Тимми", "天", "🦊", "Zoë", "x" * 32, "O'Neil-2"]
)
def test_good_names(name):
    check_name(name)


UNSEEN = [
    *(0x00, 0x09, 0x0A, 0x1B, 0x1F, 0x7F, 0x85, 0xA0, 0xAD, 0x061C, 0x200B, 0x200D, 0x200E),
    *(0x200F, 0x2028, 0x202A, 0x202E, 0x2060, 0x2066, 0x2069, 0x3000, 0x3164, 0xD800, 0xFEFF),
    *(0xFFFE, 0xE0041, 0x1D173),
]
BAD_NAMES = [
    ("", "name has 0 characters, expected 1 to 32"),
    ("x" * 33, "name has 33 characters"),
    (" x", "name begins or ends with a space"),
    ("x ", "name begins or ends with a space"),
    (" ", "name begins or ends with a space"),
    ("a  b", "name holds two spaces in a row"),
    *((f"a{chr(code)}b", f"name holds U\\+{code:04X} at character 2") for code in UNSEEN),
]


@pytest.mark.parametrize(("name", "message"), BAD_NAMES, ids=[repr(name) for name, _ in BAD_NAMES])
def test_a_bad_name_is_refused_with_what_a_name_is(name, message):
    with pytest.raises(InvalidGenesis, match=f"^genesis: {message}") as caught:
        check_name(name)
    assert caught.value.hint == "1 to 32 visible characters, single spaces inside"


# ---- the SOUL -----------------------------------------------------------------------------------------

EDITED = (
    b"",
    agent.SOUL + b"\n",
    agent.SOUL[:-1],
    agent.SOUL.replace(b"\n", b"\r\n"),
    b"x" * 10**6,
)


@pytest.mark.parametrize("edited", EDITED, ids=len)
def test_an_edited_soul_is_refused_with_the_way_out(genesis, edited):
    check_soul(agent.SOUL, genesis)
    with pytest.raises(SoulChanged) as caught:
        check_soul(edited, genesis)
    for data in (agent.SOUL, edited):
        assert hashlib.sha256(data).hexdigest() in str(caught.value)
        assert f"{len(data)} bytes" in str(caught.value)
    assert "restore" in caught.value.hint
    assert "timmy lineage father --name NAME --into FOLDER --soul FILE" in caught.value.hint


def test_another_soul_of_the_same_length_is_another(genesis):
    with pytest.raises(SoulChanged):
        check_soul(agent.SOUL.replace(b"V", b"W"), genesis)
