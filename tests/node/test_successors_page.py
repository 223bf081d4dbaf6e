"""docs/SUCCESSORS.md to the letter: the second seed's snippet, the files it names, a folder."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from genesis.core.verdict import Decision
from node import home as homes
from node.agent.sessions import of_home
from node.commands import fork
from tests.node.test_node_fork import ATTEMPTS, forked, kept
from tests.node.test_node_patches import change, fill

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


def test_the_snippet_runs_as_it_is_written(lived, blocks, monkeypatch):
    imports, snippet = blocks
    assert snippet == SEED
    monkeypatch.chdir(ROOT)  # where the page's files are
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


def test_its_commands_are_commands_and_its_files_are_there():
    page = (ROOT / "docs/SUCCESSORS.md").read_text()
    parser = argparse.ArgumentParser()
    fork.add_arguments(parser)
    lines = re.findall(r"^\$ timmy fork (.*)$", page, re.MULTILINE)
    given = [parser.parse_args(shlex.split(line, comments=True)) for line in lines]
    assert len(given) == 7
    files = {one.patch for one in given if one.patch is not None} - {Path("kinder")}
    assert all((ROOT / file).is_file() for file in files)


def test_a_folder_of_the_tutorial_is_forked_with_what_was_edited_in_it(born):
    folder = born.root / "kinder"
    with born.running() as node:
        born.run("patch", "new", str(folder)).good()
        born.run("fork", "--patch", str(folder)).refused(f"{folder}/proposal.md:3: ")  # no title
        fill(folder)
        born.run("fork", "--patch", str(folder)).refused("changes nothing")
        change(folder)
        code, found = forked(born, "--patch", folder / "proposal.md")
        assert (code, found["decision"], found["title"]) == (0, "accept", "Be kind")
        assert found["task"] == "Answer a greeting."
        born.run("patch", "propose", str(folder / "proposal.md")).good()  # the same is proposed
        [row] = node.request("GET", "/v1/patches").json["patches"]
        assert row["title"] == "Be kind"
    (folder / "runtime/agent/main.py").write_text("import os\n")
    document = folder / "proposal.md"
    document.write_text(document.read_text().replace('class = "routine"', 'class = "other"'))
    born.run("fork", "--patch", str(folder)).refused(f"{document}:")  # nor does a stopped home
