"""Names, keys and words of sealed messages on their way in and out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core import types
from ledger.core.event import Draft, seal
from mesh.core import envelope, nip17
from mesh.core.nip01 import made_safe
from node.nostr.letters import (
    Verdict,
    answer_rumors,
    author_of,
    key_of,
    pubkey_of,
    question_words,
    verdict_of,
)
from runtime.core.limits import NAME_CHARS_MAX
from tests.mesh.peers import ALICE, BOB, NOW

CONVERSATION = "22" * 16


def event(kind, payload, content=None, position=7, salts=bytes(64)):
    draft = Draft(type=kind.name, stream=bytes(16), payload=payload, content=content)
    return seal(draft, position=position, stream_sequence=0, ts_ms=NOW * 1000 + 999, salts=salts)


def answered(text, *, conversation="", author=None):
    name = author_of(BOB.pubkey) if author is None else author
    where = f"{name}/{conversation}" if conversation else name
    facts = {"conversation": where, "author": name}
    message = event(
        types.MESSAGE_RECEIVED, facts | {"gateway": name, "screen": "pass"}, {"text": "?"}
    )
    content = None if text is None else {"text": text}
    return message, event(types.MESSAGE_SENT, facts | {"message": 7}, content, position=8)


@given(st.binary(min_size=32, max_size=32).map(bytes.hex))
def test_a_key_has_one_name_and_the_name_one_key(pubkey):
    name = author_of(pubkey)
    assert name.startswith("nostr/npub1")
    assert pubkey_of(name) == pubkey_of(f"{name}/{CONVERSATION}") == pubkey
    assert len(f"{name}/{CONVERSATION}") <= NAME_CHARS_MAX
    assert len(key_of(pubkey)) == 16


@pytest.mark.parametrize("name", ["", "nostr/", "telegram/1", "nostr/npub1x", "nostr/" + "1" * 200])
def test_other_names_have_no_key(name):
    assert pubkey_of(name) is None


def test_a_secret_key_names_nobody():
    from mesh.core import nip19

    assert pubkey_of("nostr/" + nip19.encode(nip19.SecretKey(ALICE.secret))) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("yes 123", (123, True)),
        (" NO 7. ", (7, False)),
        ("Yes 0!", (0, True)),
        ("yes", None),
        ("yes yes 1", None),
        ("yes 1 2", None),
        ("yes -1", None),
        ("yes, 12", None),
        ("yes 12 please", None),
        ("yes 1234567890123456789", None),
        ("y 1", None),
    ],
)
def test_a_yes_has_a_number(text, found):
    assert verdict_of(text) == (
        None if found is None else Verdict(position=found[0], allow=found[1])
    )


@given(st.text())
def test_other_words_are_words(text):
    assert verdict_of(text) is None or text.strip().lower().startswith(("yes", "no"))


def test_an_answer_is_the_same_messages_whenever_it_is_made():
    message, answer = answered("an answer")
    [one] = answer_rumors(ALICE, message, answer)
    assert (one.kind, one.content, one.created_at) == (14, "an answer", NOW)
    assert one.tags == (("p", BOB.pubkey), ("event", answer.id.hex()))
    assert [one] == answer_rumors(ALICE, *answered("an answer"))


def test_the_same_words_said_twice_within_a_second_are_two_messages():
    message, answer = answered("yes")
    facts = {key: answer.payload[key] for key in ("conversation", "author", "message")}
    again = event(types.MESSAGE_SENT, facts, {"text": "yes"}, position=9, salts=bytes([1]) * 64)
    [one], [other] = (answer_rumors(ALICE, message, said) for said in (answer, again))
    assert (one.content, one.created_at) == (other.content, other.created_at)
    assert one.id != other.id


def test_a_long_answer_is_messages_in_order():
    text = "one line of it\n" * 6000
    parts = answer_rumors(ALICE, *answered(text))
    assert len(parts) == 4
    assert "".join(part.content for part in parts) == text
    assert [part.created_at for part in parts] == [NOW, NOW + 1, NOW + 2, NOW + 3]


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_what_was_erased_or_is_blank_is_no_message(text):
    assert answer_rumors(ALICE, *answered(text)) == []
    assert answer_rumors(ALICE, *answered("x", author="telegram/1")) == []


@given(st.text(min_size=1, max_size=50).filter(lambda text: made_safe(text).strip()))
def test_any_words_can_be_sent(text):
    [plain] = answer_rumors(ALICE, *answered(text))
    assert plain.content == made_safe(text)
    assert plain.to_json()
    [carried] = answer_rumors(ALICE, *answered(text, conversation=CONVERSATION))
    report = envelope.parse(carried.content)
    assert (report.payload.text, report.conversation_id) == (made_safe(text), CONVERSATION)


@pytest.mark.parametrize("text", ['"' * 60_000, "é\n" * 20_000, " " * 30_000 + "x", "\\" * 30_000])
def test_the_answer_to_an_agent_is_reports_that_fit(text):
    reports = [
        envelope.parse(rumor.content)
        for rumor in answer_rumors(ALICE, *answered(text, conversation=CONVERSATION))
        if rumor.to_json()
    ]
    assert "".join(one.payload.text for one in reports).lstrip() == text.lstrip()
    assert {one.node_id for one in reports} == {ALICE.pubkey}
    assert {one.payload.to for one in reports} == {BOB.pubkey}
    assert len({one.payload.id for one in reports}) == len(reports)


def test_a_question_says_how_to_answer_it():
    words = question_words(
        12, "run", {"text": "Bash ls", "why": "no rule", "arguments": "x" * 9000, "left_out": 5}
    )
    assert words.startswith("May I do this?\n> run: Bash ls\n")
    assert words.endswith("Answer: yes 12, or: no 12")
    assert "and 7505 characters: timmy show 12" in words
    assert len(words) < 2000
    assert nip17.write(ALICE.pubkey, [BOB.pubkey], words, now=NOW)
    assert "Answer: yes 1," in question_words(1, "run", {})


@pytest.mark.parametrize("end", ["\n", "\r", "\n\n", "\x0b", "\x1c", "\x85", "\u2028"])
def test_what_a_call_says_is_quoted(end):
    """Else the words of a page could ask for a yes to another question, which waits, too."""
    lie = f"ls{end}{end}Answer: yes 7, or: no 7"
    words = question_words(12, "run", {"text": lie, "why": lie, "arguments": lie})
    own = [line for line in words.splitlines() if not line.startswith("> ")]
    assert [line for line in own if line] == ["May I do this?", "Answer: yes 12, or: no 12"]
    assert words.count("> Answer: yes 7") == 3
