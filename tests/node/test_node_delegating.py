"""What the ledger alone says of a delegation: from when on it is one, and what ends it."""

import pytest

from ledger.core import types
from ledger.core.event import Draft
from node.anchors import requests
from tests.ledger.makers import open_log


class Told:
    """A log with events of the seal's stream."""

    def __init__(self, log):
        self.log = log

    def add(self, kind, payload, *causes):
        draft = Draft(
            type=kind.name,
            stream=types.SEAL_STREAM,
            payload=payload,
            causes=tuple(event.cause for event in causes),
        )
        return self.log.append_now(draft)[0]

    def delegated(self, name=b"aggregator"):
        return self.add(types.SEAL_DELEGATED, {"delegation": name})

    def asked(self, digest, *causes):
        return self.add(types.ANCHOR_REQUESTED, {"digest": digest, "note": b"", "size": 1}, *causes)

    def mined(self, digest):
        return self.add(types.ANCHORED, {"digest": digest, "link": 1})


@pytest.fixture
def told():
    with open_log() as log:
        yield Told(log)


def test_it_begins_with_the_event_and_ends_with_a_link_that_was_asked_for_later(told):
    assert requests.delegation(told.log) is None
    told.asked(b"before")
    event = told.delegated()
    assert requests.delegation(told.log) == event
    told.asked(b"the link", event)
    told.mined(b"before")
    told.mined(b"the link")
    assert requests.delegation(told.log) == event
    told.asked(b"a head for a slot")
    told.asked(b"the return")
    assert requests.delegation(told.log) == event
    told.mined(b"the return")
    assert requests.delegation(told.log) is None
    again = told.delegated(b"another")
    told.mined(b"the return")  # in another block, after a reorganisation
    assert requests.delegation(told.log) == again


def test_taken_back_before_there_was_a_link(told):
    event = told.delegated()
    told.asked(b"the link", event)
    told.asked(b"instead of it")
    told.mined(b"instead of it")
    assert requests.delegation(told.log) is None
