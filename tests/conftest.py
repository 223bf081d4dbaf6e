"""What every test gets: hypothesis profiles that never look at a clock, and the long files first."""

from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import HealthCheck, settings

LONG = ("torture", "salvage", "node", "redaction", "e2e", "attacks", "genesis_judge", "bench")
"""Folders whose tests start processes: begun first, or one worker ends long after the others."""


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent

    def rank(item) -> int:
        folder = item.path.relative_to(here).parts[0]
        return LONG.index(folder) if folder in LONG else len(LONG)

    items.sort(key=rank)


@pytest.fixture
def unmeasured():
    """Measure no coverage meanwhile, for a test that does a thousand times what others do once.

    A traced line costs two to four times a plain one.
    """
    coverage = Coverage.current()
    if coverage is not None:
        coverage.stop()
    yield
    if coverage is not None:
        coverage.start()


settings.register_profile(  # hypothesis alone would take the same examples each time where CI is set
    "suite",
    derandomize=False,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,  # by chance once in many runs, with what passed in all others
    ],
)
settings.load_profile("suite")
