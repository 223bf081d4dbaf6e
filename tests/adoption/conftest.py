"""Homes with something that may be adopted, made once and copied for each test."""

import pytest

from tests.adoption.world import CALLS, FIVEFOLD, KINDLY, LOOP, PASSAGE, QUICK, WORSE, granted
from tests.node.world import SETTINGS, Home


@pytest.fixture(scope="session")
def seeds(tmp_path_factory):
    return tmp_path_factory.mktemp("adoptions")


def _seed(place, *changes):
    home = Home(place).configure(SETTINGS + QUICK)
    home.run("init", "--kit", str(home.root / "kit.txt")).good()
    return home, granted(home, *changes)


@pytest.fixture(scope="session")
def kind_seed(seeds):
    return _seed(seeds / "kind", ("runtime/agent/prompt.py", *KINDLY))


@pytest.fixture(scope="session")
def worse_seed(seeds):
    return _seed(seeds / "worse", (LOOP, PASSAGE, WORSE), (LOOP, CALLS, FIVEFOLD))


def _copy(seed, tmp_path):
    home, position = seed
    return home.copy(tmp_path / "home"), position


@pytest.fixture
def home(born, tmp_path):
    """A copy of the home that a module has `born`."""
    made = born.copy(tmp_path / "home")
    yield made
    made.end()


@pytest.fixture
def kind(kind_seed, tmp_path):
    """A home and the position of an approved proposal that does no harm."""
    home, position = _copy(kind_seed, tmp_path)
    yield home, position
    home.end()


@pytest.fixture
def worse(worse_seed, tmp_path):
    """The same with one that crashes, fails, harms or dawdles at some words."""
    home, position = _copy(worse_seed, tmp_path)
    yield home, position
    home.end()


@pytest.fixture
def place_of(tmp_path):
    """Make further homes; what still runs in them is killed at the end of the test."""
    made = []

    def make(name):
        made.append(Home(tmp_path / name))
        return made[-1]

    yield make
    for home in made:
        home.end()
