"""After a redaction, and after a restart, no byte of the words is left. Real processes, real files."""

import random

import pytest

from ledger.sqlite import SqliteStore
from ledger.views import Views
from tests.ledger.makers import genesis, message, open_log
from tests.redaction.residue import residue

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHORT = 'Žlutoučký "Wolframbeere" 4711-0815-99'
LONG = "quorvenbach zilthamore drexipund " + " ".join(
    f"vexlor{a}{b}brund" for a in "abcdefghijklmnopqrstuvwxyz" for b in "abcdefghijklmnopqrstuvwxyz"
)
"""Longer than a page of the database: it lies on overflow pages."""
QUOTED = "grimbolux tavernasch ploddert wexingholm farrundel nastaquint oberzwilch"


def salts_of(home):
    store = SqliteStore.open_read_only(home.ledger)
    found = {r.position: r.content_salt for r in store.records(0, store.size)}
    store.close()
    return found


def converse(node):
    """Say things worth erasing, have them quoted by the agent, and provoke errors about them."""
    said = [node.say(text)["message"]["position"] for text in (SHORT, LONG, QUOTED)]
    answer = node.answer("what do you know about grimbolux tavernasch ploddert?")
    assert "farrundel" in answer
    node.answer("and about quorvenbach zilthamore?")
    node.request("GET", "/v1/search?q=grimbolux")
    node.request("GET", "/v1/log?last=1000")
    node.request("GET", f"/v1/events/{QUOTED[:20].replace(' ', '%20')}")
    node.request("POST", "/v1/say", {"text": QUOTED, "unknown": QUOTED})
    node.request("POST", "/v1/say", QUOTED.encode())
    node.raw(b"GET /" + QUOTED.encode() + b" HTTP/9\r\n\r\n")
    return said


@pytest.mark.parametrize("while_running", [True, False], ids=["running", "stopped"])
def test_no_byte_is_left_after_a_redaction_and_after_a_restart(born, tmp_path, while_running):
    texts = [SHORT, LONG, QUOTED]
    node = born.start()
    said = converse(node)
    salts = salts_of(born)
    if not while_running:
        node.stop()
    assert residue(texts, [], tmp_path), "the scanner finds what is there"
    asked = [str(row["position"]) for row in born.run("--json", "log", "--from", "0").good().json
             if row["type"] == "message.received" and row["position"] not in said]  # fmt: skip
    positions = [*map(str, said), *asked]
    done = born.run("--json", "redact", *positions, "--derived", "--yes").good().json
    assert done["finished"]
    gone = [salts[at] for at in done["targets"]]
    assert None not in gone
    pids = (node.process.pid,) if while_running else ()
    assert residue(texts, gone, tmp_path, pids=pids) == {}
    if while_running:
        assert node.status()["redaction_pending"] is False
        assert node.request("GET", "/v1/search?q=grimbolux").json == []
        node.stop()
    with born.running() as again:
        assert again.answer("what do you know about the north window?")
        assert residue(texts, gone, tmp_path, pids=(again.process.pid,)) == {}
    assert residue(texts, gone, tmp_path) == {}
    report = born.run("--json", "verify").good().json
    assert "erasure" not in {line["name"] for line in report["lines"]}


def words_from(draw, count):
    return ["".join(draw.choices(LETTERS, k=10)) for _ in range(count)]


def test_pages_that_were_moved_about_keep_nothing(tmp_path):
    """Rows of all sizes erased a few at a time: SQLite moves what stays, and that goes later.

    With these draws SQLite 3.54 leaves whole words in the free part of pages of the index, if rows
    are deleted and nothing else is done.
    """
    draw = random.Random(11)
    sizes = [draw.choice([2, 5, 10, 20, 60, 900 if not at % 40 else 10]) for at in range(400)]
    said = {at: words_from(draw, size) for at, size in enumerate(sizes, 1)}
    order, erased = draw.sample(sorted(said), len(said)), []
    with open_log(SqliteStore.create(tmp_path / "ledger.db")) as log:
        log.append_now(genesis(), *(message(" ".join(words)) for words in said.values()))
        views = Views(tmp_path / "views.db", log)
        views.catch_up()
        salts = {at: log.read(at).record.content_salt for at in said}
        while len(order) > 20:
            some = [order.pop() for _ in range(draw.choice([1, 1, 2, 10]))]
            erased += some
            log.append_now(log.redaction(some, reason="asked", actor="operator"))
            log.append_now(*(message(" ".join(words_from(draw, 20))) for _ in range(3)))
            views.catch_up()
        assert views.purge()
        views.close()
    looked_for = [word.encode() for at in erased for word in said[at]]
    looked_for += [salts[at][:8] for at in erased]
    data = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    left = {name: sum(one in data[name] for one in looked_for) for name in data}
    assert sum(left.values()) == 0, left
    assert sum(word.encode() in data["views.db"] for at in order for word in said[at]) > 20


def test_a_dying_agent_leaves_none_of_its_words_in_the_log_file():
    from runtime.core.complaint import traceback_of

    said = (
        'Traceback (most recent call last):\n  File "/tree/agent/loop.py", line 31, in answer\n'
        f"    raise KeyError(words)\nKeyError: {QUOTED!r}\n{QUOTED}\n"
    )
    kept = traceback_of(said)
    assert kept == "KeyError < loop.py:31 answer"
    assert traceback_of(QUOTED) == ""
    assert traceback_of(f"Traceback (most recent call last)\n{QUOTED}Error: x") == ""


def test_an_exception_is_logged_without_its_words(tmp_path):
    import structlog

    from node.config import load
    from node.home import Home
    from node.logs import configure

    home = Home(path=tmp_path, state=tmp_path / "state")
    before = structlog.get_config()
    import logging

    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        configure(home, load(home.config).node, console=False)
        try:
            {}[QUOTED]
        except KeyError:
            structlog.get_logger("test").exception("request failed")
            logging.getLogger("library").exception("failed too")
    finally:
        for handler in logging.getLogger().handlers:
            handler.close()
        logging.getLogger().handlers[:], logging.getLogger().level = handlers, level
        structlog.configure(**before)
    kept = (tmp_path / "logs" / "node.log").read_text()
    assert kept.count("KeyError < test_redaction_residue.py:") == 2
    assert "grimbolux" not in kept


def test_temporary_files_of_sqlite_stay_in_memory(tmp_path):
    from ledger.sql import connect

    connection = connect(tmp_path / "a.db", create=True)
    assert connection.pragma("temp_store") == 2
    connection.close()
