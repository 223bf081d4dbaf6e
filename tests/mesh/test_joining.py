"""Tokens, requests to join and presences: read as they were written, or refused by their name."""

import base64
import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.codec import encode
from mesh.core.errors import InvalidManifest, InvalidPresence, InvalidToken, Refused
from mesh.core.fleet.joining import (
    CHAIN_MAX,
    JOIN_TAG,
    SLICE_BYTES,
    WORDS_CHARS_MAX,
    Asking,
    Token,
    make_request,
    open_request,
    open_slice,
    parts_of,
    refusal_of,
    slice_of,
)
from mesh.core.fleet.presence import SKEW_SECONDS_MAX, TAG, Presence, ledger_in, open_presence
from tests.mesh.test_manifest import OPERATOR, A, digest, signer

TOKEN = Token(
    fleet_id=digest("fleet"), operator=OPERATOR.public, url="http://a.example:1", secret=bytes(16)
)
RELAYED = replace(
    TOKEN, url="", inviter=signer("a").public, relays=("wss://r.example", "ws://127.0.0.1:7")
)
NOW = 1_800_000_000
PRESENCE = Presence(
    ledger=A.ledger, manifest=digest("m"), number=3, time_s=NOW, events=9, load=250, able=("gguf",)
)


@pytest.mark.parametrize("token", [TOKEN, RELAYED, replace(RELAYED, url=TOKEN.url)])
def test_a_token_is_one_word(token):
    text = token.encode()
    assert Token.parse(text) == token
    assert text.startswith("timmy-join-")
    assert not set(text) & set(" +/=\n")
    assert "secret" not in repr(token)


def test_a_token_of_before_is_read_as_it_was():
    """Written by a version that knew addresses only; that version reads those of addresses still."""
    assert TOKEN.encode() == (
        "timmy-join-hFggXrLOKRx9In3WhOyD-d3AV3bi_poMTmKSe0WSOD5m-yhYIHQeIaIx_kJ-qzC8GC8Bp"
        "r7zJpvkMTSNP-uBzDWhBmIacmh0dHA6Ly9hLmV4YW1wbGU6MVAAAAAAAAAAAAAAAAAAAAAA4KILKQ"
    )


@pytest.mark.parametrize(
    "changes",
    [{"inviter": b""}, {"relays": ()}, {"relays": ("http://r.example",)}, {"url": "ftp://x"},
     {"relays": ("wss://r.example",) * 2}, {"relays": ("WSS://R.example/",)},
     {"relays": tuple(f"wss://r{n}.example" for n in range(5))}],
    ids=["nobody", "nowhere", "no relay", "url", "twice", "another way", "five"],
)  # fmt: skip
def test_a_token_names_relays_and_who_answers_there(changes):
    with pytest.raises(InvalidToken):
        replace(RELAYED, **changes)


def test_a_token_of_another_form_of_relays_is_refused():
    """What parses is what the class takes: nothing comes in beside it."""
    for relays in ([1], ["wss://r.example", b"x"], ["http://r.example"], []):
        value = [*parts(RELAYED)[:5], relays]
        with pytest.raises(InvalidToken):
            Token.parse(packed(value))
    assert Token.parse(packed(parts(RELAYED))) == RELAYED


def parts(token):
    named = [token.inviter, list(token.relays)]
    return [token.fleet_id, token.operator, token.url, token.secret, *named]


def packed(value):
    data = encode(value)
    whole = data + hashlib.sha256(data).digest()[:4]
    return "timmy-join-" + base64.urlsafe_b64encode(whole).decode().rstrip("=")


@settings(deadline=None)
@given(st.integers(0, 500), st.sampled_from("aZ0-_=+ é"))
def test_a_mistyped_token_is_refused(at, change):
    text = TOKEN.encode()
    at %= len(text)
    other = text[:at] + change + text[at + 1 :]
    if other != text:
        with pytest.raises(InvalidToken):
            Token.parse(other)
    with pytest.raises(InvalidToken):
        Token.parse(text[:at])


@given(st.text(max_size=80))
def test_another_text_is_no_token(text):
    for one in (text, "timmy-join-" + text):
        with pytest.raises(InvalidToken):
            Token.parse(one)


def test_a_token_of_another_form_is_refused():
    for changes in ({"fleet_id": b""}, {"secret": bytes(15)}, {"url": "ftp://x"}):
        with pytest.raises(InvalidToken):
            replace(TOKEN, **changes)


