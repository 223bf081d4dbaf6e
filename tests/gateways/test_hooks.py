"""Webhooks: a sender with the secret is heard once, and nobody else is told anything."""

import hashlib
import hmac
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.hooks import Hook, open_delivery, sign
from runtime.core.limits import HOOK_AGE_S_MAX, HOOK_BODY_BYTES_MAX
from tests.node.world import SETTINGS, until

SECRET = "It's a Secret to Everybody"
"""With the vector that GitHub publishes in its guide on validating deliveries."""
GITHUB = Hook(name="g", scheme="github", secret=SECRET.encode(), conversation="g")
TIMMY = Hook(name="t", scheme="timmy", secret=SECRET.encode(), job="t")
VECTOR = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def stamped(body, *, at, name="d-1", secret=SECRET):
    signed = f"{at}.{name}.".encode() + body
    value = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return {"Timmy-Signature": f"t={at},id={name},v1={value}"}


def test_the_vector_that_github_publishes():
    found = open_delivery(GITHUB, {"X-Hub-Signature-256": VECTOR}, b"Hello, World!", 0)
    assert found.text == "Hello, World!"


@pytest.mark.parametrize("event", ["push", "ping", "", "deploy now: yes"])
def test_a_header_that_is_not_signed_changes_nothing(event):
    signed = {"X-Hub-Signature-256": VECTOR}
    named = open_delivery(GITHUB, signed | {"X-GitHub-Event": event}, b"Hello, World!", 0)
    assert named == open_delivery(GITHUB, signed, b"Hello, World!", 0)


@pytest.mark.parametrize(
    "value",
    ["", "sha256=", VECTOR[:-1], VECTOR + "0", VECTOR.upper(), VECTOR.replace("sha256", "sha1"),
     VECTOR[:-1] + "6", "sha256=" + "0" * 64, VECTOR + "\n"],
)  # fmt: skip
def test_what_is_not_signed_is_not_heard(value):
    assert open_delivery(GITHUB, {"X-Hub-Signature-256": value}, b"Hello, World!", 0) is None
    assert open_delivery(GITHUB, {"X-Hub-Signature-256": VECTOR}, b"Hello, World?", 0) is None
    assert open_delivery(TIMMY, {"X-Hub-Signature-256": VECTOR}, b"Hello, World!", 0) is None


@given(st.text(max_size=90))
def test_no_header_is_too_odd(value):
    for hook, name in ((GITHUB, "X-Hub-Signature-256"), (TIMMY, "Timmy-Signature")):
        assert open_delivery(hook, {name: value}, b"x", 0) is None


def test_time_and_id_are_signed():
    at = 1_800_000_000
    good = stamped(b"x", at=at)
    assert open_delivery(TIMMY, good, b"x", at).text == "x"
    assert open_delivery(TIMMY, good, b"x", at + HOOK_AGE_S_MAX) is not None
    assert open_delivery(TIMMY, good, b"x", at + HOOK_AGE_S_MAX + 1) is None
    assert open_delivery(TIMMY, good, b"x", at - HOOK_AGE_S_MAX - 1) is None
    value = good["Timmy-Signature"]
    for other in (value.replace("d-1", "d-2"), value.replace(str(at), str(at + 1))):
        assert open_delivery(TIMMY, {"Timmy-Signature": other}, b"x", at) is None


def test_a_repetition_has_the_key_of_the_first():
    at = 1_800_000_000
    first, late = stamped(b"x", at=at), stamped(b"x", at=at + 9)
    other = stamped(b"x", at=at, name="d-2")
    keys = [open_delivery(TIMMY, headers, b"x", at).key for headers in (first, late, other)]
    assert keys[0] == keys[1] != keys[2]
    assert sign(b"k", b"d") == hmac.new(b"k", b"d", hashlib.sha256).hexdigest()


def deliver(node, name, body, headers, **more):
    return node.request("POST", f"/v1/hooks/{name}", body, token="", headers=headers, **more)


def github(body, secret=SECRET, event="push"):
    value = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={value}", "X-GitHub-Event": event}


def test_a_hook_is_added_and_heard(born):
    born.configure(SETTINGS)
    add = ("hooks", "add")
    stdin = SECRET.encode() + b"\n"
    born.run(*add, "builds", "--conversation", "builds", stdin=stdin).good()
    born.run(*add, "tick", "--job", "tick", "--signature", "timmy", stdin=stdin).good()
    path = born.path / "hook-keys" / "builds"
    assert (path.stat().st_mode & 0o777, path.read_text()) == (0o600, SECRET + "\n")
    assert SECRET not in born.config.read_text()
    before = born.config.read_text()
    born.run(*add, "builds", "--job", "x", stdin=stdin).refused("is never overwritten")
    born.run(*add, "short", "--job", "x", stdin=b"short").refused("5 bytes", "openssl rand")
    born.run(*add, "a b", "--job", "x", stdin=stdin).refused("hooks")
    assert born.config.read_text() == before
    assert [row["name"] for row in born.run("--json", "hooks", "list").json] == ["builds", "tick"]
    with born.running() as node:
        body = json.dumps({"ref": "main", "said": "the gate is mended"}).encode()
        first = deliver(node, "builds", body, github(body)).json
        assert deliver(node, "builds", body, github(body)).json == first
        row = node.request("GET", f"/v1/events/{first['event']}").json
        assert row["content"]["text"] == body.decode()
        assert [row["payload"][key] for key in ("conversation", "author", "gateway")] == [
            "builds", "hook/builds", "hook/builds",
        ]  # fmt: skip
        until(lambda: node.log("message.sent"), 60, "the agent answers")
        assert deliver(node, "builds", body, github(body, event="ping")).json == first
        other = deliver(node, "builds", body + b" ", github(body + b" ")).json
        assert other["event"] > first["event"]

        told = [
            deliver(node, "builds", body, github(body, secret="another secret of theirs")),
            deliver(node, "builds", body, {}),
            deliver(node, "nobody", body, github(body)),
            deliver(node, "nobody", body, {}),
        ]
        assert {(one.status, one.body) for one in told} == {(401, told[0].body)}
        assert json.loads(told[0].body) == {"error": "not accepted", "hint": None}
        large = b"x" * (HOOK_BODY_BYTES_MAX + 1)
        assert deliver(node, "builds", large, github(large)).status == 413
        assert node.request("GET", "/v1/status", token="").status == 401

        job = {"name": "tick", "when": "every 30d", "say": "a hook was called"}
        assert node.request("POST", "/v1/jobs", job).status == 200
        signed = stamped(b"go", at=int(time.time()))
        ran = [deliver(node, "tick", b"go", signed).json["event"] for _ in range(3)]
        assert len(set(ran)) == 1
        until(lambda: node.log("job.finished"), 60, "the job has run")
        assert deliver(node, "tick", b"go", signed).json["event"] == ran[0]
        assert len(node.log("job.started")) == 1
        assert SECRET not in born.logged
    born.run("verify").good()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "x"\njob = "a"\nconversation = "b"', "and not both"),
        ('name = "x"', "and not both"),
        ('name = "x"\njob = "a"', "the secret of x"),
        ('name = "../x"\njob = "a"', "hooks"),
    ],
)
def test_a_hook_that_cannot_be_is_refused_at_the_start(born, text, words):
    born.configure(f"{SETTINGS}\n[[hooks]]\n{text}\n")
    born.run("run").refused(words)
