"""A node whose model is on the same machine: the commands, the chain, and everything that breaks."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from tests.node.world import SETTINGS, STOP_SECONDS, until

from .gguf_files import tiny

READY_S = 90.0


def configure(home, path, **more):
    lines = [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    section = "\n".join(["[local]", f'model = "{path}"', "port = 0", "threads = 1", *lines])
    home.config.write_text(f"{SETTINGS}\n{section}\n")


def local(node):
    return node.status()["local"]


def state_is(node, state, **more):
    def ready():
        found = local(node)
        return found["state"] == state and all(found[key] == value for key, value in more.items())

    until(ready, READY_S, f"the local model is {state}")
    return local(node)


def replied(node):
    return node.log("model.replied")[-1]["payload"]


def test_a_node_answers_with_the_model_of_its_own_machine(lived, model):
    configure(lived, model, memory_mb=600)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    with lived.running() as node:
        assert node.status()["models"] == ["local", "responder"]
        found = state_is(node, "ready")
        assert (found["sha256"], found["lives"]) == (digest, 1)
        assert node.answer("how many owls")
        said = replied(node)
        assert (said["link"], said["model"]) == ("local", f"tiny:{digest[:12]}")
        listed = lived.run("models", "list").good().out
        assert [line.split()[:2] for line in listed.splitlines()[1:]] == [
            ["local", "local"], ["responder", "local"],
        ]  # fmt: skip
        assert "local answers" not in listed
        shown = lived.run("status").good().out
        assert f"sha256 {digest}" in shown
        assert "ready" in shown
        tried = lived.run("--json", "models", "test").good().json
        assert tried["good"], tried

        os.kill(found["pid"], signal.SIGKILL)  # it is down for a second: nobody waits for it
        until(lambda: local(node)["state"] != "ready", READY_S, "it is noticed")
        node.say("and how many cats")
        fallen = replied(node)
        state_is(node, "ready", lives=2)
        node.say("and how many dogs")
        assert replied(node)["link"] == "local"
        assert fallen["link"] in ("responder", "local")
        if fallen["link"] == "responder":
            assert fallen["tried"][0]["name"] == "local"
    with lived.running() as node:  # the digest is known: nothing is read again
        assert state_is(node, "ready")["sha256"] == digest
    assert lived.run("replay").good()


def test_a_node_lives_without_weights_that_are_wrong_and_says_so(lived, model, tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(model.read_bytes()[:-2000])
    configure(lived, path)
    with lived.running() as node:
        found = state_is(node, "given up", lives=0)
        assert "cut short" in found["reason"]
        assert node.answer("how many owls")
        assert replied(node)["link"] == "responder"
        assert "does not speak: given up" in lived.run("models", "list").good().out
        assert "GIVEN UP" in lived.logged


def test_weights_that_are_wrong_are_refused_before_anything_is_started(lived, model, tmp_path):
    path = tmp_path / "m.gguf"
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    cases = {
        "cut short": model.read_bytes()[:-2000],
        "no GGUF file": b"<html>not found</html>",
        "or an empty one": b"",
    }
    for words, data in cases.items():
        path.write_bytes(data)
        lived.run("models", "serve", str(path)).refused(words)
    path.unlink()
    lived.run("models", "bench", str(path)).refused("No such file")
    tiny(path, seed=9)
    lived.run("models", "serve", str(path), "--sha256", digest).refused(f"expected {digest}")


@contextmanager
def served(home, path):
    """`timmy models serve`, as a user runs it: its address."""
    command = ("models", "serve", str(path), "--port", "0", "--threads", "1", "--memory", "600")
    process = home.popen(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            line = process.stdout.readline()
            assert " answers at http://127.0.0.1:" in line, process.stderr.read()
            yield line.split()[-1]
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(STOP_SECONDS) == 0, process.stderr.read()


def test_a_model_that_is_served_is_added_and_tested_as_any_other(lived, model):
    with served(lived, model) as url:
        with urllib.request.urlopen(f"{url}/models") as response:
            assert json.load(response)["data"][0]["id"].startswith("tiny:")
        lived.run("models", "add", "desk", url, "tiny").good()
        with lived.running() as node:
            assert lived.run("--json", "models", "test").good().json["good"]
            node.say("how many owls")
            assert replied(node)["link"] == "desk"
            node.say("owl " * 20_000)
            too_long = replied(node)
            assert too_long["link"] == "responder"
        lived.run("models", "serve", str(model), "--port", url.rpartition(":")[2][:-3]).refused(
            "cannot listen on", "local.port"
        )


def test_a_model_is_measured_and_judged(lived, model):
    done = lived.run("--json", "models", "bench", str(model), "--runs", "1", "--context", "512")
    found = done.json
    assert done.code == (0 if found["good"] else 1)
    assert found["fits"]
    assert (found["architecture"], found["quantisation"], found["runs"]) == ("llama", "F16", 1)
    assert min(found["load_s"], found["prompt_tokens_per_s"], found["reply_tokens_per_s"]) > 0
    assert 2**20 < found["peak_bytes"] < 2**30
    assert len(found["reasons"]) == 2
    shown = lived.run("models", "bench", str(model), "--runs", "1").out
    assert "tokens/s (the fastest of 1 runs)" in shown
    lived.run("models", "bench", str(model), "--memory", "64", "--context", "1048576").refused(
        "does not run here"
    )
    lived.run("models", "bench", str(model), "--runs", "0").refused("from 1 to 100")


def test_a_server_ends_with_the_node_that_is_killed(lived, model):
    configure(lived, model, memory_mb=600)
    node = lived.start()
    pid = state_is(node, "ready")["pid"]
    node.kill9()
    until(lambda: not Path(f"/proc/{pid}").exists(), READY_S, "its process is gone, and its port")


def test_a_second_model_of_that_name_is_refused(lived, model):
    configure(lived, model)
    text = lived.config.read_text()
    lived.config.write_text(
        text + '[[models]]\nname = "local"\nbase_url = "http://127.0.0.1:1/v1"\nmodel = "m"\n'
    )
    lived.run("run").refused("one is called local", "[local]")


def test_without_the_extra_the_node_says_how_to_get_it(lived, model):
    """A Python that does not find the package: the node starts, and tells what is missing."""
    configure(lived, model)
    hidden = (
        "import importlib.util as u, runpy, sys\n"
        "old = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'llama_cpp' else old(name, *a)\n"
        f"sys.argv = ['timmy', 'models', 'serve', {str(model)!r}]\n"
        "runpy.run_module('node', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", hidden], capture_output=True, env=lived.env, text=True, check=False
    )
    assert done.returncode == 2, done
    assert "no llama_cpp" in done.stderr
    assert "make local" in done.stderr
