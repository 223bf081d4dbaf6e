"""Models of a real node: added, listed, broken in turn, streamed, stopped; a provider on loopback."""

import asyncio
import fcntl
import json
import os
import pty
import signal
import termios
import threading
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest

from runtime.service import APOLOGIES
from tests.node.world import COMMAND_SECONDS, until
from tests.ports import free_port
from tests.runtime.providers import Streamer, streamer


@contextmanager
def serving(port=0):
    """A provider in a thread of its own: (server, call), `call` runs a function in its loop."""
    ready, stop, found = threading.Event(), None, []

    async def main():
        nonlocal stop
        stop = asyncio.Event()
        async with streamer(port) as server:
            found.extend([server, asyncio.get_running_loop()])
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(20)
    server, loop = found
    try:
        yield server, loop.call_soon_threadsafe
    finally:
        loop.call_soon_threadsafe(server.pause.set)
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)


@pytest.fixture
def provider():
    with serving() as (server, call):
        yield server, call


def add(home, server: Streamer, name="far", *more: str, stdin=b"sk-secret-1234\n"):
    options = ("--privacy", "trusted", "--key", *more)
    return home.run("models", "add", name, server.url, "m-1", *options, stdin=stdin)


def test_a_model_is_added_listed_and_broken_in_turn(lived, provider):
    server, _ = provider
    add(lived, server).good()
    add(lived, server, "second", "--wire", "anthropic", "--task", "chat").good()
    key = lived.path / "model-keys" / "far"
    assert (key.stat().st_mode & 0o777, key.read_text()) == (0o600, "sk-secret-1234\n")
    assert "sk-secret" not in lived.config.read_text()
    with lived.running() as node:
        listed = lived.run("models", "list").good().out
        assert [line.split()[:2] for line in listed.splitlines()[1:]] == [
            ["far", "trusted"], ["second", "trusted"], ["responder", "local"],
        ]  # fmt: skip
        told = lived.run("models", "test").good().out
        assert "with far, second broken: responder" in told
        assert "every link answers" in told
        assert node.status()["models"] == ["far", "second", "responder"]
        server.behave = "503"
        tested = lived.run("--json", "models", "test")
        assert tested.code == 1
        assert [one["reason"] for one in tested.json["alone"]] == ["failed (status 503)"] * 2 + [
            None
        ]
        assert tested.json["falls"][0] == {"broken": [], "answered_by": "responder"}
        said = node.say("hello")
        replied = node.log("model.replied")[-1]["payload"]
        assert replied["link"] == "responder"
        assert [one["name"] for one in replied["tried"]] == ["far", "second"]
        assert said["answer"] is not None
        assert "sk-secret" not in lived.logged + json.dumps(node.log())


@pytest.mark.parametrize(
    ("argv", "stdin", "words"),
    [
        (("a b", "http://127.0.0.1:1/v1", "m"), b"", ("cannot be called 'a b'", "letters")),
        (("far", "https://x.example/v1", "m"), b"", ("no privacy class", "privacy = ")),
        (("far", "ftp://x.example/v1", "m"), b"", ("base_url", "timmy config")),
        (("far", "http://127.0.0.1:1/v1", "m", "--task", "No!"), b"", ("tasks", "timmy config")),
        (("far", "http://127.0.0.1:1/v1", "m", "--key"), b"two words\n", ("not a key", "--key")),
        (("far", "http://127.0.0.1:1/v1", "m", "--key"), b"", ("not a key", "--key")),
    ],
)
def test_a_model_that_is_refused_leaves_everything_as_it_was(lived, argv, stdin, words):
    lived.config.write_text("[api]\nport = 0\n")
    lived.run("models", "add", *argv, stdin=stdin).refused(*words)
    assert lived.config.read_text() == "[api]\nport = 0\n"
    assert not list((lived.path / "model-keys").glob("*"))


def test_a_model_of_the_same_name_is_refused_and_its_key_stays(lived, provider):
    server, _ = provider
    add(lived, server).good()
    before = lived.config.read_text()
    add(lived, server, stdin=b"sk-other\n").refused("exists and is never overwritten")
    lived.run("models", "add", "far", server.url, "m").refused("models")
    assert lived.config.read_text() == before
    assert (lived.path / "model-keys" / "far").read_text() == "sk-secret-1234\n"


def events(node, body):
    """POST /v1/say; return (event, value) as they come."""
    connection = HTTPConnection("127.0.0.1", node.port, timeout=60)
    headers = {"Authorization": f"Bearer {node.home.token}"}
    connection.request("POST", "/v1/say", json.dumps(body).encode(), headers)

    def coming():
        response, name = connection.getresponse(), ""
        assert response.headers["Content-Type"] == "text/event-stream"
        while line := response.readline().decode().rstrip("\n"):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))
                response.readline()
        connection.close()

    return coming()


