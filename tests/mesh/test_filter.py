import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.errors import InvalidFilter, UnsupportedFilter
from mesh.core.nip01 import Event
from mesh.core.relay import kinds
from mesh.core.relay.filter import Filter, matches_any, parse_filter, tag_values
from mesh.core.relay.kinds import KindClass
from mesh.core.relay.policy import WritePolicy
from mesh.core.relay.session import Session
from tests.mesh.peers import ALICE, BOB, NOW, as_object, make


def dumb_match(given, event):
    """NIP-01 read aloud over plain JSON objects."""
    for name, wanted in given.items():
        if name == "limit":
            continue
        if name == "since":
            if event["created_at"] < wanted:
                return False
        elif name == "until":
            if event["created_at"] > wanted:
                return False
        elif name[0] == "#":
            values = [tag[1] for tag in event["tags"] if tag[0] == name[1] and len(tag) >= 2]
            if not any(value in wanted for value in values):
                return False
        else:
            field = {"ids": "id", "authors": "pubkey", "kinds": "kind"}[name]
            if event[field] not in wanted:
                return False
    return True


EVENTS = [
    make(signer, kind=kind, at=NOW + at, tags=tags)
    for signer in (ALICE, BOB)
    for kind in (0, 1, 78)
    for at in (0, 1)
    for tags in ((), (("t", "a"),), (("t",), ("t", "b", "a")), (("T", "a"), ("long", "a")))
]
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "ids": st.lists(st.sampled_from([event.id for event in EVENTS]), max_size=9),
        "authors": st.lists(st.sampled_from([ALICE.pubkey, BOB.pubkey, "0" * 64]), max_size=2),
        "kinds": st.lists(st.sampled_from([0, 1, 78, 5]), max_size=3),
        "#t": st.lists(st.sampled_from(["a", "b", ""]), max_size=2),
        "#T": st.just(["a"]),
        "since": st.integers(NOW - 1, NOW + 2),
        "until": st.integers(NOW - 1, NOW + 2),
        "limit": st.integers(0, 9),
    },
)


@given(st.lists(FILTERS, min_size=1, max_size=3))
@settings(max_examples=200)
def test_matching_agrees_with_the_dumb_twin(given):
    filters = [parse_filter(one) for one in given]
    for event in EVENTS:
        expected = any(dumb_match(one, as_object(event)) for one in given)
        assert matches_any(filters, event) is expected


def test_nothing_set_matches_everything_and_an_empty_list_nothing():
    assert parse_filter({}).matches(EVENTS[0])
    assert not parse_filter({"kinds": []}).matches(EVENTS[0])


def test_limit_is_lowered_to_what_we_serve():
    rows = [parse_filter(given).rows_max for given in ({}, {"limit": 0}, {"limit": 9999})]
    assert rows == [500, 0, 500]


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        "x",
        {"ids": ALICE.pubkey},
        {"ids": [ALICE.pubkey[:8]]},
        {"authors": [ALICE.pubkey.upper()]},
        {"authors": [1]},
        {"kinds": ["1"]},
        {"kinds": [True]},
        {"kinds": [65536]},
        {"kinds": [1.0]},
        {"kinds": [[]]},
        {"since": -1},
        {"until": None},
        {"limit": "1"},
        {"limit": -1},
        {"limit": True},
        {"#e": ["short"]},
        {"#p": [ALICE.pubkey.upper()]},
        {"#t": [1]},
        {"#t": "a"},
        {"ids": ["0" * 64] * 2001},
    ],
    ids=lambda given: str(given)[:30],
)
def test_malformed_filters_are_refused(given):
    with pytest.raises(InvalidFilter):
        parse_filter(given)


@pytest.mark.parametrize("name", ["search", "#tt", "#", "#1", "#é", "", "ids ", "&t"])
def test_unknown_fields_are_refused_not_ignored(name):
    with pytest.raises(UnsupportedFilter, match="unknown elements"):
        parse_filter({name: ["a"]})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(JSON | st.dictionaries(st.sampled_from(["ids", "kinds", "since", "#t", "limit"]), JSON))
