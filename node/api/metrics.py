"""Prometheus metrics, in a registry of this node's own: counts and sizes, never words."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

Readings = Callable[[], dict[str, tuple[str, float]]]
"""Name -> (help, value), read at each scrape."""


class _Node(Collector):
    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        """Read everything once."""
        for name, (about, value) in self._readings().items():
            gauge = GaugeMetricFamily(f"timmy_{name}", about)
            gauge.add_metric([], value)
            yield gauge


def registry(readings: Readings) -> CollectorRegistry:
    """Return a registry that reads the node at each scrape."""
    found = CollectorRegistry()
    found.register(_Node(readings))
    return found
