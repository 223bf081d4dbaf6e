"""Thresholds that an older version of this software allowed: the last good architecture runs."""

import pytest

from genesis import trees
from genesis.adopting import versions
from genesis.core import thresholds
from genesis.core.adopting.layers import Version
from ledger.core.event import Draft
from ledger.core.types import ADOPTION_STREAM
from ledger.upcasting import UpcastLog
from node.agent.layering import Layers, newest, thresholds_of
from node.config import load
from node.home import Home as RealHome
from node.keeping.folding import INTERPRETED, reading_hash
from node.open import open_log
from runtime.core.adoptions import Adoptions
from runtime.journal import Journal
from tests.adoption.world import new_home, status
from tests.node.world import SETTINGS

STEPS = ["staged", "adopted", "settled"]


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    return new_home(tmp_path_factory.mktemp("narrowed") / "born", SETTINGS)


def place_of(home):
    return RealHome(path=home.path, state=home.state)


def adopted(log, place, version: bytes | None, steps=STEPS) -> None:
    """Put on record what an older software did, which allowed more."""
    tree = trees.current(place.path)
    stack = Adoptions(Journal(UpcastLog(log, needed=INTERPRETED)).state.entries).stack
    before = {"tree": tree, "version": stack[-1].version if stack else None, "root": bytes(32)}
    facts = {"patch": 1, "root": bytes(32), "tree": tree, "version": version}
    trial = {"share": 1000, "window_s": 1, "turns": 1, "reducers": reading_hash()}
    drafts = [
        Draft(
            type="patch.staged",
            stream=ADOPTION_STREAM,
            payload={**facts, "before": before, **trial},
        )
    ]
    drafts += [
        Draft(type=f"patch.{step}", stream=ADOPTION_STREAM, payload=facts | {"adoption": log.size})
        for step in steps[1:]
    ]  # fmt: skip
    log.append_now(*drafts)


def stored(place, **agent: int) -> bytes:
    """Keep a version with these thresholds of [agent]; returns its digest."""
    own = thresholds_of(load(place.config)).render()
    text = own.decode()
    for key, value in agent.items():
        old = next(line for line in text.splitlines() if line.startswith(f"{key} = "))
        text = text.replace(old, f"{key} = {value}")
    files, mine = {thresholds.PATH: text.encode()}, {thresholds.PATH: own}
    return versions.store_version(place.path, Version.of(files, mine))


def test_what_this_software_does_not_allow_is_rolled_back_to_the_last_it_does(home):
    place = place_of(home)
    wide = [{"iterations_max": 40}, {"iterations_max": 9_999}, {"steps_max": 9_999}]
    with open_log(place, write=True) as log:
        for one in wide:
            adopted(log, place, stored(place, **one))
        journal = Journal(UpcastLog(log, needed=INTERPRETED))
        layers = Layers(home=place, config=load(place.config), journal=journal)
        assert newest(layers).bounds().replies == 40
    with home.running() as node:
        *_, first, second = status(node)["steps"]
        for step, why in ((first, "steps_max is 9999"), (second, "iterations_max is 9999")):
            assert (step["type"], step["reason"]) == ("patch.rolledback", "damaged")
            assert "not for this software" in step["why"]
            assert why in step["why"]
        files = node.request("GET", "/v1/architecture/files").json["files"]
        assert "iterations_max = 40" in files[thresholds.PATH]["text"]
        assert node.say("good day")["answer"]
    assert home.run("replay").good()


def test_a_turn_has_the_bounds_of_what_the_ledger_says_whoever_was_told(home):
    """Who gives turns hears of a rollback before those who wrote it down go on."""
    place = place_of(home)
    with open_log(place, write=True) as log:
        adopted(log, place, stored(place, iterations_max=40))
        layers = newest(
            Layers(
                home=place,
                config=load(place.config),
                journal=Journal(UpcastLog(log, needed=INTERPRETED)),
            )
        )
        adopted(log, place, stored(place, iterations_max=1))
        assert layers.bounds().replies == 1
        adopted(log, place, stored(place, iterations_max=9_999))
        assert layers.bounds().replies == 1  # the next start rolls it back
        for bad in reversed(Adoptions(layers.journal.state.entries).stack[2:]):
            facts = {"patch": 1, "adoption": bad.adoption, "tree": bad.tree, "version": None}
            more = {"root": bytes(32), "reason": "operator", "by": "operator"}
            log.append_now(
                Draft(type="patch.rolledback", stream=ADOPTION_STREAM, payload=facts | more)
            )
        assert layers.bounds().replies == 40


@pytest.mark.parametrize("step", ["staged", "adopted"])
def test_a_trial_upon_it_ends_first(home, step):
    """One that does not open, below a trial or as the trial: a start ends it, and goes on."""
    place = place_of(home)
    with open_log(place, write=True) as log:
        adopted(log, place, stored(place, iterations_max=9_999))
        adopted(log, place, stored(place, iterations_max=9_998), STEPS[: STEPS.index(step) + 1])
    with home.running() as node:
        rows = status(node)["steps"]
        assert [row["type"] for row in rows][-2:] == ["patch.rolledback"] * 2
        assert status(node)["under_way"] is None
        assert status(node)["in_force"]["version"] is None


def test_a_trial_whose_base_alone_does_not_open_ends_too(home):
    place = place_of(home)
    with open_log(place, write=True) as log:
        adopted(log, place, stored(place, iterations_max=9_999))
        adopted(log, place, None, ["staged"])
    with home.running() as node:
        assert [row["type"] for row in status(node)["steps"]][-2:] == ["patch.rolledback"] * 2
        assert status(node)["in_force"]["version"] is None
