"""`timmy fork --at` around a real adoption: the tree that was in force then, with the digest of then.

The tree shows itself: the adopted one answers a question otherwise, so a turn of the record that the
wrong tree tells again strays from what was said; and it has other lines, so a diff of the one does
not fit the other.
"""

import pytest

from ledger.core.types import STATE_ATTESTED
from tests.adoption.world import (
    KINDLY,
    LOOP,
    PASSAGE,
    QUICK,
    SECONDS,
    applied,
    granted,
    status,
    steps,
)
from tests.genesis_judge.diffs import diff
from tests.node.test_node_fork import forked
from tests.node.world import SETTINGS, Home, until

PROMPT = "runtime/agent/prompt.py"
QUESTION, ANSWER = "what do owls say?", "Owls say who, and kindly."
OWLS = PASSAGE.replace(
    "    if not", f'    if "owls" in words:\n        yield "answer", {{"text": "{ANSWER}"}}\n        return\n    if not'
)  # fmt: skip
WISELY = "plainly and wisely"


def patch_of(home, name, old):
    """A bare diff of the prompt of the tree in force, whose words are `old`."""
    folder = home.root / f"of {name}"
    home.run("patch", "new", str(folder)).good()
    data = (folder / PROMPT).read_bytes()
    assert data.count(old.encode()) == 1
    file = home.root / f"{name}.diff"
    file.write_bytes(diff(PROMPT, data, data.replace(old.encode(), WISELY.encode())))
    return file


def attested(node):
    """The state that the node signed when it started: (events, digest)."""
    payload = node.log(STATE_ATTESTED.name)[-1]["payload"]
    return payload["size"], payload["digest"]


def at_then(home, file, size):
    """What a fork after `size` events says, whatever is thought of the patch."""
    return forked(home, "--patch", file, "--at", size, "--task", "Is it wise?", "--turns", 1)[1]


def answers(found):
    """What the tree of then said to the newest question before, and whether it did so then."""
    [turn] = found["turns"]
    return turn["parent"]["answer"], turn["strayed"]


@pytest.fixture(scope="module")
def owlish_seed(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("owlish") / "seed").configure(SETTINGS + QUICK)
    home.run("init", "--kit", str(home.root / "kit.txt")).good()
    return home, granted(home, (LOOP, PASSAGE, OWLS), (PROMPT, *KINDLY))


@pytest.fixture
def owlish(owlish_seed, tmp_path):
    seed, position = owlish_seed
    home = seed.copy(tmp_path / "home")
    yield home, position
    home.end()


def adopt(node, position):
    """Adopt it, and talk until it is settled; return the root in force."""
    applied(node, position)
    until(
        lambda: node.answer(QUESTION) == ANSWER and steps(node)[-1] == "settled",
        SECONDS,
        "it is adopted",
    )
    return status(node)["in_force"]["root"]


def test_before_an_adoption_it_was_the_tree_of_then(owlish):
    home, position = owlish
    with home.running() as node:
        old = node.request("GET", "/v1/architecture").json["root"]
        briefly = patch_of(home, "before", KINDLY[0])
        told = node.answer(QUESTION)
        assert told != ANSWER
    with home.running() as node:
        size, digest = attested(node)
        new = adopt(node, position)
        kindly = patch_of(home, "after", KINDLY[1])
        found = at_then(home, briefly, size)
        assert found["decision"] == "accept", found
        assert (found["events"], found["state"]) == (size, digest)
        assert found["architecture"] == found["recorded"] == old != new
        assert answers(found) == (told, False)
        home.run("fork", "--patch", str(kindly), "--at", str(size)).refused(f"{kindly}:")
    home.run("fork", "--patch", str(kindly), "--at", str(size)).refused(f"{kindly}:")


def test_after_an_adoption_it_was_the_new_one_also_if_it_is_not_now(owlish):
    home, position = owlish
    with home.running() as node:
        old = node.request("GET", "/v1/architecture").json["root"]
        briefly = patch_of(home, "before", KINDLY[0])
        new = adopt(node, position)
        kindly = patch_of(home, "after", KINDLY[1])
    with home.running() as node:
        size, digest = attested(node)
        node.answer(QUESTION)
        found = at_then(home, kindly, size)
        assert found["decision"] == "accept", found
        assert (found["events"], found["state"]) == (size, digest)
        assert found["architecture"] == found["recorded"] == new != old
        assert answers(found) == (ANSWER, False)
        home.run("fork", "--patch", str(briefly), "--at", str(size)).refused(f"{briefly}:")
        home.run("patch", "rollback", "--why", "No owls.").good()
        assert node.request("GET", "/v1/architecture").json["root"] == old
    home.run("fork", "--patch", str(kindly)).refused(f"{kindly}:")
    again = at_then(home, kindly, size)  # the stopped home, whose tree is the old one now
    assert again["decision"] == "accept", again
    assert (again["state"], again["architecture"], again["recorded"]) == (digest, new, new)
    assert answers(again) == (ANSWER, False)
