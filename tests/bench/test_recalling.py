"""The recall bench: its labels mean something, and what it counts is what it says."""

from collections import Counter

import pytest

from bench import recalling


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = recalling.world(tmp_path_factory.mktemp("recall"))
    yield made
    made.views.close()


def test_every_label_names_one_line():
    keys = Counter(line.key for line in recalling.corpus() if line.key != "-")
    assert {key for key, count in keys.items() if count > 1} == set()
    named = {key for query in recalling.queries() for key in query.keys}
    assert named - keys.keys() == set()


def test_there_are_enough_questions_of_each_kind_and_half_are_held_out():
    asked = recalling.queries()
    assert len(asked) >= 200
    assert len(recalling.corpus()) >= 400
    assert len({query.text for query in asked}) == len(asked)
    kinds = Counter(query.kind for query in asked)
    assert set(kinds) == {*recalling.KINDS, recalling.NEGATIVE}
    assert min(kinds.values()) >= 20
    assert 0.45 < sum(query.held_out for query in asked) / len(asked) < 0.55


def test_scores_are_counted_as_defined():
    asked = [
        recalling.Query(kind="multi", keys=("a", "b"), text="one", held_out=False),
        recalling.Query(kind="multi", keys=("c",), text="two", held_out=False),
    ]
    answers = {"one": [9, 1, 8, 7, 6, 2], "two": []}
    score = recalling.scored(answers.__getitem__, asked, {"a": 1, "b": 2, "c": 3})
    assert (score.recall, score.mrr, score.silent) == (0.25, 0.25, 0.5)


def test_plain_bm25_finds_exact_words_and_little_of_paraphrases(world):
    way = recalling.plain(world)
    of = {
        kind: [query for query in recalling.queries() if query.kind == kind]
        for kind in ("exact", "paraphrase")
    }
    assert recalling.scored(way, of["exact"], world.at).recall > 0.95
    assert recalling.scored(way, of["paraphrase"], world.at).recall < 0.35
