"""A proposal outlives the key that committed to its seed: it is judged by that one, or not at all."""

import pytest

from tests.node.test_node_approving import approval
from tests.node.test_node_handoff import keystores, kits
from tests.node.test_node_patches import draft, kinds
from tests.node.test_node_verdicts import surely
from tests.node.world import Home


@pytest.fixture(scope="module")
def proposed(tmp_path_factory):
    """A home with a kit, in which something was proposed and not judged; its node was stopped."""
    home = Home(tmp_path_factory.mktemp("seed") / "user").configure()
    home.run("init", "--kit", str(home.root / "kit.txt")).good()
    with home.running():
        made = home.run("--json", "patch", "propose", str(draft(home))).good().json
    yield home, str(made["position"])
    home.end()


def test_what_was_proposed_before_a_handoff_is_judged_and_approved(proposed, tmp_path):
    home, at = proposed[0].copy(tmp_path / "user"), proposed[1]
    home.run("handoff", *kits(home)).good()
    bundle = tmp_path / "kind.patch"
    with home.running() as node:
        judged = surely(home, "judge", at)
        home.run("patch", "approve", at).good()
        found = approval(node, at)
        assert (found["granted"], found["verdict"]) == (True, judged["digest"])
        home.run("patch", "export", at, str(bundle)).good()
    [row] = Home(tmp_path / "other").run("--json", "patch", "verify", str(bundle)).json["verdicts"]
    assert (row["owner"], row["digest"]) == (True, judged["digest"])


@pytest.mark.parametrize("why", ["lost", "stolen"])
def test_without_that_key_it_is_not_judged_and_may_be_proposed_anew(proposed, tmp_path, why):
    """A key that a recovery replaced was a thief's, too: he would know the hidden cases."""
    home, at = proposed[0].copy(tmp_path / "user"), proposed[1]
    change = ("handoff",) if why == "lost" else ("recover", "--new-keys", "--yes")
    home.run(*change, *kits(home)).good()
    assert "agent-0.keystore" in keystores(home)
    if why == "lost":
        (home.path / "keys" / "agent-0.keystore").unlink()
    with home.running() as node:
        home.run("patch", "judge", at).refused("a log key that is not here", "propose it anew")
        assert not kinds(node, "patch.judged")
        home.run("patch", "withdraw", at).good()
        again = home.run("--json", "patch", "propose", str(home.root / "draft")).good().json
        surely(home, "judge", str(again["position"]))
        home.run("patch", "approve", str(again["position"])).good()
        assert approval(node, str(again["position"]))["granted"]