def test_any_json_is_a_filter_or_invalid(value):
    try:
        found = parse_filter(json.loads(json.dumps(value)))
    except InvalidFilter:
        return
    assert found.rows_max <= 500


@pytest.mark.parametrize(
    ("kind_list", "expected"),
    [
        ((1, 2, 4, 44, 45, 78, 999, 1000, 9999, 40000, 65535), KindClass.REGULAR),
        ((0, 3, 10000, 19999), KindClass.REPLACEABLE),
        ((20000, 29999), KindClass.EPHEMERAL),
        ((30000, 30078, 39999), KindClass.ADDRESSABLE),
    ],
)
def test_kind_classes(kind_list, expected):
    assert {kinds.kind_class(kind) for kind in kind_list} == {expected}


def test_addresses():
    assert kinds.address(make(kind=1)) is None
    assert kinds.address(make(kind=0, tags=(("d", "x"),))) == (0, ALICE.pubkey, "")
    assert kinds.address(make(kind=30078)) == (30078, ALICE.pubkey, "")
    assert kinds.address(make(kind=30078, tags=(("d",),))) == (30078, ALICE.pubkey, "")
    tags = (("d", "x"), ("d", "y"))
    assert kinds.address(make(kind=30078, tags=tags)) == (30078, ALICE.pubkey, "x")


def test_the_newer_replaces_and_at_a_tie_the_lowest_id():
    assert kinds.supersedes((2, "b"), (1, "a"))
    assert not kinds.supersedes((1, "a"), (2, "b"))
    assert kinds.supersedes((1, "a"), (1, "b"))
    assert not kinds.supersedes((1, "b"), (1, "a"))
    assert not kinds.supersedes((1, "a"), (1, "a"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("5", 5), ("0", 0), ("", None), ("-5", None), ("1e3", None), ("٣", None), ("9" * 16, None)],
)
def test_expiration_values(value, expected):
    assert kinds.expiration(make(tags=(("expiration", value),))) == expected


def test_an_event_expires_at_its_second():
    event = make(tags=(("expiration", str(NOW)),))
    assert [kinds.is_expired(event, NOW + shift) for shift in (-1, 0, 1)] == [False, True, True]


NAMES = st.sampled_from(["t", "e", "tt"])
TAGS = st.lists(st.lists(st.sampled_from(["t", "e", "tt", "a", ""]), min_size=1, max_size=3))


@given(TAGS, st.lists(st.tuples(NAMES, st.frozensets(st.sampled_from(["a", "", "t"])))))
def test_tags_are_found_as_by_looking_at_each(tags, wanted):
    event = make(tags=tuple(map(tuple, tags)))
    expected = all(
        any(len(tag) > 1 and tag[0] == name and tag[1] in values for tag in event.tags)
        for name, values in wanted
    )
    one = Filter(tags=tuple(wanted))
    assert one.matches(event) is one.matches(event, tag_values(event)) is expected


class Looked(tuple):
    """Tags that count how often somebody went through them."""

    __slots__ = ()
    times = 0

    def __iter__(self):
        Looked.times += 1
        return super().__iter__()


def test_an_event_of_many_tags_is_gone_through_once_for_all_who_listen():
    """128 clients may have 320 filters each: 40,000 times 2,000 tags stop a node for a minute."""
    tags = Looked(("t", str(at)) for at in range(2000))
    event = Event(id="0" * 64, sig="0" * 128, pubkey="0" * 64, created_at=NOW, kind=1, tags=tags)
    sessions = [
        Session(WritePolicy(authors=None), challenge="c", names=frozenset()) for _ in range(3)
    ]
    for session in sessions:
        for name in range(32):
            filters = [{"#t": [f"{name} {at}"]} for at in range(9)] + [{"#t": ["1999"]}]
            [query] = session.receive(json.dumps(["REQ", str(name), *filters]), now=NOW)
            session.stored(query, [])
    known = tag_values(event)
    Looked.times = 0
    assert [len(one.deliver(event, "{}", known)) for one in sessions] == [32] * 3
    assert Looked.times == 0