def test_a_newcomer_signs_with_the_key_it_names():
    assert open_request(make_request(b"s", A, signer("a"))) == (b"s", A)
    with pytest.raises(InvalidManifest, match="not signed by"):
        open_request(make_request(b"s", A, signer("thief")))
    body = encode([b"s", A.to_value() | {"roles": ["king"]}])
    with pytest.raises(InvalidManifest):
        open_request(encode([body, signer("a").sign(JOIN_TAG, body)]))


@given(st.binary(max_size=120))
def test_other_bytes_are_neither(data):
    with pytest.raises(InvalidManifest):
        open_request(data)
    with pytest.raises(InvalidPresence):
        open_presence(data, A.nostr, now_s=NOW)


def test_a_presence_is_its_members_and_of_now():
    data = PRESENCE.sign(signer("a"))
    assert open_presence(data, A.nostr, now_s=NOW + SKEW_SECONDS_MAX) == PRESENCE
    assert ledger_in(data) == A.ledger
    with pytest.raises(InvalidPresence, match="not signed by"):
        open_presence(data, signer("b").public, now_s=NOW)
    for off in (-1, 1):
        with pytest.raises(InvalidPresence, match="3601 s off"):
            open_presence(data, A.nostr, now_s=NOW + off * (SKEW_SECONDS_MAX + 1))


@pytest.mark.parametrize(
    "changes",
    [{"ledger": b""}, {"load": -1}, {"load": 1_000_001}, {"able": ("",)}, {"able": ("x",) * 17},
     {"manifest": bytes(31)}],
    ids=map(str, range(6)),
)  # fmt: skip
def test_a_presence_is_bounded(changes):
    with pytest.raises(InvalidPresence):
        replace(PRESENCE, **changes)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**4), st.integers(1, 255))
def test_a_damaged_presence_or_request_is_refused(at, change):
    for data in (PRESENCE.sign(signer("a")), make_request(b"s", A, signer("a"))):
        bad = bytearray(data)
        bad[at % len(bad)] ^= change
        with pytest.raises(InvalidPresence):
            open_presence(bytes(bad), A.nostr, now_s=NOW)
        with pytest.raises(InvalidManifest):
            open_request(bytes(bad))
    assert TAG != JOIN_TAG


# ---- by relays -----------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=2000), max_size=6))
def test_slices_of_a_chain_fit_together(chain):
    found, total = b"", 1
    while len(found) < total:
        answer = slice_of(chain, len(found))
        assert len(answer) <= SLICE_BYTES + 16
        total, some = open_slice(answer)
        if total:
            assert some
        found += some
    assert parts_of(found) == chain


def test_a_chain_that_grows_meanwhile_goes_on_where_it_was():
    chain = [bytes(1000), b"b" * 1000]
    _, first = open_slice(slice_of(chain[:1], 0))
    whole, total = first, 2 * 1004
    while len(whole) < total:
        total, some = open_slice(slice_of(chain, len(whole)))
        whole += some
    assert parts_of(whole) == chain


def test_a_request_by_relays_is_read_as_it_was_written():
    asking = Asking(request=make_request(b"s", A, signer("a")), after=3, offset=800)
    assert Asking.parse(asking.encode()) == asking
    for value in ([b"", 0, -1], [b"", -1, 0], [b"", 0, True], [b"", 0], ["", 0, 0], {"a": 1}, 7):
        with pytest.raises(InvalidManifest):
            Asking.parse(encode(value))


def test_a_refusal_is_words_and_no_control_characters():
    with pytest.raises(Refused) as caught:
        open_slice(refusal_of("no\x1b[31m\nmore" + "x" * 500, "ask\tagain"))
    assert len(str(caught.value)) == WORDS_CHARS_MAX
    assert str(caught.value).startswith("no [31m more")
    assert caught.value.hint == "ask again"


@pytest.mark.parametrize(
    "value", [[1, b"ab"], [-1, b""], [2**40, b""], ["a", "b", "c"], [b"", 1], [1], "x"], ids=str
)
def test_an_answer_of_another_form_is_refused(value):
    with pytest.raises(InvalidManifest):
        open_slice(encode(value))


def test_manifests_that_are_cut_short_or_too_many_are_refused():
    assert parts_of(bytes(4 * CHAIN_MAX)) == [b""] * CHAIN_MAX
    for whole in (bytes(3) + b"\x05" + b"four", b"\x00", bytes(4 * CHAIN_MAX + 4)):
        with pytest.raises(InvalidManifest):
            parts_of(whole)
