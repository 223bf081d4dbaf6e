"""A born agent, made once for the folder and copied for each test."""

import pytest

from tests.node.world import Home


@pytest.fixture(scope="session")
def newborn(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("redaction") / "born").configure()
    home.run("init").good()
    return home


@pytest.fixture
def born(newborn, tmp_path, monkeypatch):
    """A home whose processes put temporary files below `tmp_path`, where they are scanned too."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    home = newborn.copy(tmp_path / "machine")
    yield home
    home.end()
