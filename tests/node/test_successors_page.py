"""The second seed's snippet, carried out as docs/SUCCESSORS.md has it, to the letter."""

import re
from pathlib import Path

import pytest

from genesis.core.verdict import Decision
from node import home as homes
from node.agent.sessions import of_home
from tests.e2e.make_examples import EXAMPLES
from tests.genesis_patches.world import document, fenced
from tests.node.test_node_fork import ATTEMPTS, kept

ROOT = Path(__file__).parents[2]
SEED = """\
successor = fork_successor(
    current_state=session.export(),
    architecture_patch=read("docs/proposed-patch.md"),
    evaluation_task="Verify this patch improves throughput without breaking tests",
)
verdict = successor.run_until_complete()
"""


@pytest.fixture
def blocks():
    page = (ROOT / "docs/SUCCESSORS.md").read_text()
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def test_the_snippet_runs_as_it_is_written(lived, blocks, monkeypatch, tmp_path):
    imports, snippet = blocks
    assert snippet == SEED
    (tmp_path / "docs").mkdir()
    patch = (EXAMPLES / "remember-more.diff").read_bytes()
    (tmp_path / "docs/proposed-patch.md").write_bytes(document(fenced(patch)))
    monkeypatch.chdir(tmp_path)
    before = lived.fingerprint()
    with of_home(homes.Home(path=lived.path, state=lived.state)) as session:
        names = {"session": session}
        exec(imports, names)
        for _ in range(ATTEMPTS):
            exec(snippet, names)
            verdict = names["verdict"]
            if verdict.decision is not Decision.INCONCLUSIVE:  # the machine was too busy
                break
    assert (verdict.decision, verdict.accepted) == (Decision.ACCEPT, True)
    assert verdict.task == "Verify this patch improves throughput without breaking tests"
    assert kept(lived.fingerprint()) == kept(before)
