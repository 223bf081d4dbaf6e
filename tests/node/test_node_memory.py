"""`timmy memory`: given while the node runs or not, listed, found, recalled with its event named."""

import shutil

from runtime.core.crisis import ANSWER

NOTE = "the weathervane was forged by Ottilie"


def add(home, *argv, **more):
    return home.run("--json", "memory", "add", *argv, **more).good().json


def test_a_memory_is_recalled_and_cited_by_the_responder(lived):
    with lived.running() as node:
        at = add(lived, NOTE)["position"]
        answer = node.answer("who forged the weathervane?")
        assert f"[{at}] {NOTE}" in answer
    [row] = lived.run("--json", "memory", "list").good().json
    assert (row["position"], row["content"]["text"]) == (at, NOTE)
    assert row["payload"]["author"] == "operator"
    assert lived.run("--json", "search", "ottilie").good().json[0]["position"] in (at, at + 1)
    assert "weathervane" in lived.run("memory", "list", "--last", "1").good().out


def test_a_memory_given_to_a_stopped_node_is_there_when_it_runs(lived, tmp_path):
    letter = tmp_path / "letter.txt"
    letter.write_text(NOTE)
    at = add(lived, "--file", str(letter))["position"]
    again = add(lived, "-", stdin=b"the cellar floods in March")["position"]
    assert again == at + 1
    with lived.running() as node:
        assert f"[{at}]" in node.answer("who forged the weathervane?")
    assert lived.run("verify").good()
    assert "remembered as event" in lived.run("memory", "add", "one", "more").good().out


def test_a_memory_that_meets_the_crisis_screen_is_kept_and_not_recalled(lived):
    with lived.running() as node:
        said = lived.run("memory", "add", "the zeppelin: i want to kill myself").good().out
        assert "no agent and no model is shown it" in said
        assert ANSWER in said
        assert "zeppelin" not in node.answer("what about the zeppelin?")
        [row] = lived.run("--json", "memory", "list").good().json
        assert row["payload"]["screen"] == "crisis"
        assert node.status()["holds"] == []
    assert add(lived, "i want to kill myself")["withheld"]


def test_memories_out_of_bounds_are_refused_and_change_nothing(lived, tmp_path):
    before = lived.fingerprint()
    binary, long = tmp_path / "binary", tmp_path / "long"
    binary.write_bytes(b"abc\xff")
    long.write_text("x" * 65_537)
    for argv, stdin, words in (
        (["add"], b"", ("one of them", "--help")),
        (["add", "word", "--file", str(long)], b"", ("one of them",)),
        (["add", "  "], b"", ("the memory is blank",)),
        (["add", "-"], b"", ("the memory is blank",)),
        (["add", "-"], b"a\xff", ("standard input is not UTF-8 at byte 1", "iconv")),
        (["add", "-"], b"x" * 70_000, ("memory of 70000 bytes, at most 65536", "in parts")),
        (["add", "--file", str(long)], b"", ("more than 65536 bytes in", "in parts")),
        (["add", "--file", str(binary)], b"", ("is not UTF-8 at byte 3", "iconv")),
        (["add", "--file", str(tmp_path / "none")], b"", ("cannot be read", "No such file")),
        (["add", "--file", str(tmp_path)], b"", ("cannot be read", "directory")),
        (["forgo"], b"", ("invalid choice",)),
    ):
        lived.run("memory", *argv, stdin=stdin).refused(*words)
    assert lived.fingerprint() == before


def test_memories_over_http(lived):
    with lived.running() as node:
        row = node.request("POST", "/v1/memory", {"text": NOTE, "author": "ann"}).json
        assert (row["type"], row["withheld"], row["payload"]["author"]) == (
            "memory.noted",
            False,
            "ann",
        )
        for body, words in (
            ({}, "field 'text' is missing"),
            ({"text": " "}, "blank"),
            ({"text": "x" * 65_537}, "at most 65536"),
            ({"text": NOTE, "author": ""}, "author of 0 characters"),
            ({"text": NOTE, "key": "00"}, "idempotency key of 1 bytes, expected 16"),
            ({"text": NOTE, "key": "xy"}, "key is not hex"),
        ):
            assert words in node.request("POST", "/v1/memory", body).json["error"]
        keyed = {"text": NOTE, "author": "ann", "key": "ab" * 16}
        rows = [node.request("POST", "/v1/memory", keyed).json["position"] for _ in range(3)]
        assert len(set(rows)) == 1
        other = node.request("POST", "/v1/memory", keyed | {"text": "other words"})
        assert other.status == 409
        node.say("i want to kill myself", author="ann")
        held = node.request("POST", "/v1/memory", {"text": NOTE, "author": "ann"}).json
        assert held["withheld"] is True


def test_a_home_that_was_rolled_back_takes_no_memory(lived, tmp_path):
    old = lived.copy(tmp_path / "old")
    with lived.running() as node:
        node.say("one more thing")
    for path in lived.path.glob("ledger.db*"):
        path.unlink()
    shutil.copy(old.ledger, lived.ledger)
    before = lived.fingerprint()
    lived.run("memory", "add", NOTE).refused("were released to the world", "recover")
    assert lived.fingerprint() == before