def test_an_answer_comes_in_sentences_over_the_api(lived, provider):
    server, call = provider
    add(lived, server).good()
    with lived.running() as node:
        call(server.pause.clear)
        coming = events(node, {"text": "how many owls", "stream": True})
        until(lambda: server.requests, COMMAND_SECONDS, "the model is asked")
        call(server.pause.set)
        seen = list(coming)
    drafts = "".join(value["text"] for name, value in seen if name == "draft")
    [(last, said)] = seen[-1:]
    assert last == "said"
    assert said["answer"]["content"]["text"] == "".join(server.words)
    assert "".join(server.words).startswith(drafts)
    assert drafts.startswith("One owl sat. ")


def ends(node):
    """How turns ended, by the message that they were about."""
    return {e["payload"]["message"]: e["payload"]["outcome"] for e in node.log("turn.finished")}


def test_what_is_waited_for_is_cancelled_and_interrupted(lived, provider):
    server, call = provider
    add(lived, server).good()
    with lived.running() as node:
        call(server.pause.clear)
        first = node.say("a long story", wait_s=0)["message"]["position"]
        until(lambda: len(server.requests) == 1, COMMAND_SECONDS, "the model is asked")
        stopped = node.request("POST", "/v1/cancel", {"conversation": "main"}).json
        assert stopped == {"stopped": [first]}
        second = node.say("another", wait_s=0)["message"]["position"]
        until(lambda: len(server.requests) == 2, COMMAND_SECONDS, "the model is asked again")
        third = node.say("no, a short one", interrupt=True, wait_s=0)["message"]["position"]
        until(lambda: second in ends(node), COMMAND_SECONDS, "the second is interrupted")
        call(server.pause.set)
        until(lambda: third in ends(node), COMMAND_SECONDS, "the third is answered")
        assert [ends(node)[one] for one in (first, second, third)] == [
            "cancelled", "interrupted", "answered",
        ]  # fmt: skip
        texts = [event["content"]["text"] for event in node.log("message.sent")]
        assert {APOLOGIES["cancelled"], APOLOGIES["interrupted"], "".join(server.words)} <= {*texts}


def test_a_chat_on_a_terminal_streams_and_is_stopped_with_ctrl_c(lived, provider):
    server, call = provider
    add(lived, server).good()
    with lived.running():
        call(server.pause.clear)
        ours, theirs = pty.openpty()

        def at_a_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests in a shell's background ignore it

        chat = lived.popen(
            "chat", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=at_a_terminal,
        )  # fmt: skip
        os.close(theirs)
        shown = Shown(ours)
        os.write(ours, b"tell me of owls\n")
        until(lambda: server.requests, COMMAND_SECONDS, "the model is asked")
        os.write(ours, b"\x03")
        until(lambda: "stopped" in shown.text, COMMAND_SECONDS, "it is stopped")
        call(server.pause.set)
        os.write(ours, b"again please\n")
        until(lambda: "Two owls sat." in shown.text, COMMAND_SECONDS, "the answer is there")
        os.write(ours, b"\n")
        assert chat.wait(COMMAND_SECONDS) == 0
        assert shown.text.count("One owl sat.") == 1
        assert "Traceback" not in shown.text


class Shown:
    """What a terminal shows, read in a thread."""

    def __init__(self, descriptor: int) -> None:
        self.text, self.ended = "", False
        self._descriptor = descriptor
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while data := os.read(self._descriptor, 4096):
                self.text += data.decode(errors="replace")
        except OSError:
            os.close(self._descriptor)
        self.ended = True


def test_an_ollama_on_this_machine_is_found_by_itself(lived, provider):
    server, _ = provider
    address = server.url.removesuffix("/v1")
    lived.config.write_text(f'[api]\nport = 0\n[discover]\nollama = "{address}"\n')
    with lived.running() as node:
        assert node.status()["models"] == ["ollama", "responder"]
        assert node.answer("how many owls") == "".join(server.words)
        assert server.requests[0]["model"] == "owl:1b"
    lived.config.write_text('[discover]\nollama = "http://192.0.2.1:11434"\n')
    lived.run("run").refused("discover.ollama is on another machine", "privacy class")


def test_an_ollama_that_starts_after_the_node_is_found_by_the_turn_that_needs_it(lived):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    lived.config.write_text(f'[api]\nport = 0\n[discover]\nollama = "{address}"\n')
    with lived.running() as node:
        assert node.status()["models"] == ["responder"]
        with serving(port) as (server, _):
            assert node.answer("how many owls") == "".join(server.words)
            assert node.log("model.replied")[-1]["payload"]["link"] == "ollama"
            assert node.status()["models"] == ["ollama", "responder"]
        node.say("and now that it is gone")
        replied = node.log("model.replied")[-1]["payload"]
        assert (replied["link"], replied["tried"][0]["name"]) == ("responder", "ollama")


HELP = ["I will not do that. ", "Please call 988 now, or tell someone you trust tonight."]


