"""What refusals mean, and what is known of a relay: of documents that lie, too."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from mesh.core import limits
from mesh.core.pool.refusals import Refusal, refusal
from mesh.core.pool.relay_limits import RelayLimits
from tests.mesh.peers import NOW, make

SAID = {
    # strfry, LocalRelay, npm, nostr-relay, NIP-01's own examples
    "duplicate: already have this event": Refusal.HAD_IT,
    "ERROR: auth-required: we only serve": Refusal.AUTH,
    "rate-limited: slow down there chief": Refusal.LATER,
    "pow: difficulty 25>=24": Refusal.FINAL,
    "blocked: you are banned from posting here": Refusal.FINAL,
    "replaced: have newer event": Refusal.FINAL,
    "invalid: event too large: 70000": Refusal.SIZE,
    "invalid: 280 characters should be enough for anybody": Refusal.SIZE,
    "error: event size exceeds limit": Refusal.SIZE,
    "invalid: created_at too early": Refusal.AGE,
    "invalid: 1700000000 is too old": Refusal.AGE,
    "invalid: event creation date is too far off from the current time": Refusal.AGE,
    "invalid: created_at too late": Refusal.FUTURE,
    "invalid: created_at is in the future": Refusal.FUTURE,
    "invalid: created_at is 901 s ahead of this relay, at most 900 allowed": Refusal.FUTURE,
    "invalid: bad signature": Refusal.FINAL,
    "error: could not connect to the database": Refusal.UNCLEAR,
    "who knows": Refusal.UNCLEAR,
    "": Refusal.UNCLEAR,
}


@pytest.mark.parametrize(("message", "meaning"), SAID.items())
def test_refusals_are_read(message, meaning):
    assert refusal(message) is meaning


def document(**limitation):
    return json.dumps({"limitation": limitation, "supported_nips": [1, 77]}).encode()


def test_a_document_fills_in_what_is_not_known():
    told = RelayLimits().told(
        document(
            max_message_length=1010, max_limit=50, created_at_lower_limit=10, max_subscriptions=3
        )
    )
    assert told.event_bytes_max == 1000
    assert (told.page_events, told.subscriptions, told.reconciles) == (50, 3, True)
    assert RelayLimits(event_bytes_max=5, reconciles=False).told(document()).reconciles is False
    assert RelayLimits(page_events_max=7).told(document(max_limit=50)).page_events_max == 7


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"5", b"{", b'{"limitation": 5}', b'{"supported_nips": "77"}', b"[" * 50_000,
     document(max_limit=False, max_message_length=-1, auth_required=1, max_event_tags=2**60,
              max_content_length=1.5, created_at_upper_limit="5", max_subscriptions=0)],
)  # fmt: skip
def test_garbage_says_nothing(data):
    told = RelayLimits().told(data)
    assert told in (RelayLimits(), RelayLimits(reconciles=True))


def test_a_lie_makes_us_modest_not_helpless():
    told = RelayLimits().told(document(max_limit=1, max_subscriptions=1))
    assert (told.page_events, told.subscriptions) == (limits.PAGE_EVENTS_MIN, 1)
    told = RelayLimits().told(document(max_limit=10**9, max_subscriptions=10**9))
    assert (told.page_events, told.subscriptions) == (
        limits.FILTER_LIMIT_MAX,
        limits.SUBSCRIPTIONS_MAX,
    )


def test_events_that_a_relay_would_refuse_are_known_before():
    event = make(content="x" * 100, tags=(("a", "b"), ("c", "d")))
    size = len(event.to_json().encode())
    none = RelayLimits()
    assert none.objection(event, now=NOW) is None
    assert RelayLimits(event_bytes_max=size).objection(event, now=NOW) is None
    for known in ({"event_bytes_max": size - 1}, {"content_chars_max": 99}, {"tags_max": 1}):
        assert RelayLimits(**known).objection(event, now=NOW) is Refusal.SIZE
    aged = RelayLimits(age_seconds_max=60, future_seconds_max=60)
    assert aged.objection(event, now=NOW + 60) is None
    assert aged.objection(event, now=NOW + 61) is Refusal.AGE
    assert aged.objection(event, now=NOW - 61) is Refusal.FUTURE


def test_what_a_relay_does_overrides_what_it_says():
    event = make(content="x" * 100, tags=(("a", "b"),))
    size = len(event.to_json().encode())
    liar = RelayLimits(event_bytes_max=10, content_chars_max=10, tags_max=0)
    assert liar.took(event).objection(event, now=NOW) is None
    assert RelayLimits().refused_size(event).event_bytes_max == size - 1
    assert RelayLimits(event_bytes_max=5).refused_size(event).event_bytes_max == 5


figures = st.none() | st.integers(1, 2**40)
flags = st.none() | st.booleans()
known = st.builds(
    RelayLimits,
    event_bytes_max=figures, content_chars_max=figures, tags_max=figures, page_events_max=figures,
    subscriptions_max=figures, age_seconds_max=figures, future_seconds_max=figures,
    reconciles=flags,
)  # fmt: skip


@given(known)
def test_what_is_known_comes_back_from_the_disk(one):
    assert RelayLimits.from_json(one.to_json()) == one


@given(st.text(max_size=80))
def test_a_damaged_line_is_nothing_known(text):
    assert isinstance(RelayLimits.from_json(text), RelayLimits)
