"""docs/PROXY.md carried out by a user: on, talk, look, prove, verify elsewhere, erase."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import openai
import pytest

from tests.node.world import SETTINGS

from .conftest import KEY, address, all_well, exchanges
from .provider import TEXT

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "PROXY.md").read_text()


def timmy(home, line):
    """Run one line of the page as its reader does."""
    return home.run(*shlex.split(line)[1:])


def test_the_page_works_as_written(born, provider, tmp_path):
    first, *commands = re.findall(r"^\$ (timmy .*)$", PAGE, re.MULTILINE)
    proof = str(tmp_path / "exchange.proof")
    timmy(born, first).good()
    born.run("proxy", "on", "--port", "0").good()
    born.run("proxy", "add", "near", provider.url).good()
    with born.running() as node:
        base = address(node)
        shown = born.run("proxy").good().out
        assert f"OPENAI_BASE_URL={base}/a/NAME/v1" in shown
        assert "nobody has spoken through it yet" in shown
        with openai.OpenAI(base_url=f"{base}/a/roofer/u/near/v1", api_key=KEY) as client:
            said = [{"role": "user", "content": "who sits on the gable?"}]
            chunks = list(client.chat.completions.create(model="m", messages=said, stream=True))
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == TEXT
        [(asked, replied)] = exchanges(node)
        positions = {"4": asked["position"], "5": replied["position"]}
        told = {}
        for command in commands:
            line = re.sub(r"\b[45]\b", lambda m: str(positions[m.group()]), command)
            told[command.split()[1]] = timmy(born, line.replace("exchange.proof", proof)).good().out
        assert "who sits on the gable?" in told["log"]
        assert "[gable]" in told["search"]
        assert "roofer" in born.run("proxy").good().out
        assert born.run("--json", "proxy").json["streams"][0]["exchanges"] == 1
        # a stranger checks the proof without the node; the reply is in it
        done = subprocess.run(
            [sys.executable, "-m", "attest.verify", proof, "--json"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert replied["content"]["reply"].encode() in Path(proof).read_bytes()
        # what was erased is gone, and that it was there is not
        [(asked, replied)] = exchanges(node)
        assert (asked["redacted"], replied["redacted"]) == (True, True)
        assert (asked["content"], replied["payload"]["outcome"]) == (None, "whole")
        assert "gable" not in born.run("search", "gable").out
    born.run("verify").good()
    born.run("replay").good()
    all_well(born)


def test_nothing_proxied_is_recalled(born, provider):
    born.configure(
        f"{SETTINGS}\n[proxy]\nenabled = true\nport = 0\n"
        f'upstreams = [{{ name = "near", base_url = "{provider.url}" }}]\n'
    )
    with born.running() as node:
        node.say("the weathercock is made of copper")
        with openai.OpenAI(base_url=f"{address(node)}/v1", api_key=KEY) as client:
            for number in range(40):
                said = [
                    {"role": "user", "content": f"what is the weathercock made of? lead {number}"}
                ]
                client.chat.completions.create(model="m", messages=said)
        answer = node.answer("what is the weathercock made of?")
        assert "copper" in answer
        assert "lead" not in answer


def test_settings_are_written_and_kept(born):
    assert born.run("proxy").refused("no node is running")
    born.configure(SETTINGS + "# mine\n[proxy] # also mine\nidle_s = 7\n[relay]\nenabled = false\n")
    born.run("proxy", "on", "--screen", "block").good()
    born.run("proxy", "add", "near", "http://127.0.0.1:1/v1").good()
    born.run("proxy", "add", "far", "https://x.example/v1", "--wire", "anthropic").good()
    born.run("proxy", "off").good()
    text = born.config.read_text()
    found = tomllib.loads(text)["proxy"]
    assert (found["enabled"], found["screen"], found["idle_s"]) == (False, "block", 7)
    assert [one["name"] for one in found["upstreams"]] == ["openai", "anthropic", "near", "far"]
    assert "# mine\n[proxy] # also mine\n" in text
    assert tomllib.loads(text)["relay"] == {"enabled": False}
    assert (born.config.stat().st_mode & 0o077) == 0
    for argv, words in (
        (("add", "near", "http://127.0.0.1:2/v1"), "two have one name"),
        (("add", "x", "http://far.example/v1"), "not encrypted"),
        (("add", "a b", "https://x.example/v1"), "proxy.upstreams"),
        (("on", "--port", "70000"), "proxy.port"),
    ):
        born.run("proxy", *argv).refused(words)
        assert born.config.read_text() == text


@pytest.mark.parametrize("also", ["", "[proxy]\nport = 9\n"])
def test_tables_of_ones_own_are_left_alone(born, also):
    born.configure(
        SETTINGS + also + '[[proxy.upstreams]]\nname = "x"\nbase_url = "https://x.y/v1"\n'
    )
    born.run("proxy", "add", "near", "http://127.0.0.1:1/v1").refused("[[proxy.upstreams]]")
    born.run("proxy", "on").good()
    assert tomllib.loads(born.config.read_text())["proxy"]["enabled"] is True
