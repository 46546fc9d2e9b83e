"""Declare metrics: with their prefix, and with every value of every label from the start.

A series that appears with its first event starts at 1, and ``increase()`` sees no rise; so an alert would miss the
first event of each kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, Final, Generic, TypeVar, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

PREFIX: Final = "exmail_bridge_"

Value = TypeVar("Value")
Kind = TypeVar("Kind", Counter, Gauge, Histogram)


class Closed(Generic[Value, Kind]):
    """A metric whose labels have closed sets of values: every child exists from the start, and there are no others.

    ``metric[value]`` is a child; with several labels, ``metric[value, value]``.
    """

    def __init__(self, metric: Kind, sets: Sequence[Any]) -> None:
        """``sets``: for each label a ``Literal`` of what it may say."""
        self._children: dict[Any, Kind] = {}
        for values in product(*map(get_args, sets)):
            self._children[values if len(sets) > 1 else values[0]] = metric.labels(*map(str, values))

    def __getitem__(self, value: Value) -> Kind:
        return self._children[value]


class Declaring:
    """Declares metrics on a registry, or on none. A label is given the ``Literal`` of what it may say."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self._registry = registry

    def gauge(self, name: str, help_text: str) -> Gauge:
        return Gauge(PREFIX + name, help_text, registry=self._registry)

    def gauges(self, name: str, help_text: str, **labels: Any) -> Closed[Any, Gauge]:
        gauge = Gauge(PREFIX + name, help_text, list(labels), registry=self._registry)
        return Closed(gauge, list(labels.values()))

    def counter(self, name: str, help_text: str) -> Counter:
        return Counter(PREFIX + name, help_text, registry=self._registry)

    def counters(self, name: str, help_text: str, **labels: Any) -> Closed[Any, Counter]:
        counter = Counter(PREFIX + name, help_text, list(labels), registry=self._registry)
        return Closed(counter, list(labels.values()))

    def histogram(self, name: str, help_text: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(PREFIX + name, help_text, buckets=buckets, registry=self._registry)

    def histograms(self, name: str, help_text: str, buckets: Sequence[float], **labels: Any) -> Closed[Any, Histogram]:
        histogram = Histogram(PREFIX + name, help_text, list(labels), buckets=buckets, registry=self._registry)
        return Closed(histogram, list(labels.values()))


class Page(Collector):
    """A registry as it is scraped: each series with the ``labels`` that all of them have, and without the ``_created``
    series, which nobody reads and which double the page."""

    def __init__(self, registry: CollectorRegistry, labels: dict[str, str]) -> None:
        self._registry = registry
        self._labels = labels

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [
                sample._replace(labels=self._labels | sample.labels)
                for sample in metric.samples
                if not sample.name.endswith("_created")
            ]
            yield metric
