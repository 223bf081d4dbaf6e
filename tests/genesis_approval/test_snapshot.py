"""The part of a ledger that a judge is given: no gap, its bounds, no words that stay at home."""

from node.agent import snapshot
from node.agent.snapshot import SNAPSHOT_EVENTS_MAX, tail
from tests.genesis_judge.test_judge import history


class Log(list):
    def read(self, position):
        return self[position]


LOG = Log(history(20))


def test_all_of_a_short_ledger():
    found = tail(LOG, len(LOG), frozenset(), proposal=0)
    assert found == list(LOG)
    assert tail(LOG, 5, frozenset(), proposal=0) == list(LOG[:5])
    assert tail(LOG, 0, frozenset(), proposal=0) == []


def test_the_newest_of_a_long_one(monkeypatch):
    assert SNAPSHOT_EVENTS_MAX == 4_000
    monkeypatch.setattr(snapshot, "SNAPSHOT_EVENTS_MAX", 7)
    found = tail(LOG, len(LOG), frozenset(), proposal=0)
    assert [event.position for event in found] == list(range(len(LOG) - 7, len(LOG)))
    assert tail(LOG, len(LOG), frozenset(), proposal=0, first=2) == list(LOG[2:])


def test_the_bytes_are_bounded(monkeypatch):
    sizes = [len(one.record.payload) + len(one.record.content or b"") for one in LOG]
    monkeypatch.setattr(snapshot, "SNAPSHOT_BYTES_MAX", sum(sizes[-4:]))
    assert [event.position for event in tail(LOG, len(LOG), frozenset(), proposal=0)] == list(
        range(len(LOG) - 4, len(LOG))
    )


def test_words_that_stay_at_home():
    found = tail(LOG, len(LOG), frozenset({2, 3}), proposal=0)
    assert [event.content for event in found[2:4]] == [None, None]
    assert found[1].content == LOG[1].content
    assert [event.payload for event in found] == [event.payload for event in LOG]
    assert [event.id for event in found] == [event.id for event in LOG]
    bare = tail(LOG, len(LOG), frozenset(), proposal=4, words=False)
    assert [event.position for event in bare if event.content] == [4]
