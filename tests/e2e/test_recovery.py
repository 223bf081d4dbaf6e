"""The guard is lost for good: the recovery kit begins a new epoch, and everyone can tell."""

import shutil

import pytest

from genesis.core.recovery import parse_kit
from tests.node.world import Home


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """An agent whose kit was written where its operator said, that lived and lost its guard."""
    home = Home(tmp_path_factory.mktemp("recovery") / "user").configure()
    kit = home.root / "kit.txt"
    home.run("init", "--kit", str(kit), "--name", "Ada").good()
    assert kit.stat().st_mode & 0o777 == 0o600
    with home.running() as node:
        node.say("before the loss")
    shutil.rmtree(home.guard.parent)
    yield home, kit
    home.end()


def test_it_stops_until_it_is_told_and_then_goes_on(kept, tmp_path):
    home, kit = kept
    home.run("run").refused("guard", "recover")
    events = len(home.run("--json", "log", "--from", "0").good().json)
    home.run("recover", "--kit", str(kit)).refused("--yes")
    wrong = tmp_path / "wrong.txt"
    word = parse_kit(kit.read_text()).recovery_phrase.split()[-1]
    head, _, tail = kit.read_text().rpartition(word)
    wrong.write_text(f"{head}{'zoo' if word != 'zoo' else 'zone'}{tail}")
    assert home.run("recover", "--kit", str(wrong), "--yes").code == 2
    assert len(home.run("--json", "log", "--from", "0").good().json) == events
    done = home.run("--json", "recover", "--kit", str(kit), "--yes").good().json
    assert done == {"epoch": 1, "kept_size": events, "position": events, "aside": None}
    home.run("recover", "--kit", str(kit), "--yes").refused("nothing to recover from")
    with home.running() as node:
        assert node.answer("and after it?")
        assert node.status()["head"]["epoch"] == 1
    home.run("verify").good()


def test_a_stranger_sees_that_it_was_recovered(kept, tmp_path):
    home, _ = kept
    soul = str(home.path / "SOUL.md")
    bundle, proof = tmp_path / "life.bundle", tmp_path / "said.proof"
    home.run("export", "-o", str(bundle)).good()
    assert home.run("--json", "verify", str(bundle), "--soul", soul).json["verdict"] == "RECOVERED"
    at = home.run("--json", "search", "before", "the", "loss").good().json[0]["position"]
    home.run("prove", str(at), "-o", str(proof)).good()
    report = home.run("--json", "verify", str(proof), "--soul", soul).good().json
    assert report["verdict"] == "RECOVERED"
    assert "epoch 1 began" in str(report["lines"])


def test_a_kit_of_another_agent_recovers_nothing(kept, tmp_path):
    home, _ = kept
    other = Home(tmp_path / "other")
    kit = tmp_path / "other-kit.txt"
    other.run("init", "--kit", str(kit)).good()
    shutil.rmtree(home.guard.parent)
    assert home.run("recover", "--kit", str(kit), "--yes").code == 2
