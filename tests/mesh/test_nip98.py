"""Signed requests: what is signed for one node, path and minute is good for nothing else."""

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core import limits
from mesh.core.errors import InvalidSignedRequest
from mesh.core.nip01 import NostrSigner, UnsignedEvent
from mesh.core.nip98 import Recent, check_request, sign_request

NOW = 1_790_000_000
ALICE, NODE = NostrSigner(bytes([1] * 32)), NostrSigner(bytes([2] * 32)).pubkey
URL = "http://10.0.0.5:8787/v1/mesh/logs/ab/head?since=3"
PATH = "/v1/mesh/logs/ab/head?since=3"


def signed(url=URL, method="GET", node=NODE, now=NOW):
    return sign_request(ALICE, url, method, node=node, now=now)


def checked(header, path=PATH, method="GET", node=NODE, now=NOW):
    return check_request(header, path, method, node=node, now=now).pubkey


def test_who_signed_is_told():
    assert checked(signed()) == ALICE.pubkey
    assert checked(signed(now=NOW - 60)) == ALICE.pubkey
    assert checked(signed(url=URL.replace("10.0.0.5:8787", "node.example"))) == ALICE.pubkey


def test_a_member_says_under_which_manifest_it_asks():
    header = sign_request(ALICE, URL, "GET", node=NODE, now=NOW, manifest="ab" * 32)
    assert check_request(header, PATH, "GET", node=NODE, now=NOW).manifest == "ab" * 32
    assert check_request(signed(), PATH, "GET", node=NODE, now=NOW).manifest is None


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", "no request signed"),
        ("Bearer abc", "no request signed"),
        ("Nostr " + "A" * 5000, "no request signed"),
        ("Nostr !!!", "no event"),
        ("Nostr " + base64.b64encode(b"{}").decode(), "no event"),
        (signed(now=NOW - 61), "dated -61 s"),
        (signed(now=NOW + 61), "dated 61 s"),
        (signed(url=URL + "0"), "another path"),
        (signed(url=URL.split("?", maxsplit=1)[0]), "another path"),
        (signed(url="http://[/"), "no URL"),
        (signed(method="POST"), "another method"),
        (signed(node=ALICE.pubkey), "another node"),
    ],
)
def test_what_is_refused(header, words):
    with pytest.raises(InvalidSignedRequest, match=words):
        checked(header)


KNOWN = frozenset({ALICE.pubkey})


def known(dated, now, recent=None):
    header = signed(now=dated)
    return check_request(header, PATH, "GET", node=NODE, now=now, known=KNOWN, recent=recent)


@pytest.mark.parametrize("off", [-3600, -61, 61, 3600])
def test_the_clock_of_somebody_known_may_be_an_hour_off(off):
    assert known(NOW + off, NOW).pubkey == ALICE.pubkey
    with pytest.raises(InvalidSignedRequest, match="at most 60"):
        checked(signed(now=NOW + off))
    with pytest.raises(InvalidSignedRequest, match="at most 3600"):
        known(NOW + off + (1 if off > 0 else -1) * 3600, NOW)


def test_who_is_known_is_told_to_nobody_without_its_signature():
    """An event that names a member's key, dated two minutes off, and signed by nobody."""
    event = json.loads(base64.b64decode(signed(now=NOW - 120).removeprefix("Nostr ")))
    event["sig"] = "ab" * 64
    header = "Nostr " + base64.b64encode(json.dumps(event).encode()).decode()
    said = set()
    for keys in (KNOWN, frozenset()):
        with pytest.raises(InvalidSignedRequest) as refused:
            check_request(header, PATH, "GET", node=NODE, now=NOW, known=keys)
        said.add(str(refused.value))
    assert len(said) == 1


def test_what_is_repeated_is_refused_once_the_peer_has_gone_on():
    recent, slow = Recent(), NOW - 3000  # its clock
    for second in range(0, 120, 5):
        known(slow + second, NOW + second, recent)
    known(slow + 60, NOW + 120, recent)  # out of order, within a minute
    for at in (0, 54):
        with pytest.raises(InvalidSignedRequest, match="after this one"):
            known(slow + at, NOW + 120, recent)
    checked(signed(now=NOW - 50))  # a stranger's is not remembered


def test_a_clock_that_was_ahead_and_is_set_back_is_believed_after_a_minute():
    recent = Recent()
    known(NOW + 3000, NOW, recent)
    for second in range(5, 61, 5):
        with pytest.raises(InvalidSignedRequest, match="after this one"):
            known(NOW + second, NOW + second, recent)
        with suppress(InvalidSignedRequest):
            known(NOW + 3000, NOW + second, recent)  # repeated, it keeps nobody out
    known(NOW + 61, NOW + 61, recent)
    with pytest.raises(InvalidSignedRequest, match="after this one"):
        known(NOW - 3000, NOW + 61, recent)


def test_it_remembers_so_many_peers_and_no_more(monkeypatch):
    monkeypatch.setattr(limits, "RECENT_PEERS_MAX", 3)
    recent = Recent()
    for at in range(9):
        recent.require(f"{at}", NOW, NOW)
    assert list(recent._newest) == ["6", "7", "8"]


def test_another_kind_or_a_changed_tag_is_refused():
    event = ALICE.sign(UnsignedEvent(pubkey=ALICE.pubkey, created_at=NOW, kind=1, tags=()))
    with pytest.raises(InvalidSignedRequest, match="kind 1"):
        checked("Nostr " + base64.b64encode(event.to_json().encode()).decode())
    changed = json.loads(base64.b64decode(signed().removeprefix("Nostr ")))
    changed["created_at"] += 1
    with pytest.raises(InvalidSignedRequest, match="id"):
        checked("Nostr " + base64.b64encode(json.dumps(changed).encode()).decode())


@given(st.text(max_size=300), st.binary(max_size=300))
def test_nothing_else_is_raised(text, data):
    for header in (text, "Nostr " + base64.b64encode(data).decode()):
        with pytest.raises(InvalidSignedRequest):
            checked(header)
