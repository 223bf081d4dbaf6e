"""What is worth remembering, by rules: each rule, and what none of them takes."""

import pytest

from runtime.core.claims import read_claims
from runtime.core.distil import FACTS_MAX, RULES, SENTENCE_CHARS_MAX, distil
from runtime.core.markers import MARK, parse_marker, to_marker

KEPT = {
    "told to remember": ["Remember that the key is under the pot.", "please note: bins on Monday"],
    "decision": [
        "We decided to tile the north side first.", "Let's go with the blue one.",
        "We will use SQLite instead of Redis.", "Decision: no new condenser.",
    ],
    "architecture": ["Architecture: the gateway only forwards."],
    "correction": ["Actually, the tap is in the cellar.", "Correction: it was May, not June."],
    "pattern": ["Whenever the bus hangs, send nine pulses.", "Lesson: look at the shade first."],
    "name": ["My name is Mara.", "Hello, call me Bo."],
    "somebody of mine": ["My dog is called Fritz.", "Our landlord is Mr. Haas."],
    "condition": ["I am allergic to penicillin.", "Noor is vegetarian.", "I live in Halle."],
    "likes": ["I prefer tea."],
    "dislikes": ["I don't like fennel.", "I can't stand fennel."],
    "date": ["The concert is on 15 November.", "Deadline for the papers: 2026-04-30."],
    "measure": ["The wall is 312 cm wide.", "It costs €40.", "The quote was 2,340 euros."],
}  # fmt: skip
LEFT = (
    "Do you remember that evening?", "If we decided to move, what then?", "Hello!", "",
    "Maybe the wall is 312 cm wide.", "> We decided to go with Redis.", "It rains.",
    "I guess my name is mud.", '"I love fennel", he said.', "Should we go with the blue one?",
    "For example, the deadline is on 5 May.", "x" * (SENTENCE_CHARS_MAX + 1),
    "Remember the Alamo", "The blue concert was loud.",
)  # fmt: skip


def test_every_rule_has_examples():
    assert {rule.name for rule in RULES} == set(KEPT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_keeps_its_sentences_word_for_word(rule):
    for sentence in KEPT[rule.name]:
        [fact] = distil(sentence)
        assert (fact.kind, fact.text, fact.quote) == (rule.kind, sentence, sentence)
        assert fact.confidence == rule.confidence


@pytest.mark.parametrize("sentence", LEFT)
def test_what_is_no_fact_is_left(sentence):
    assert distil(sentence) == []


def test_a_text_gives_its_sentences_once_each_and_not_too_many():
    text = "Good morning. My name is Mara. I like tea! Is that fine? My name is Mara."
    assert [fact.text for fact in distil(text)] == ["My name is Mara.", "I like tea!"]
    many = " ".join(f"The wall is {n} cm wide." for n in range(1, 50))
    assert len(distil(many)) == FACTS_MAX


def test_subjects_say_what_a_later_fact_replaces():
    [like], [dislike] = distil("I like green tea."), distil("I don't like green tea.")
    assert like.subject == dislike.subject == "liking green tea"
    assert (like.against, dislike.against) == (False, True)
    assert distil("My dog is Fritz.")[0].subject == distil("My dog is named Bo.")[0].subject


def test_the_seeds_marker_is_understood_and_written():
    seed = f"{MARK} Decision: use SQLite for state, not Redis. Source: session-abc123."
    marker = parse_marker(seed)
    assert (marker.kind, marker.text, marker.source) == (
        "decision", "use SQLite for state, not Redis.", "session-abc123",
    )  # fmt: skip
    assert to_marker(marker.kind, marker.text, marker.source) == seed
    assert to_marker("fact", "two\nlines", None) == f"{MARK} Fact: two lines"
    assert parse_marker(f"{MARK} the tap drips").kind == "fact"
    for text in ("no marker", MARK, f"{MARK}   ", "x" * 90 + seed):
        assert parse_marker(text) is None
    [fact] = distil(seed)
    assert (fact.kind, fact.text) == ("decision", "use SQLite for state, not Redis.")


def test_a_long_text_that_pretends_to_be_a_marker_is_read_at_once():
    """Looking for its source in all of it took six hours for a message of a mebibyte."""
    blanks = " " * 10**6
    for text in (f"{MARK} x{blanks}y", f"{MARK}{blanks}x"):
        assert parse_marker(text).source is None
    assert len(parse_marker(f"{MARK} x" + " Source: " * 10**5).source) <= 128
    marker = parse_marker(f"{MARK} Decision: x{blanks} Source: s-1.{blanks}")
    assert (marker.kind, marker.text, marker.source) == ("decision", "x", "s-1")
    assert parse_marker(f"{MARK} Fact: Source: s-1.") is None


MESSAGES = {
    7: "We met Dr. Amsel on Monday, the brace costs 3,900 euros.",
    9: "I prefer tea, thanks.",
}


def claim(**more):
    usual = {
        "message": 7, "kind": "fact", "text": "The brace costs 3,900 euros.",
        "quote": "the brace costs 3,900 euros", "confidence": 0.9, "importance": 0.5,
    }  # fmt: skip
    return usual | more


def reply(*claims):
    import json

    return f"Sure!\n```json\n{json.dumps({'facts': list(claims)})}\n```"


def test_a_claim_with_its_quotation_is_kept():
    read = read_claims(reply(claim()), MESSAGES)
    [(at, fact)] = read.facts
    assert (at, fact.kind, fact.confidence, fact.importance) == (7, "fact", 900, 500)
    assert (read.readable, read.dropped) == (True, 0)


@pytest.mark.parametrize(
    "bad",
    [
        claim(quote="the brace costs 4,900 euros"),
        claim(text="The brace costs 4,900 euros."),
        claim(text="The brace by Doctor Mueller costs 3,900 euros."),
        claim(message=8),
        claim(message=9),
        claim(quote="brace"),
        claim(kind="gossip"),
        claim(text=""),
        claim(text="x" * 500),
        claim(message="7"),
        {"message": 7},
        "no map",
        None,
    ],
)
def test_a_claim_that_cannot_be_checked_is_dropped_and_counted(bad):
    read = read_claims(reply(claim(), bad), MESSAGES)
    assert len(read.facts) == 1
    assert read.dropped == 1


@pytest.mark.parametrize("text", ["", "no JSON", "{", '{"facts": 3}', "[1]", "{" * 5000])
def test_a_reply_that_is_not_what_was_asked_for_says_so(text):
    assert not read_claims(text, MESSAGES).readable


def test_odd_weights_are_the_usual_ones():
    read = read_claims(
        reply(claim(confidence="high", importance=7), claim(confidence=True)), MESSAGES
    )
    assert [(fact.confidence, fact.importance) for _, fact in read.facts] == [
        (700, 500),
        (700, 500),
    ]
