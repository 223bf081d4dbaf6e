"""Prepared homes, made once for the folder and copied for each test."""

import pytest

from .world import Home


@pytest.fixture(scope="session")
def seeds(tmp_path_factory):
    """Where the prepared homes lie; nobody runs anything in them."""
    return tmp_path_factory.mktemp("seeds")


@pytest.fixture(scope="session")
def born_seed(seeds):
    """An agent that was born and never started."""
    home = Home(seeds / "born").configure()
    home.run("init").good()
    return home


@pytest.fixture(scope="session")
def lived_seed(seeds, born_seed):
    """An agent that ran, talked and was stopped."""
    home = born_seed.copy(seeds / "lived")
    with home.running() as node:
        node.say("the roof needs new tiles before winter")
        node.say("the blue kettle whistles in b flat")
        node.say("my sister Ada lives in Leipzig", author="bob", conversation="letters")
        node.say("a long letter. " * 2000, author="bob", conversation="letters")
        node.say("and bring marmalade")
    return home


@pytest.fixture
def place(tmp_path):
    """Make further homes; what still runs in them is killed at the end of the test."""
    made = []

    def make(name, **options):
        made.append(Home(tmp_path / name, **options))
        return made[-1]

    yield make
    for home in made:
        home.end()


@pytest.fixture
def fresh(tmp_path):
    """A user's machine on which nothing was done."""
    home = Home(tmp_path / "fresh")
    yield home
    home.end()


@pytest.fixture
def born(born_seed, tmp_path):
    home = born_seed.copy(tmp_path / "born")
    yield home
    home.end()


@pytest.fixture
def lived(lived_seed, tmp_path):
    home = lived_seed.copy(tmp_path / "lived")
    yield home
    home.end()