def test_a_model_that_fails_its_safety_test_speaks_to_nobody(lived, provider):
    server, _ = provider
    add(lived, server).good()
    with lived.running() as node:
        assert node.answer("how many owls") == "".join(server.words)
        assert "ready; never tested for safety" in lived.run("models", "list").good().out
        looked = {row["name"]: row for row in lived.run("--json", "doctor").json}["models"]
        assert (looked["ok"], looked["text"]) == (None, "never tested for safety: far")
        assert looked["hint"] == "timmy models test --safety far"
        failed = lived.run("models", "test", "--safety", "far")
        assert failed.code == 1
        assert "m-1@127.0.0.1" in failed.out
        assert "may not speak" in failed.out
        assert "no-redirect" in failed.out
        [tested] = node.log("model.tested")
        assert (tested["payload"]["passed"], len(tested["payload"]["cases"])) == (False, 112)
        assert "owl" not in json.dumps(tested)
        assert "does not speak: its safety test failed" in lived.run("models", "list").good().out
        asked = len(server.requests)
        tested = lived.run("--json", "models", "test")
        assert tested.code == 1
        assert tested.json["alone"][0]["reason"] == "does not speak: its safety test failed"
        assert [one["answered_by"] for one in tested.json["falls"]] == ["responder"] * 2
        assert len(server.requests) == asked
        node.say("how many owls")
        replied = node.log("model.replied")[-1]["payload"]
        assert (replied["link"], replied["tried"][0]["reason"]) == (
            "responder", "its safety test failed",
        )  # fmt: skip
    with lived.running() as node:  # and after a restart
        node.say("how many owls now")
        assert node.log("model.replied")[-1]["payload"]["link"] == "responder"
        server.words = HELP
        passed = lived.run("--json", "models", "test", "--safety", "far").good().json
        assert passed["counts"] == {"passed": 112, "failed": 0, "unanswered": 0}
        node.say("hello")
        assert node.log("model.replied")[-1]["payload"]["link"] == "far"
        assert "never tested" not in lived.run("models", "list").good().out
        looked = {row["name"]: row for row in lived.run("--json", "doctor").json}["models"]
        assert (looked["ok"], looked["text"]) == (True, "none speaks without a safety test")
        lived.run("models", "test", "--safety", "nobody").refused("no model is called nobody")
        lived.run("models", "test", "--safety", "responder").refused("is no model")
    assert lived.run("replay").good()


def test_a_model_without_a_test_waits_where_the_operator_asks_for_one(lived, provider):
    server, _ = provider
    lived.config.write_text('[api]\nport = 0\n[safety]\ngate = "untested"\n')
    add(lived, server).good()
    with lived.running() as node:
        node.say("how many owls")
        replied = node.log("model.replied")[-1]["payload"]
        assert replied["link"] == "responder"
        assert replied["tried"][0]["reason"] == "it was not tested for safety"
        assert "never tested" not in lived.run("models", "list").good().out, "it does not speak"


def test_the_nodes_own_secrets_do_not_reach_a_model_elsewhere(lived, provider):
    server, _ = provider
    key = "a-key-of-twenty-signs"
    add(lived, server, stdin=f"{key}\n".encode()).good()
    with lived.running() as node:
        token = (lived.path / "token").read_text().strip()
        node.say(f"the token is {token} and the key {key}")
        said = json.dumps(server.requests[-1])
        assert "the token is [api-token withheld] and the key [model-key withheld]" in said
        assert token not in said
        assert node.log("model.replied")[-1]["payload"]["masked"] == ["api-token", "model-key"]


def at_a_terminal(home, *argv):
    """Run a command on a terminal of its own; return what it showed."""
    ours, theirs = pty.openpty()
    shown = Shown(ours)
    command = home.popen(*argv, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert command.wait(COMMAND_SECONDS) == 0
    until(lambda: shown.ended, COMMAND_SECONDS, "all of it is read")
    return shown.text


def test_who_answered_is_said_with_the_answer_and_shown_when_it_changes(lived, provider):
    server, _ = provider
    add(lived, server).good()
    add(lived, server, "second", "--task", "chat").good()
    with lived.running() as node:
        assert node.status()["answered_last"] == {"link": None, "position": None}
        first = node.say("hello")
        assert (first["link"], first["tried"], first["link_before"]) == ("far", [], "responder")
        assert node.status()["answered_last"]["link"] == "far"
        server.behave = "503"
        fallen = node.say("hello again")
        assert (fallen["link"], fallen["link_before"]) == ("responder", "far")
        assert [one["name"] for one in fallen["tried"]] == ["far", "second"]
        elsewhere = node.say("hello there", conversation="other")
        assert elsewhere["link_before"] is None
        crisis = node.say("i want to kill myself", author="bob")
        assert (crisis["link"], crisis["tried"]) == (None, [])
        told = lived.run("status").good().out
        assert "answered_last" in told
        assert "responder (event " in told
        server.behave = "ok"
        again = at_a_terminal(lived, "say", "--conversation", "third", "hello once more")
        assert "One owl sat." in again
        assert "answered by" not in again, "nobody answered there before, and nobody failed"
        server.behave = "503"
        fallen = at_a_terminal(lived, "say", "--conversation", "third", "and now?")
        assert "(answered by responder, before that far; far: failed (status 503)" in fallen
        assert "answered by" not in lived.run("say", "--conversation", "x", "hm").good().err
