"""Search from any thread: what counts in a question, and what damage does."""

import threading

import pytest

from ledger.core.errors import StoreDamaged
from ledger.looking import look
from ledger.views import Views
from tests.ledger.makers import genesis, message, open_log


@pytest.fixture
def views(tmp_path):
    with open_log() as log:
        log.append_now(genesis())
        for text in (
            "you and I are on the roof", "the roof of the barn", "an owl is in it",
            "it is what it is", "owls sleep by day",
        ):  # fmt: skip
            log.append_now(message(text))
        views = Views(tmp_path / "views.db", log)
        views.catch_up()
        yield views
        views.close()


def positions(views, text):
    return sorted(hit.position for hit in views.search(text))


def test_all_words_count_as_prefixes(views):
    assert positions(views, "owl") == [3, 5]
    assert positions(views, "the roo") == [1, 2]
    assert positions(views, "owl roof") == []


def test_other_threads_look_while_this_one_fills(views, tmp_path):
    found, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            found.append(len(look(tmp_path / "views.db", "owl")))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(50):
        views._log.append_now(message(f"owl number {number}"))
        views.catch_up()
    stop.set()
    for thread in threads:
        thread.join(20)
    assert found
    assert set(found) <= set(range(2, 21))
    assert len(look(tmp_path / "views.db", "owl", limit=100)) == 52


def test_damage_is_told_and_mended_by_who_may(views, tmp_path):
    path = tmp_path / "views.db"
    with pytest.raises(StoreDamaged, match="is gone"):
        look(tmp_path / "absent.db", "owl")
    views._connection.execute("drop table words")
    with pytest.raises(StoreDamaged):
        look(path, "owl")
    assert positions(views, "owl") == [3, 5]


def test_views_that_were_deleted_meanwhile_are_computed_again(views, tmp_path):
    (tmp_path / "views.db").unlink()
    assert positions(views, "owl") == [3, 5]
