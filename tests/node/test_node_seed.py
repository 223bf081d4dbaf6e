"""A proposal outlives the key that committed to its seed: it is judged by that one, or not at all."""

import pytest

from tests.node.test_node_approving import approval
from tests.node.test_node_handoff import keystores, kits
from tests.node.test_node_patches import draft, kinds
from tests.node.test_node_verdicts import surely
from tests.node.world import Home

CHANGES = {"handoff": ("handoff",), "recovery": ("recover", "--new-keys", "--yes")}


@pytest.fixture(scope="module")
def proposed(tmp_path_factory):
    """A home with a kit, in which something was proposed and not judged; its node was stopped."""
    home = Home(tmp_path_factory.mktemp("seed") / "user").configure()
    home.run("init", "--kit", str(home.root / "kit.txt")).good()
    with home.running():
        made = home.run("--json", "patch", "propose", str(draft(home))).good().json
    yield home, str(made["position"])
    home.end()


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_proposed_before_the_keys_changed_is_judged_and_approved(proposed, tmp_path, name):
    home, at = proposed[0].copy(tmp_path / "user"), proposed[1]
    home.run(*CHANGES[name], *kits(home)).good()
    bundle = tmp_path / "kind.patch"
    with home.running() as node:
        judged = surely(home, "judge", at)
        home.run("patch", "approve", at).good()
        found = approval(node, at)
        assert (found["granted"], found["verdict"]) == (True, judged["digest"])
        home.run("patch", "export", at, str(bundle)).good()
    [row] = Home(tmp_path / "other").run("--json", "patch", "verify", str(bundle)).json["verdicts"]
    assert (row["owner"], row["digest"]) == (True, judged["digest"])


def test_without_that_key_it_is_not_judged_and_may_be_proposed_anew(proposed, tmp_path):
    home, at = proposed[0].copy(tmp_path / "user"), proposed[1]
    home.run("handoff", *kits(home)).good()
    assert "agent-0.keystore" in keystores(home)
    (home.path / "keys" / "agent-0.keystore").unlink()
    with home.running() as node:
        home.run("patch", "judge", at).refused("a log key that is not here", "propose it anew")
        assert not kinds(node, "patch.judged")
        home.run("patch", "withdraw", at).good()
        again = home.run("--json", "patch", "propose", str(home.root / "draft")).good().json
        surely(home, "judge", str(again["position"]))
        home.run("patch", "approve", str(again["position"])).good()
        assert approval(node, str(again["position"]))["granted"]
