"""The rows about relays run, small, on our side alone; and all relays that are here do one of them."""

import json

import pytest

from bench import relays, texts
from bench.relays import SDK, absence
from bench.rows import RELAYS, ROWS
from tests.bench.test_bench import bench
from tests.nostr.relays import NPM, PYPI


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    build = tmp_path_factory.mktemp("bench")
    done = bench("--quick", "--ours", "--build", str(build), "--only", RELAYS)
    assert done.returncode == 0, done.stderr
    return json.loads((build / "bench.json").read_text())


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.family == RELAYS], ids=lambda row: row.name
)
def test_a_row_runs(measured, row):
    [found] = [kept for kept in measured["rows"] if kept["name"] == row.name]
    assert set(found["values"]) == {name for name in row.sides if name.startswith("ours")}
    assert all(len(values) == 1 and values[0] > 0 for values in found["values"].values())


@pytest.mark.parametrize("name", [PYPI, NPM, SDK])
def test_another_relay_is_asked_the_same(name, tmp_path, capsys):
    if why := absence(name):
        pytest.skip(why)
    texts.write(tmp_path / "texts", 40)
    (tmp_path / "run").mkdir()
    relays.main(name, "relay-lookup", str(tmp_path / "run"), "40", str(tmp_path / "texts"))
    found = json.loads(capsys.readouterr().out)
    assert found["count"] == 40
    assert found["value"] > 0
