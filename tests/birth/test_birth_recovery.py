import dataclasses
import re

import pytest
from embit import bip39
from embit.ec import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from genesis.core.errors import InvalidPhrase, KeyMismatch
from genesis.core.keys import CURVE_ORDER
from genesis.core.recovery import (
    RecoveryKit,
    check_kit,
    key_from_phrase,
    key_from_seed,
    output_key,
    output_signer,
    parse_kit,
    parse_phrase,
    phrase_from_entropy,
    render_kit,
)
from ledger.core.genesis import key_digest
from ledger.core.keys import Signer, verify

from .conftest import bear

PHRASE = phrase_from_entropy(bytes(range(32)))


def test_bip_86_vector():
    words = "abandon " * 11 + "about"
    key = key_from_seed(bip39.mnemonic_to_seed(words), "mainnet")
    assert key.public.hex() == "cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115"
    output = "a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c"
    assert output_key(key.public).hex() == output
    assert output_signer(key).public.hex() == output


def test_bip_39_vectors():
    # trezor/python-mnemonic vectors of 256 bits
    assert phrase_from_entropy(bytes(32)) == "abandon " * 23 + "art"
    assert phrase_from_entropy(b"\x7f" * 32) == " ".join(
        ["legal winner thank year wave sausage worth useful"] * 2
        + ["legal winner thank year wave sausage worth title"]
    )
    assert phrase_from_entropy(b"\xff" * 32) == "zoo " * 23 + "vote"


@given(st.integers(1, CURVE_ORDER - 1))
def test_output_keys_agree_with_embit_and_sign(number):
    signer = Signer(number.to_bytes(32, "big"))
    tweaked = output_signer(signer)
    assert tweaked.public == output_key(signer.public)
    assert tweaked.public == PrivateKey(signer.secret).taproot_tweak(b"").get_public_key().xonly()
    assert verify(tweaked.public, "t", b"m", tweaked.sign("t", b"m"))


def test_the_network_separates_the_keys():
    mainnet, signet, regtest = (
        key_from_phrase(PHRASE, network).public for network in ("mainnet", "signet", "regtest")
    )
    assert mainnet != signet == regtest


def test_the_kit_is_the_one_of_its_genesis(birth):
    check_kit(birth.kit, birth.genesis)
    assert key_digest(birth.kit.next_key.public) == birth.genesis.next_key_digest
    assert output_key(birth.kit.recovery_key.public) == birth.genesis.recovery_output_key
    other = bear().kit
    for field, name in [("next_phrase", "next key"), ("recovery_phrase", "recovery key")]:
        mixed = dataclasses.replace(birth.kit, **{field: getattr(other, field)})
        with pytest.raises(KeyMismatch, match=f"the kit's {name} "):
            check_kit(mixed, birth.genesis)
    with pytest.raises(KeyMismatch, match="network"):
        check_kit(dataclasses.replace(birth.kit, network="mainnet"), birth.genesis)


entropies = st.binary(min_size=32, max_size=32)


@given(entropies, entropies, st.sampled_from(["Timmy", "#1", "NEXT KEY", "天 天"]))
def test_a_rendered_kit_reads_back(first, second, agent):
    if first == second:
        return
    kit = RecoveryKit(
        agent=agent,
        network="signet",
        soul_sha256=first,
        next_phrase=phrase_from_entropy(first),
        recovery_phrase=phrase_from_entropy(second),
    )
    text = render_kit(kit)
    assert parse_kit(text) == kit
    assert max(map(len, text.splitlines())) <= 100


def test_a_kit_typed_by_a_person_reads_back(birth):
    text = render_kit(birth.kit)
    head, tail = text.split("NEXT KEY", 1)
    sloppy = head + ("next  key" + tail).upper().replace("  ", "   ").replace("\n", " \r\n\n")
    assert parse_kit("\n# copied on Sunday\n" + sloppy) == birth.kit


def word_at(text: str, section: str, number: int) -> re.Match:
    start = text.index(section)
    return re.compile(rf"(?<=\s{number} )([a-z]+)").search(text, start)


