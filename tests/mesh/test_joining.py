"""Tokens, requests to join and presences: read as they were written, or refused by their name."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.codec import encode
from mesh.core.errors import InvalidManifest, InvalidPresence, InvalidToken
from mesh.core.fleet.joining import JOIN_TAG, Token, make_request, open_request
from mesh.core.fleet.presence import SKEW_SECONDS_MAX, TAG, Presence, ledger_in, open_presence
from tests.mesh.test_manifest import OPERATOR, A, digest, signer

TOKEN = Token(
    fleet_id=digest("fleet"), operator=OPERATOR.public, url="http://a.example:1", secret=bytes(16)
)
NOW = 1_800_000_000
PRESENCE = Presence(
    ledger=A.ledger, manifest=digest("m"), number=3, time_s=NOW, events=9, load=250, able=("gguf",)
)


def test_a_token_is_one_word():
    text = TOKEN.encode()
    assert Token.parse(text) == TOKEN
    assert text.startswith("timmy-join-")
    assert not set(text) & set(" +/=\n")
    assert "secret" not in repr(TOKEN)


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
