"""Metrics by their names, filled with samples, in the shape that the Prometheus client takes."""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family

from shadowbus.exporter.metrics import OF_WORKERS, Exported

Sample = tuple[str, tuple[str, ...], float]
"""A metric's name, the values of its labels in the order of the table, and its value."""


def families(samples: Iterable[Sample], table: Mapping[str, Exported]) -> list[Family]:
    """One family for each metric among these samples.

    Args:
        samples: What is exported now.
        table: The metrics by name.

    Raises:
        KeyError: A metric is not in the table.
        ValueError: Not as many label values as the table has labels.
    """
    found: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    newest = {(name, labels): value for name, labels, value in samples}  # Prometheus refuses all where one comes twice
    for (name, labels), value in newest.items():
        metric = table[name]
        if name not in found:
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            found[name] = kind(name, metric.says, labels=metric.labels)
        if len(labels) != len(metric.labels):
            raise ValueError(f"{name} has the labels {metric.labels}, not {labels}")
        found[name].add_metric(labels, value)
    return list(found.values())


def histogram(name: str, labels: Sequence[str], bounds: Sequence[float], counts: Sequence[int], total: float) -> Family:
    """A histogram; `counts` are those of each bucket alone, the last one beyond all bounds."""
    metric, sums, seen = OF_WORKERS[name], list[tuple[str, float]](), 0
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        seen += count
        sums.append((bound, seen))
    family = HistogramMetricFamily(name, metric.says, labels=metric.labels)
    family.add_metric(labels, sums, total)
    return family


def states(name: str, labels: tuple[str, ...], words: Iterable[str], standing: str) -> Iterable[Sample]:
    """A state as a sample for each word: 1 for the one that stands, also where it is a new word."""
    known = tuple(words)
    for word in known if standing in known else (*known, standing):
        yield name, (*labels, word), float(word == standing)


def numbers(labels: tuple[str, ...], values: Mapping[str, object]) -> Iterable[Sample]:
    """Samples of what is a number; null was not seen, and is left out."""
    for name, value in values.items():
        if isinstance(value, int | float):
            yield name, labels, float(value)
