from tests.node.conftest import born, born_seed, place, seeds  # noqa: F401 - fixtures
