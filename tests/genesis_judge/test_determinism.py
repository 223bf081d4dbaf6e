"""The same in every life: a choice that each process makes anew is found, however late it shows."""

import shutil

import pytest

from genesis.judging import bench as judging
from genesis.judging import mutants
from genesis.judging.measuring import Wanted
from genesis.judging.player import play
from genesis.trees import write_tree
from runtime.sandbox import Engine

from .diffs import architecture
from .test_judge import PARENT, QUICK, all_cases


@pytest.fixture
def case():
    [found] = [one for one in all_cases(bytes(32)) if one.gate == "determinism"]
    return found


def test_a_coin_falls_alike_in_all_lives_once_in_a_thousand_million(case):
    assert 2 ** (case.lives - 1) >= 2**30


@pytest.mark.parametrize("strays", [False, True], ids=["the same throughout", "but in the last"])
async def test_every_life_is_held_against_the_first(case, strays, tmp_path, monkeypatch):
    assert shutil.which("bwrap"), "install bubblewrap: apt install bubblewrap"
    bench = judging.Bench(architecture(PARENT), None, QUICK, Engine.BUBBLEWRAP, lambda: 0, Wanted())
    bench._folder, lives = tmp_path, []
    for defect in ("none", "soulless"):
        (tmp_path / defect).mkdir()
        write_tree(mutants.specimen(defect), tmp_path / defect, durable=False)

    async def lived(case, tree, past, cage):
        lives.append(tree.name)
        last = strays and len(lives) == case.lives
        return await play(case, tree.parent / "soulless" if last else tree, past, cage)

    monkeypatch.setattr(judging, "play", lived)
    trial = await bench._trial(judging.Job(who="candidate", folder="none", cases=(case,)))
    assert len(lives) == case.lives
    assert trial.why == ("it did not do the same again" if strays else "")
