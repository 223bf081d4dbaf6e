"""Adopted skills, skins and thresholds: in force, under the operator's newer word, and back again."""

import hashlib

import pytest

from ledger.core import types
from ledger.core.event import Draft
from node.home import Home as Places
from node.open import appending
from tests.adoption.world import QUICK, apply, granted, status, steps, until_stage
from tests.node.world import SETTINGS

TEA = "skills/tea/SKILL.md"
TEXT = "---\nname: tea\ndescription: tea\n---\nBoil water.\n"
OWL = 'name = "owl"\nversion = 1\nvoice = "Speak softly."\n'
PLAN = {"window_s": 1, "turns": 1}


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    """A home with a skill, a skin, and an approved change of both and of a threshold."""
    from tests.node.world import Home

    home = Home(tmp_path_factory.mktemp("layers") / "seed").configure(SETTINGS + QUICK)
    home.run("init").good()
    skill = home.path / TEA
    skill.parent.mkdir(parents=True)
    skill.write_text(TEXT)
    owl = home.root / "owl.toml"
    owl.write_text(OWL)
    with home.running():
        home.run("skins", "sign", str(owl), "-o", str(owl.with_suffix(".skin"))).good()
        home.run("skins", "add", str(owl.with_suffix(".skin"))).good()
    position = granted(
        home,
        (TEA, "Boil water", "Boil fresh water"),
        ("skills/cocoa/SKILL.md", "", TEXT.replace("tea", "cocoa")),
        ("skins/owl.toml", OWL, OWL.replace("= 1", "= 2").replace("softly", "loudly")),
        ("thresholds.toml", "iterations_max = 50", "iterations_max = 40"),
    )
    return home, position


@pytest.fixture
def home(seed, tmp_path):
    made = seed[0].copy(tmp_path / "home")
    yield made
    made.end()


def files(node):
    found = node.request("GET", "/v1/architecture/files").json
    data = {path: one["text"] for path, one in found["files"].items()}
    return found["root"], {p: t for p, t in data.items() if not p.startswith(("r", "ledger"))}


def skins(home):
    return home.run("--json", "skins", "list").good().json


def test_data_is_in_force_at_once_and_the_operator_has_the_last_word(home, seed):
    position = seed[1]
    with home.running() as node:
        base, before = files(node)
        [worn] = skins(home)
        assert apply(node, position, **PLAN).status == 200
        assert steps(node)[:2] == ["staged", "adopted"]  # there is no other process to try
        root, now = files(node)
        assert root == status(node)["in_force"]["root"] != base
        assert "Boil fresh water" in now[TEA]
        assert "cocoa" in now["skills/cocoa/SKILL.md"]
        assert "iterations_max = 40" in now["thresholds.toml"]
        assert not status(node)["handoff"]["due"]  # the same tree, which is vouched for
        [loud] = skins(home)
        assert (loud["version"], loud["voice"]) == (2, "Speak loudly.")
        assert loud["author"] == node.status()["npub"] != worn["author"]
        node.say("good day")
        until_stage(node, None)
        assert steps(node)[-1] == "settled"
        assert (home.path / TEA).read_text() == TEXT  # his files are his
        (home.path / TEA).write_text(TEXT.replace("water", "milk"))
        edited, now = files(node)
        assert "Boil milk" in now[TEA]
        assert "cocoa" in now["skills/cocoa/SKILL.md"]
        assert edited not in (root, base)
        (home.path / TEA).write_text(TEXT)
        assert files(node)[0] == root
        (home.path / TEA).unlink()
        assert TEA not in files(node)[1]
        (home.path / TEA).write_text(TEXT)
    with home.running() as node:
        assert files(node)[0] == root
        home.run("patch", "rollback").good()
        assert files(node) == (base, before)
        [quiet] = skins(home)
        assert {**quiet, "event": 0} == {**worn, "event": 0}  # with its author's signature
    assert home.run("replay").good()


def test_a_rollback_wears_nothing_that_the_operator_took_away_since(home, seed):
    with home.running() as node:
        assert apply(node, seed[1], **PLAN).status == 200
        assert skins(home)[0]["version"] == 2
        home.run("skins", "remove", "owl").good()
        home.run("patch", "rollback").good()
        assert skins(home) == []
        assert TEA in files(node)[1]
    assert home.run("replay").good()


def test_a_backup_brings_the_adopted_version_along(home, seed, place_of):
    with home.running() as node:
        apply(node, seed[1], **PLAN)
        node.say("good day")
        until_stage(node, None)
        root, now = files(node)
    made = home.run("--json", "backup", "-o", str(home.root / "b.backup")).good().json
    assert any(path.startswith("versions/") for path in made["files"])
    assert TEA in made["files"]
    other = place_of("restored")
    other.run("restore", str(home.root / "b.backup")).good()
    for guard in home.state.glob("*/head"):
        there = other.state / guard.parent.name
        there.mkdir(parents=True, exist_ok=True)
        (there / "head").write_bytes(guard.read_bytes())
    with other.running() as node:
        assert files(node) == (root, now)


def test_drafts_stand_beside_what_is_in_force_and_children_are_given_it(home, seed, place_of):
    """Not what lies in the folder of skills: a patch may have brought or changed one since."""
    with appending(Places(path=home.path, state=home.state)) as log:
        facts = {"name": "cocoa", "by": "dreamer", "seen": 3}
        draft = Draft(
            type=types.SKILL_DRAFTED.name,
            stream=types.MEMORY_STREAM,
            payload=facts,
            content={"text": TEXT.replace("tea", "cocoa").replace("Boil", "Spill")},
        )
        [drafted] = log.append_now(draft)
    child = place_of("child")
    into = ("--name", "Ada", "--into", str(child.path), "--state", str(child.state))
    with home.running() as node:
        assert apply(node, seed[1], **PLAN).status == 200
        home.run("skills", "adopt", str(drafted.position)).refused("in force and says something")
        assert not (home.path / "skills" / "cocoa").exists()
        given = ("--skill", "tea", "--skill", "cocoa")
        made = home.run("--json", "lineage", "father", *into, *given).good().json
    words = {"tea": TEXT.replace("water", "fresh water"), "cocoa": TEXT.replace("tea", "cocoa")}
    for name, text in words.items():
        assert (child.path / "skills" / name / "SKILL.md").read_text() == text
        assert made["skills"][name] == hashlib.sha256(text.encode()).hexdigest()
