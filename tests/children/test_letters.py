"""Letters: what was signed for somebody, once, and nothing else."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.core.children import letters
from genesis.core.children.errors import ChildError, InvalidLetter, OutOfTurn
from genesis.core.children.letters import (
    FIRST,
    ORDERS,
    TELLINGS,
    Chain,
    Kind,
    Letter,
    check_fresh,
    open_letter,
)
from ledger.core.codec import encode
from ledger.core.errors import InvalidStatement
from ledger.core.statement import make_statement
from tests.children.kin import CHILD, FACTS, START_MS, letter
from tests.spec.agent import STRANGER
from tests.spec.make_children import PARENT_NOSTR


def opened_again(data, *, author=PARENT_NOSTR.public, to=CHILD):
    return open_letter(Letter.parse(data), author=author, ledger_id=to)


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_travels_and_is_kept(kind):
    chain = Chain() if kind in ORDERS | TELLINGS else None
    made = letter(kind, chain=chain, text="mind the north window")
    assert opened_again(made.letter.encode()) == made
    kept = Letter.from_event(made.letter.to_payload(), {"text": "mind the north window"})
    assert kept == made.letter
    assert made.facts["words"] == hashlib.sha256(b"mind the north window").digest()
    assert "north" not in str(made.letter.to_payload()), "words can be erased: facts cannot"


def test_erased_words_leave_a_letter_that_holds_and_travels_without_them():
    made = letter(Kind.GUIDE, chain=Chain(), text="a secret")
    kept = Letter.from_event(made.letter.to_payload(), None)
    assert kept.text is None
    assert open_letter(kept, author=PARENT_NOSTR.public, ledger_id=CHILD).text == ""
    assert opened_again(kept.encode()).digest == made.digest, "the chain goes on"
    wordless = letter(Kind.RESET, chain=Chain())
    assert Letter.from_event(wordless.letter.to_payload(), None) == wordless.letter


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"author": STRANGER.public}, "is by"),
        ({"signature": bytes(64)}, "signature of"),
        ({"statement": b""}, "not decodable|statement|size"),
        ({"text": "other words"}, "other words"),
        ({"facts": {}}, "commitment"),
    ],
)
def test_what_was_changed_on_the_way_is_refused(changes, words):
    made = letter(Kind.GUIDE, chain=Chain(), text="as it was").letter
    fields = {name: getattr(made, name) for name in Letter.__slots__}
    with pytest.raises(InvalidLetter, match=words):
        open_letter(Letter(**(fields | changes)), author=PARENT_NOSTR.public, ledger_id=CHILD)


def test_a_letter_to_another_child_is_no_letter_to_this_one():
    data = letter(Kind.GRANT, chain=Chain(), to=b"\x01" * 32).letter.encode()
    with pytest.raises(InvalidLetter, match="is for ledger"):
        opened_again(data)


def test_a_stranger_who_signs_as_himself_is_not_the_parent():
    data = letter(Kind.GRANT, chain=Chain(), signer=STRANGER).letter.encode()
    with pytest.raises(InvalidLetter, match="is by"):
        opened_again(data)


def signed_anyway(kind, facts, text=""):
    facts = {"number": 1, "previous": FIRST, "at_ms": START_MS, **facts}
    facts.setdefault("words", hashlib.sha256(text.encode()).digest())
    signed = make_statement(facts, ledger_id=CHILD, nonce=b"n" * 16, kind=kind, signer=PARENT_NOSTR)
    return Letter(facts=facts, text=text, **signed)


@pytest.mark.parametrize(
    ("kind", "facts", "words"),
    [
        ("order/grant", {}, "not exactly"),
        ("order/guide", {"further": 1}, "not exactly"),
        ("order/guide", {"number": True}, "not of type int"),
        ("order/guide", {"number": 0}, "with the number 0"),
        ("order/guide", {"number": -1}, "expected 0 or more"),
        ("order/guide", {"previous": b""}, "0 bytes, 32"),
        ("order/guide", {"words": bytes(32)}, "other words"),
        ("order/narrow", {"gate": "a\nb"}, "no line"),
        ("order/narrow", {"gate": "a" * 501}, "no line"),
        ("order/narrow", {"gate": b"rite"}, "not of type str"),
        ("look", {}, "with the number 1"),
        ("order/fly", {}, "does not know"),
        ("patch.approve", {}, "does not know"),
    ],
)
def test_facts_are_exactly_those_of_the_kind(kind, facts, words):
    with pytest.raises(InvalidLetter, match=words):
        open_letter(signed_anyway(kind, facts), author=PARENT_NOSTR.public, ledger_id=CHILD)


def test_what_is_too_long_is_not_written():
    with pytest.raises(InvalidLetter, match="at most"):
        letter(Kind.GUIDE, chain=Chain(), text="ü" * letters.WORDS_BYTES_MAX)
    with pytest.raises(InvalidLetter, match="UTF-8"):
        letter(Kind.GUIDE, chain=Chain(), text="\ud800")
    longest = letter(Kind.PATCH, chain=Chain(), text="x" * letters.WORDS_BYTES_MAX)
    assert len(longest.letter.encode()) <= letters.LETTER_BYTES_MAX


def test_a_chain_takes_the_next_one_only():
    first = letter(Kind.GUIDE, chain=Chain(), text="1")
    after = Chain().take(first)
    second = letter(Kind.GUIDE, chain=after, text="2")
    assert (second.number, second.previous) == (2, first.digest)
    with pytest.raises(OutOfTurn, match="was taken before"):
        after.take(first)
    with pytest.raises(OutOfTurn, match="too early"):
        Chain().take(second)
    other = letter(Kind.GUIDE, chain=Chain(), text="another first")
    with pytest.raises(OutOfTurn, match="follows another"):
        Chain().take(other).take(second)


@pytest.mark.parametrize(
    ("at_ms", "taken_ms", "good"),
    [(0, -1, True), (0, 0, False), (601_000, -1, False), (-600_000, -700_000, True)],
)
def test_letters_without_a_number_are_of_now_and_taken_once(at_ms, taken_ms, good):
    made = letter(Kind.LOOK, at_ms=START_MS + at_ms)
    if good:
        check_fresh(made, now_ms=START_MS, taken_ms=START_MS + taken_ms)
    else:
        with pytest.raises(OutOfTurn):
            check_fresh(made, now_ms=START_MS, taken_ms=START_MS + taken_ms)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_letter_or_refused_by_name(data):
    with pytest.raises(ChildError):
        opened_again(data)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(values, min_size=5, max_size=5))
def test_any_value_is_a_letter_or_refused_by_name(value):
    with pytest.raises(ChildError):
        opened_again(encode(value))


@given(st.sampled_from(sorted(FACTS)), st.dictionaries(st.sampled_from(
    ["number", "previous", "at_ms", "gate", "size", "event", "words"]), values))  # fmt: skip
def test_signed_nonsense_is_refused_by_name_or_has_the_right_facts(kind, facts):
    try:
        found = open_letter(
            signed_anyway(kind.value, FACTS[kind] | facts),
            author=PARENT_NOSTR.public,
            ledger_id=CHILD,
        )
    except (InvalidLetter, InvalidStatement):
        return
    assert found.facts["words"] == hashlib.sha256(b"").digest()
    assert found.number >= 0
