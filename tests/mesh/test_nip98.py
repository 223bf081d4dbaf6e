"""Signed requests: what is signed for one node, path and minute is good for nothing else."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.errors import InvalidSignedRequest
from mesh.core.nip01 import NostrSigner, UnsignedEvent
from mesh.core.nip98 import check_request, sign_request

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
