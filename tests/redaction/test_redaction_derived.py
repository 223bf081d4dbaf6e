"""What came of erased words is found by causes and by quotation, and said without repeating it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.event import Draft
from ledger.core.quotation import QUOTE_WORDS_MIN, Passages, split_words
from ledger.derived import DOWNSTREAM, TAKEN, How, find_derived, repeats
from tests.ledger.makers import STREAM, genesis, message, open_log

SECRET = "the spare key lies under the third flowerpot beside the garden gate"
TURN, OTHER = b"t" * 16, b"u" * 16


def quoted(source, text):
    passages = Passages()
    passages.add(0, source)
    quote = passages.find(text)
    return 0 if quote is None else quote.words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("You said: the spare key lies under the third flowerpot.", 8),
        ("THE SPARE-KEY, LIES; under…", 5),
        ("thé spàre kéy lies ünder", 5),
        ("the spare key lies elsewhere", 0),
        ("under the third flowerpot", 0),
        ("gate garden the beside flowerpot third the", 0),
        ("", 0),
    ],
)
def test_five_words_in_a_row_are_a_quotation(text, words):
    assert quoted(SECRET, text) == words


@pytest.mark.parametrize(
    ("source", "text", "words"),
    [
        ("Leipzig Connewitz", "she lives in leipzig, connewitz I think", 2),
        ("yes ok", "yes ok", 0),
        ("my number is 0171 5551234", "call 5551234", 1),
        ("in 2026 at 10:30", "2026 and 10:30", 0),
        ("key nsec1qqqqqqqqqqqqqqqqqqqqqq", "it was nsec1qqqqqqqqqqqqqqqqqqqqqq", 1),
        ("钥匙在花盆下面", "他说钥匙在花盆下", 6),
    ],
)
def test_short_texts_and_telling_words_are_recognised(source, text, words):
    assert quoted(source, text) == words


WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=QUOTE_WORDS_MIN, max_size=30)


@given(WORDS, st.text(max_size=30), st.text(max_size=30), st.data())
def test_any_passage_is_found_whatever_stands_around_it(words, before, after, data):
    start = data.draw(st.integers(0, len(words) - QUOTE_WORDS_MIN))
    stop = data.draw(st.integers(start + QUOTE_WORDS_MIN, len(words)))
    passage = words[start:stop]
    found = quoted(" ".join(words), f"{before} {', '.join(passage).upper()} {after}")
    assert found >= len(passage)


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_twin_that_compares_every_pair_agrees(source, text):
    a, b = split_words(source), split_words(text)
    runs = [
        n
        for i in range(len(a))
        for j in range(len(b))
        for n in range(QUOTE_WORDS_MIN, len(a) + 1)
        if i + n <= len(a) and a[i : i + n] == b[j : j + n] and len(b[j : j + n]) == n
    ]
    assert quoted(source, text) >= max(runs, default=0)


def draft(kind, text=None, causes=(), **payload):
    content = None if text is None else {"text": text}
    return Draft(type=kind, stream=STREAM, payload=payload, content=content, causes=tuple(causes))


@pytest.fixture
def log():
    with open_log() as log:
        log.append_now(genesis())
        yield log


def add(log, *args, **more):
    [event] = log.append_now(draft(*args, **more))
    return event


def hows(log, *positions):
    return {one.position: one.how for one in find_derived(log, positions)}


def test_answering_quoting_citing_and_following_are_told_apart(log):
    said = log.append_now(message(SECRET))[0]
    add(log, "turn.started", None, [said.cause], turn=TURN, message=1)
    asked = add(log, "model.requested", None, [said.cause], turn=TURN)
    reply = add(log, "model.replied", "Noted, thank you.", [asked.cause], turn=TURN)
    sent = add(log, "message.sent", "Noted, thank you.", [said.cause], turn=TURN, message=1)
    note = add(log, "memory.noted", "operator hides things outdoors", [said.cause], turn=TURN)
    summary = add(log, "summary.made", "about gardens", [note.cause])
    later = log.append_now(message("where was it?"))[0]
    add(log, "turn.started", None, [later.cause], turn=OTHER, message=later.position)
    add(log, "memory.recalled", None, [later.cause], turn=OTHER, hits=[1])
    again = add(log, "model.requested", None, [later.cause, said.cause], turn=OTHER)
    para = add(log, "model.replied", "Outside, by the pot.", [again.cause], turn=OTHER)
    cite = add(log, "message.sent", "See [1].", [later.cause], turn=OTHER, message=later.position)
    quote = add(log, "message.sent", f"word for word: {SECRET}!", [], turn=b"v" * 16, message=0)
    other = log.append_now(message("good night"))[0]
    found = find_derived(log, [1])
    assert {one.position: one.how for one in found} == {
        reply.position: How.ANSWERS,
        sent.position: How.ANSWERS,
        note.position: How.DERIVED,
        summary.position: How.DERIVED,
        para.position: How.SHOWN,
        cite.position: How.CITES,
        quote.position: How.QUOTES,
    }
    assert other.position not in hows(log, 1)
    assert [one.words for one in found if one.how is How.QUOTES] == [12]
    assert TAKEN < DOWNSTREAM


def test_words_that_stood_there_before_are_not_the_targets_own(log):
    boiler = "no language model is answering at the moment so I look things up"
    for number in range(4):
        add(log, "message.sent", f"{boiler}: answer {number}", turn=bytes([number]) * 16, message=0)
    assert hows(log, 3) == {1: How.EARLIER}
    assert hows(log, 1) == dict.fromkeys((2, 3, 4), How.QUOTES)


def test_the_draft_of_an_answer_goes_with_it(log):
    text = "the flowerpot that you mean is the third one from the left"
    add(log, "model.replied", text, turn=TURN)
    add(log, "message.sent", text, turn=TURN, message=0)
    assert hows(log, 2) == {1: How.QUOTES}


def test_facts_that_repeat_it_are_named_though_they_stay(log):
    log.append_now(message(SECRET))
    add(log, "odd.fact", None, note=SECRET)
    assert hows(log, 1) == {2: How.FACT}


def test_what_is_erased_already_quotes_nothing_and_still_leads_on(log):
    said = log.append_now(message(SECRET))[0]
    note = add(log, "memory.noted", SECRET, [said.cause])
    log.append_now(log.redaction([1, 2], reason="asked", actor="operator"))
    later = add(log, "summary.made", "of it", [note.cause])
    assert hows(log, 1) == {later.position: How.FOLLOWS}


def test_a_reason_that_repeats_the_secret_is_seen(log):
    log.append_now(message(SECRET))
    assert repeats(log, [1], f"because of {SECRET}") == 12
    assert repeats(log, [1], "private") == 0


# ---- the command ---------------------------------------------------------------------------------


def test_the_preview_says_why_without_saying_what_and_the_operator_picks(born):
    secret = "grimbolux tavernasch ploddert wexingholm farrundel nastaquint oberzwilch"
    with born.running() as node:
        said = node.say(secret)
        at, reply = said["message"]["position"], said["answer"]["position"]
        quote = node.say("what about grimbolux tavernasch ploddert?")["answer"]["position"]
        after = node.say("good night to you")["answer"]["position"]
        seen = born.run("--json", "redact", str(at), "--preview").good().json
        kinds = {row["position"]: (row["how"], row["taken"]) for row in seen["findings"]}
        assert kinds[quote] == ("quotes", False)
        assert kinds[reply][0] == "answers"
        assert kinds[after][0] in {"shown", "follows"}
        assert seen["targets"] == [at]
        for flags in ([], ["--derived"], ["--downstream"]):
            shown = born.run("redact", str(at), "--preview", *flags).good()
            assert not [w for w in secret.split() if w in shown.out + shown.err]
            assert f"quotes 7 words of {at}" in shown.out
        targets = {
            name: set(
                born.run("--json", "redact", str(at), "--preview", *flags).good().json["targets"]
            )
            for name, flags in {
                "derived": ["--derived"],
                "all": ["--downstream"],
                "picked": ["--derived", "--also", str(after), "--keep", str(quote)],
            }.items()
        }
        assert quote in targets["derived"]
        assert reply not in targets["derived"]
        assert after not in targets["derived"]
        assert targets["all"] >= {at, quote, reply, after}
        assert after in targets["picked"]
        assert quote not in targets["picked"]
        assert not [row for row in node.log() if row["redacted"]], "a preview changes nothing"
        born.run("redact", str(at), "--keep", str(at)).refused("erased and kept")
        done = born.run("redact", str(at), "--derived", "--yes").good()
        assert "not reached: exports and proofs made before" in done.err
        rows = {row["position"]: row for row in node.log()}
        assert rows[quote]["redacted"]
        assert not rows[reply]["redacted"]
        assert secret.split()[3] not in json.dumps(
            [r for r in rows.values() if r["type"] != "message.received"]
        )