@pytest.mark.parametrize(("section", "number"), [("NEXT KEY", 1), ("RECOVERY KEY", 14)])
def test_an_unknown_word_is_named_by_number(birth, section, number):
    text = render_kit(birth.kit)
    match = word_at(text, section, number)
    changed = text[: match.start()] + match[0] + "x" + text[match.end() :]
    with pytest.raises(InvalidPhrase, match=f"{section.lower()}, word {number}: ") as caught:
        parse_kit(changed)
    assert match[0] in caught.value.hint


def test_a_wrong_word_is_named_by_row(birth):
    text = render_kit(birth.kit)
    match = word_at(text, "RECOVERY KEY", 9)
    other = "able" if match[0] != "able" else "zoo"
    with pytest.raises(InvalidPhrase, match="recovery key, words 7 to 12: their check is"):
        parse_kit(text[: match.start()] + other + text[match.end() :])


def test_rows_in_the_wrong_order_or_place_are_named(birth):
    lines = render_kit(birth.kit).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(" 1 "))
    lines[first], lines[first + 1] = lines[first + 1], lines[first]
    with pytest.raises(InvalidPhrase, match="next key, word 7: expected word 1 here"):
        parse_kit("\n".join(lines))
    # A whole row of the other key: right numbers, right words, but another section's check.
    lines = render_kit(birth.kit).splitlines()
    rows = [i for i, line in enumerate(lines) if line.startswith("13 ")]
    lines[rows[0]], lines[rows[1]] = lines[rows[1]], lines[rows[0]]
    with pytest.raises(InvalidPhrase, match="next key, words 13 to 18: their check"):
        parse_kit("\n".join(lines))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "", "first line is not"),
        (lambda t: t.replace("KIT 1", "KIT 2"), "first line is not"),
        (lambda t: t.replace("agent ", "# agent "), "no line that begins with 'agent'"),
        (lambda t: t.replace("regtest", "testnet"), "network is 'testnet'"),
        (lambda t: re.sub(r"soul +\w", "soul ", t), "soul is not 64 hexadecimal"),
        (lambda t: t[: t.index("RECOVERY KEY")], "recovery key: 0 words, expected 24"),
        (lambda t: re.sub(r"\n19 .*", "", t, count=1), "next key: 18 words, expected 24"),
        (lambda t: re.sub(r" check \w+", "", t, count=1), "next key, after word 0: .* is no row"),
        (lambda t: t.replace("NEXT KEY", "# NEXT KEY"), "before the first key, words 1 to 6"),
        (lambda t: t + "x" * 9000, "at most 8192"),
    ],
    ids=range(10),
)
def test_a_damaged_kit_is_named(birth, change, message):
    with pytest.raises(InvalidPhrase, match=message):
        parse_kit(change(render_kit(birth.kit)))


@given(st.text(max_size=200))
def test_any_text_is_a_kit_or_a_documented_error(text):
    with pytest.raises(InvalidPhrase):
        parse_kit("TIMMY RECOVERY KIT 1\n" + text)


def test_plain_phrases():
    assert parse_phrase("  " + PHRASE.upper().replace(" ", "\n")) == PHRASE
    words = PHRASE.split()
    with pytest.raises(InvalidPhrase, match="phrase, word 3: 'zzz'"):
        parse_phrase(" ".join([*words[:2], "zzz", *words[3:]]))
    with pytest.raises(InvalidPhrase, match="23 words, expected 24"):
        parse_phrase(" ".join(words[:-1]))
    with pytest.raises(InvalidPhrase, match="25 words, expected 24"):
        parse_phrase(PHRASE + " zoo")
    with pytest.raises(InvalidPhrase, match="checksum fails"):
        parse_phrase(" ".join([words[1], words[0], *words[2:]]))


def test_one_phrase_cannot_be_both_keys(birth):
    with pytest.raises(InvalidPhrase, match="are the same"):
        dataclasses.replace(birth.kit, next_phrase=birth.kit.recovery_phrase)


def test_the_repr_hides_the_words(birth):
    for phrase in (birth.kit.next_phrase, birth.kit.recovery_phrase):
        assert phrase not in repr(birth.kit)
        assert phrase not in repr(birth)
    for secret in (birth.agent_keystore, birth.operator_keystore, birth.operator.secret):
        assert repr(secret) not in repr(birth)
