"""Relay lists of others (NIP-65): what is followed, and what they cannot make us do."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from mesh.core import limits
from mesh.core.errors import InvalidEvent, Refused
from mesh.core.pool.routes import Route, is_public, relay_list_tags, relay_url
from tests.mesh.peers import ALICE, NOW, make


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("wss://Relay.Example/", "wss://relay.example"),
        ("wss://relay.example:443", "wss://relay.example"),
        ("ws://x:80/", "ws://x"),
        ("ws://127.0.0.1:7000/", "ws://127.0.0.1:7000"),
        ("wss://relay.example/Path/", "wss://relay.example/Path/"),
        ("wss://relay.example/?a=B", "wss://relay.example/?a=B"),
        ("wss://[::1]:7/", "wss://[::1]:7"),
        ("wss://bücher.example", "wss://xn--bcher-kva.example"),
    ],
)
def test_one_relay_has_one_address(text, url):
    assert relay_url(text) == url
    assert relay_url(url) == url


@pytest.mark.parametrize(
    "text",
    ["", "http://x", "ws://", "wss:///path", "ws://x:99999", "x", "ws://[", f"ws://{'a' * 64}.b",
     "wss://a b", "wss://user@x", "wss://x/#f", "wss://x/\n", "wss://" + "x." * 200],
)  # fmt: skip
def test_other_urls_are_refused(text):
    with pytest.raises(Refused, match="not the URL of a relay") as caught:
        relay_url(text)
    assert "wss://" in caught.value.hint


@given(st.text(max_size=40))
def test_any_text_is_refused_or_has_one_form(text):
    try:
        url = relay_url("wss://" + text)
    except Refused:
        return
    assert relay_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["ws://relay.example", "wss://127.0.0.1", "wss://10.0.0.1", "wss://[::1]", "wss://192.168.1.1",
     "wss://169.254.169.254", "wss://localhost", "wss://router", "wss://printer.local",
     "wss://a.internal", "wss://relay.example:22", "wss://127.1", "wss://2130706433", "wss://0x7f.0x1", "wss://localhost.", "wss://a.home.arpa"],
)  # fmt: skip
def test_nobody_sends_us_into_our_own_network(url):
    assert not is_public(url)


@pytest.mark.parametrize("url", ["wss://relay.example", "wss://8.8.8.8", "wss://r.example:7777"])
def test_public_addresses_are_followed(url):
    assert is_public(url)


def listing(*tags, kind=10002):
    return make(ALICE, kind=kind, tags=tuple(("r", *tag) for tag in tags))


def test_a_list_says_where_its_author_reads_and_writes():
    route = Route.parse(
        listing(
            ("wss://both.example/",), ("wss://r.example", "read"), ("wss://w.example", "write"),
            ("wss://odd.example", "maybe"), ("nonsense",), ("wss://both.example",),
        )
    )  # fmt: skip
    assert route == Route(
        author=ALICE.pubkey,
        at=NOW,
        read=("wss://both.example", "wss://r.example"),
        write=("wss://both.example", "wss://w.example"),
    )


def test_a_list_is_capped():
    route = Route.parse(listing(*((f"wss://r{n}.example",) for n in range(500))))
    assert len(route.read) == len(route.write) == limits.ROUTE_RELAYS_MAX


def test_a_list_leads_to_no_private_address_unless_it_is_ours():
    event = listing(("ws://127.0.0.1:7000",))
    assert Route.parse(event).write == ()
    assert Route.parse(event, anywhere=True).write == ("ws://127.0.0.1:7000",)


def test_another_kind_is_no_list():
    with pytest.raises(InvalidEvent, match="kind 3 is no relay list, which is 10002"):
        Route.parse(listing(kind=3))


def test_our_own_list_is_read_as_it_was_written():
    tags = relay_list_tags(["wss://a.example", "wss://b.example"], ["wss://b.example"])
    route = Route.parse(make(kind=10002, tags=tags))
    assert (set(route.read), route.write) == (
        {"wss://a.example", "wss://b.example"},
        ("wss://b.example",),
    )


def test_a_list_leads_to_machines_that_we_name():
    event = listing(("ws://10.0.0.5:7777",), ("wss://[fd00::5]",), ("ws://10.0.0.6",))
    route = Route.parse(event, hosts=["10.0.0.5", "fd00::5"])
    assert route.write == ("ws://10.0.0.5:7777", "wss://[fd00::5]")
