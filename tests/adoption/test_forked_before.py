"""A fork of an earlier moment is of the tree that was in force then; what is gone is named."""

import pytest

from genesis import trees
from genesis.core.errors import ForkError
from node.agent.architecture import Present
from node.agent.sessions import of_home
from node.home import Home as RealHome
from tests.adoption.test_adopting_at_once import TEA, TEXT, adopting_upon, tried


async def test_a_fork_of_before_an_adoption_has_the_tree_of_before(kind):
    home, position = kind
    with adopting_upon(home, Present, ahead_ms=3_600_000) as adopting:
        before, size = adopting.patching.present.read(), adopting.log.size
        await tried(adopting, position)
        after = adopting.now.in_force
    assert after.root != before.root
    with of_home(RealHome(path=home.path, state=home.state)) as session:
        now, then = session.export(), session.export(at=size)
        assert now.about.architecture.root == now.recorded_root() == after.root
        assert now.about.architecture.tree.digest == after.tree
        assert then.about.architecture.root == then.recorded_root() == before.root
        assert then.about.architecture == before
        skill = home.path / TEA
        skill.parent.mkdir(parents=True)
        skill.write_text(TEXT)  # what was edited by hand is of now
        edited = session.export(at=size)
        assert edited.about.architecture.tree == before.tree
        assert edited.about.architecture.root != edited.recorded_root() == before.root
        trees.discard(trees.tree_path(home.path, before.tree.digest))
        with pytest.raises(ForkError, match=f"there is no tree {before.tree.digest.hex()}"):
            session.export(at=size)
        assert session.export().about.architecture.tree.digest == after.tree
