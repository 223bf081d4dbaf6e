"""The sandbox proves itself by its attacks, once a boot; nothing is attacked without a sandbox."""

import json
from pathlib import Path

import pytest

from runtime import selftest
from runtime.sandbox import Engine
from runtime.selftest import attack, mounted_below, trusted
from tests.sandbox.engines import ENGINES

EVALUATOR = bytes(32)
WELL = (
    "36 35 98:0 / {} rw,noatime master:1 - ext4 /dev/root rw\n"
    "37 35 98:0 / /proc rw shared:2 - proc proc rw\n"
)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda one: one.value)
async def test_nothing_gets_out_and_what_passed_is_kept_for_this_boot(
    engine, tmp_path, monkeypatch
):
    kept = tmp_path / "trials.json"
    found = await trusted(engine, evaluator=EVALUATOR, kept=kept)
    assert (found.escapes, found.fault) == ((), "")
    assert found.passed
    assert found.holds is engine
    assert found.tried > 45
    assert kept.stat().st_mode & 0o777 == 0o600
    again = await trusted(engine, evaluator=EVALUATOR, kept=kept)
    assert again.kept
    assert again.passed

    async def tried_anew(_engine, *, boot, sources):
        return selftest.SelfTest(engine=engine, boot=boot, sources=sources, tried=0, fault="anew")

    monkeypatch.setattr(selftest, "attack", tried_anew)
    other_judge = await trusted(engine, evaluator=bytes([1]) * 32, kept=kept)
    assert other_judge.fault == "anew"
    assert other_judge.holds is Engine.NONE
    kept.chmod(0o644)
    assert (await trusted(engine, evaluator=EVALUATOR, kept=kept)).fault == "anew"
    kept.chmod(0o600)
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"boot": "another"}))
    assert (await trusted(engine, evaluator=EVALUATOR, kept=kept)).fault == "anew"


async def test_without_an_engine_nothing_is_attacked_and_nothing_trusted():
    with pytest.raises(ValueError, match="never made without a sandbox"):
        await attack(Engine.NONE)
    found = await trusted(Engine.NONE, evaluator=EVALUATOR)
    assert not found.passed
    assert found.holds is Engine.NONE
    assert found.reason == "no sandbox engine works here"


def test_who_got_out_is_named_and_nothing_is_trusted_then():
    found = selftest.SelfTest(
        engine=Engine.BUBBLEWRAP, boot="b", sources="s", tried=50, escapes=("fork",)
    )
    assert not found.passed
    assert found.reason == "bubblewrap did not hold: fork"


@pytest.mark.parametrize(
    ("point", "below"),
    [("/tmp/a", True), ("/tmp/a/house", True), ("/tmp/ab", False), ("/tmp", False)],
)
def test_a_folder_in_which_something_is_mounted_is_known(point, below):
    assert mounted_below(Path("/tmp/a"), WELL.format(point)) is below


def test_the_folder_is_left_if_something_is_mounted_in_it(tmp_path, monkeypatch):
    """Its removal would empty what is mounted there: a table says so, nothing is mounted here."""
    table = tmp_path / "mountinfo"
    monkeypatch.setattr(selftest, "MOUNTS", table)
    monkeypatch.setattr(selftest.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="unmount it by hand"), selftest._folder() as folder:
        (folder / "house").mkdir()
        table.write_text(WELL.format(folder / "house"))
    assert (folder / "house").is_dir()
