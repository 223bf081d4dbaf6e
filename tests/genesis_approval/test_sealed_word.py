"""A sealed message as evidence: made by the real NIP-59, shown with its keys, checked by a stranger."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.core.approval import Word, read_answer, sealed_answer
from genesis.core.errors import InvalidApproval, InvalidSealedWord
from genesis.core.granting import Yes, decide
from genesis.core.sealed_word import KEYS_BYTES, SealedWord
from ledger.core.keys import Signer
from mesh.core import nip17, nip44, nip59
from mesh.core.nip01 import NostrSigner, UnsignedEvent
from mesh.core.nip59 import Chance, Rumor
from mesh.sealed.mailbox import Letter
from node.nostr.answering import evidence

from .world import DIGEST, KEY, PROPOSED, RULES, case

AUTHOR, NODE = (NostrSigner(KEY[name].secret) for name in ("npub", "nostr"))
QUESTION = PROPOSED.question(DIGEST)
AT_S = 3_600


def sealed(text, *, author=AUTHOR, at=AT_S, kind=None, rumor_by=None):
    """What a node gets of a message, opened, with the keys of it."""
    rumor = nip17.write((rumor_by or author).pubkey, [NODE.pubkey], text, now=at)
    if kind is not None:
        rumor = Rumor(pubkey=rumor.pubkey, created_at=at, kind=kind, content=text)
    shared = nip44.conversation_key(author.secret, NODE.pubkey)
    event = author.sign(
        UnsignedEvent(
            pubkey=author.pubkey,
            created_at=at - 5,
            kind=13,
            content=nip44.encrypt(shared, rumor.to_json(), b"\x51" * 32),
        )
    )
    letter = Letter(
        id=rumor.id, author=author.pubkey, text=text, created_at=at, sealed=event,
        room=frozenset({author.pubkey, NODE.pubkey}),
    )  # fmt: skip
    return evidence(letter, NODE)


def approving(**more):
    return sealed(f"approve {QUESTION.digest.hex()}", **more)


def test_a_message_of_the_operator_approves():
    made = sealed_answer(approving(), QUESTION)
    assert (made.answer.word, made.answer.at_ms) == (Word.APPROVE, AT_S * 1000)
    assert isinstance(decide(case(made), RULES, now_ms=AT_S * 1000), Yes)
    about = {
        "ledger": PROPOSED.ledger,
        "patch": PROPOSED.patch,
        "patch_class": PROPOSED.patch_class,
    }
    payload = made.to_payload(412)
    assert read_answer(payload, Word.APPROVE, **about) == made
    with pytest.raises(InvalidApproval, match="something else"):
        read_answer(payload, Word.DISAPPROVE, **about)
    with pytest.raises(InvalidApproval, match="something else"):
        read_answer({**payload, "at_ms": 1}, Word.APPROVE, **about)
    with pytest.raises(InvalidApproval, match="another question"):
        read_answer({**payload, "root": bytes(32)}, Word.APPROVE, **about)
    with pytest.raises(InvalidApproval, match="another question"):
        read_answer(payload, Word.APPROVE, **{**about, "patch": bytes(32)})
    with pytest.raises(InvalidApproval, match="another key"):
        read_answer({**payload, "key": KEY["operator"].public}, Word.APPROVE, **about)


def test_a_wrap_from_the_wire_is_evidence():
    rumor = nip17.write(AUTHOR.pubkey, [NODE.pubkey], "words", now=AT_S)
    chance = Chance.derived(b"\x41" * 32, b"a message")
    event = nip59.wrap(rumor, AUTHOR, NODE.pubkey, chance, now=AT_S)
    opened = nip59.open_wrap(event, NODE)
    assert opened.sealed is not None
    keys = nip59.shown_keys(opened.sealed, NODE)
    assert len(keys) == KEYS_BYTES
    letter = Letter(
        id=rumor.id, author=AUTHOR.pubkey, text="words", created_at=AT_S, sealed=opened.sealed,
        room=frozenset(),
    )  # fmt: skip
    found = evidence(letter, NODE)
    assert (found.text, found.created_at) == ("words", AT_S)
    assert found.author.hex() == AUTHOR.pubkey


def test_the_keys_open_this_message_and_no_other():
    one, other = sealed("one"), sealed("another thing", at=AT_S + 1)
    value = other.to_value()
    value["keys"] = Signer(b"\x07" * 32).public + one.keys[32:]
    with pytest.raises(InvalidSealedWord):
        SealedWord.from_value(value)


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "approve",
        f"approve {'0' * 64}",
        f"I approve {QUESTION.digest.hex()}",
        f"approve {QUESTION.digest.hex()} not",
        f"approve {QUESTION.digest.hex()[:63]}",
        f"disapprove  {QUESTION.digest.hex()} approve {QUESTION.digest.hex()}",
    ],
)
def test_other_words_answer_nothing(text):
    with pytest.raises(InvalidApproval):
        sealed_answer(sealed(text), QUESTION)


@pytest.mark.parametrize("text", ["Approve {}.", "  approve   {}\n", "DISAPPROVE {}"])
def test_how_a_phone_writes_it(text):
    found = sealed_answer(sealed(text.format(QUESTION.digest.hex())), QUESTION)
    assert found.answer.word is Word(text.split()[0].lower())


def test_what_shows_nothing_is_refused():
    good = approving().to_value()
    for name, wrong in (
        ("pubkey", bytes(32)),
        ("pubkey", KEY["alice"].public),
        ("created_at", good["created_at"] + 1),
        ("created_at", -1),
        ("created_at", True),
        ("content", good["content"][:-8]),
        ("content", "x" * 9_000),
        ("content", '",13,[],"'),
        ("sig", bytes(64)),
        ("keys", bytes(76)),
        ("keys", good["keys"][:44] + bytes(32)),
        ("keys", bytes(32) + good["keys"][32:]),
        ("keys", b""),
    ):
        with pytest.raises(InvalidSealedWord):
            SealedWord.from_value({**good, name: wrong})
    for value in (None, [], {}, {**good, "more": 1}):
        with pytest.raises(InvalidSealedWord):
            SealedWord.from_value(value)


def test_a_message_of_another_kind_or_author_is_none():
    with pytest.raises(InvalidSealedWord, match="kind 7"):
        approving(kind=7)
    with pytest.raises(InvalidSealedWord, match="two authors"):
        approving(rumor_by=NostrSigner(KEY["operator"].secret))


def test_a_stranger_s_message_approves_nothing():
    made = sealed_answer(approving(author=NostrSigner(KEY["stranger"].secret)), QUESTION)
    assert not isinstance(decide(case(made), RULES, now_ms=AT_S * 1000), Yes)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 2**16), flip=st.integers(1, 255))
def test_no_byte_of_it_can_be_another(at, flip):
    made = approving()
    for name in ("author", "signature", "keys"):
        data = bytearray(getattr(made, name))
        data[at % len(data)] ^= flip
        try:
            found = replace(made, **{name: bytes(data)})
        except InvalidSealedWord:
            continue
        # another key of the cipher may leave what is read of the words as it was: it is no key then
        assert name == "keys"
        assert (found.text, found.created_at) == (made.text, made.created_at)
