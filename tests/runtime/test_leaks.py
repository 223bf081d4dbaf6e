"""Secrets on their way out: what is found, what is not, and how often either is wrong."""

import json
from collections import Counter
from pathlib import Path

import pytest

from runtime.core.chat import ModelRequest, Reach, ToolCall
from runtime.core.leaks import OWN_CHARS_MIN, Leaks, mask_of
from tests.runtime.leak_texts import negatives, positives

ROOT = Path(__file__).parents[2]
PLAIN = Leaks()
TOKEN = "Vq0n_7mVwQx-9sTz3kYh2LrB5cD8eF1gAbCdEfGhIjK"
OURS = Leaks.of([("api-token", TOKEN), ("model-key", 'odd "key" of 20 signs'), ("x", "EMPTY")])


def figures() -> tuple[str, ...]:
    """The lines of docs/SAFETY.md, computed anew."""
    good = Counter(rule for rule, *_ in positives())
    found = Counter(rule for rule, _, text in positives() if PLAIN.rule_in(text) == rule)
    rows = [f"| `{rule}` | {found[rule]} of {count} |" for rule, count in sorted(good.items())]
    wrong = sum(PLAIN.rule_in(text) is not None for _, text in negatives())
    return (*rows, f"| texts without one, taken for a secret | {wrong} of {len(negatives())} |")


def test_the_figures_of_the_document_are_those_of_the_labelled_texts():
    text = (ROOT / "docs" / "SAFETY.md").read_text()
    missing = [line for line in figures() if line not in text]
    assert missing == []


def test_what_is_masked_holds_nothing_of_the_secret():
    for rule, secret, text in positives():
        masked, rules = PLAIN.masked(text)
        if not rules:
            continue  # counted above
        assert rules == (rule,)
        core = max(secret.replace("\n", " ").split(), key=len)[:24]
        assert core not in masked
        assert mask_of(rule) in masked
        if text.startswith("{"):
            json.loads(masked)


def test_texts_without_a_secret_pass_unchanged():
    assert [(name, text) for name, text in negatives() if PLAIN.masked(text) != (text, ())] == []


def test_nothing_in_this_repository_is_taken_for_a_secret():
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "runtime").rglob("*.py")]
    paths += [*(ROOT / "node").rglob("*.py"), *(ROOT / "runtime" / "data").iterdir()]
    found = {str(path): PLAIN.rule_in(path.read_text()) for path in paths}
    assert {path: rule for path, rule in found.items() if rule} == {}
    assert len(paths) > 300


def test_own_secrets_are_found_as_they_may_be_written_and_short_ones_are_words():
    assert OURS.own_in(f"curl -H 'Authorization: Bearer {TOKEN}'") == "api-token"
    assert OURS.own_in(json.dumps({"key": 'odd "key" of 20 signs'})) == "model-key"
    assert OURS.own_in("/?q=odd%20%22key%22%20of%2020%20signs") == "model-key"
    assert OURS.own_in("EMPTY") is None
    assert len("EMPTY") < OWN_CHARS_MIN
    assert OURS.masked(f"{TOKEN}{TOKEN} end")[0] == "[api-token withheld][api-token withheld] end"
    assert TOKEN not in repr(OURS)


def test_arguments_of_tools_are_looked_through_keys_depth_and_escapes_of_addresses():
    deep: object = TOKEN
    for _ in range(200):
        deep = [deep]
    for value in (
        {"url": f"https://example.com/?k={TOKEN}"},
        {TOKEN: 1},
        {"url": "https://example.com/?k=" + TOKEN.replace("_", "%5F")},
        {"deep": deep},
    ):
        assert OURS.rule_in_value(value) == "api-token"
    assert OURS.rule_in_value({"url": "https://example.com/100%", "n": [1, None, True]}) is None


def test_a_prompt_loses_its_secrets_and_nothing_else():
    [(_, secret, _)] = [one for one in positives() if one[0] == "github-token"][:1]
    call = ToolCall(id="1-0", name="fetch", arguments=json.dumps({"token": secret, "n": 1}))
    request = ModelRequest(
        messages=(("user", f"use {secret}"), ("assistant", ""), ("user", "now")),
        max_tokens=50, before=9, reach=Reach.PUBLIC, called={1: (call,)},
    )  # fmt: skip
    clean, rules = PLAIN.without(request)
    assert rules == ("github-token",)
    assert clean.messages[0] == ("user", "use [github-token withheld]")
    assert json.loads(clean.called[1][0].arguments) == {"token": "[github-token withheld]", "n": 1}
    assert clean.messages[1:] == request.messages[1:]
    plain = ModelRequest(messages=(("user", "hi"),), max_tokens=5, before=1, reach=Reach.PUBLIC)
    assert PLAIN.without(plain) == (plain, ())
    assert PLAIN.without(plain)[0] is plain


@pytest.mark.parametrize(
    "unit",
    ["eyJ", "eyJaaaaaaaaaa.", "sk-", "sk-a1", "-----BEGIN PRIVATE KEY-----", "nsec1q", "ghp_a", "\\n",
     "-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\n", "xoxb-1", "AKIA", "AIza", "xprv", "A"],
)  # fmt: skip
def test_two_megabytes_made_to_be_slow_are_read_through(unit):
    """Were any rule quadratic, this would not end within the time of a test."""
    text = unit * (2_000_000 // len(unit))
    masked, _ = PLAIN.masked(text)
    assert masked
