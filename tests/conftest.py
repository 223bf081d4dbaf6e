"""What every test gets: hypothesis profiles that never look at a clock, and the long files first."""

from pathlib import Path

from hypothesis import HealthCheck, settings

LONG = ("torture", "salvage", "node", "redaction", "e2e", "attacks", "genesis_judge", "bench")
"""Folders whose tests start processes: begun first, or one worker ends long after the others."""


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent

    def rank(item) -> int:
        folder = item.path.relative_to(here).parts[0]
        return LONG.index(folder) if folder in LONG else len(LONG)

    items.sort(key=rank)


settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("suite")
