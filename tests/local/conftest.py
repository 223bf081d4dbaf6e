"""A tiny model with random weights, made when it is needed, and what runs it: `make local`."""

import importlib.util
import os

import pytest

from tests.node.conftest import born, born_seed, lived, lived_seed, place, seeds

from .gguf_files import tiny

__all__ = ["born", "born_seed", "lived", "lived_seed", "place", "seeds"]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The file of a tiny model that can be run here."""
    if importlib.util.find_spec("llama_cpp") is None:
        if os.environ.get("TIMMY_WITHOUT_LOCAL") and not os.environ.get("CI"):
            pytest.skip("TIMMY_WITHOUT_LOCAL: the local model was not built")
        pytest.fail("the local model was not built: make local, or TIMMY_WITHOUT_LOCAL=1")
    return tiny(tmp_path_factory.mktemp("models") / "tiny.gguf")
