"""Trials as Prometheus reads them: the verdict, its criteria, and what docs/metrics.md calls the summary."""

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from shadowbus.exporter.families import Sample, families, numbers, states
from shadowbus.exporter.metrics import TRIALS, Exported
from shadowbus.exporter.trials import ALL, Shown, Trial, Trials
from shadowbus.summary.metrics import METRICS
from shadowbus.verdict.criterion import State, Verdict

VERDICTS, STATES = get_args(Verdict), get_args(State)


def _of_summaries() -> Iterator[Exported]:
    """The metrics of summaries; the segment `all` is the whole trial."""
    for metric in METRICS:
        whose = ("trial",) if metric.where == "trial" else ("trial", "segment")
        for gauge in metric.gauges:
            yield Exported(gauge.name, "gauge", (*whose, *gauge.labels), gauge.says)


OF_TRIALS = {metric.name: metric for metric in (*TRIALS, *_of_summaries())}


class TrialCollector(Collector):
    """Reads what was published whenever it is asked to."""

    def __init__(self, trials: Trials) -> None:
        self.trials = trials

    def collect(self) -> Iterable[Family]:
        """All metrics of the trials that are shown."""
        trials, left_out = self.trials.shown()
        samples: list[Sample] = [("shadowbus_trials_left_out", (), left_out)]
        for name, trial in trials.items():
            try:
                samples += list(_trial(name, trial))
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                samples.append(("shadowbus_trial_fault", (name,), 1.0))  # of this one; the others are shown
        return families(samples, OF_TRIALS)


def _trial(name: str, trial: Trial) -> Iterator[Sample]:
    segments, criteria = trial.shown_segments(), trial.shown_criteria()
    if trial.verdict:
        yield from _verdict(name, trial.verdict)
        left_out = len(trial.verdict.get("criteria", ())) - len(criteria)
        yield "shadowbus_criteria_left_out", (name,), left_out
    for criterion in criteria:
        yield from _criterion((name, str(criterion["name"])), criterion)
    yield "shadowbus_segments_left_out", (name,), len(trial.segments) - len(segments)
    for segment, record in segments.items():
        yield from _summary((name, segment), record.get("summary") or {})
    if ALL in segments:
        yield from _whole(name, segments[ALL])


def _verdict(name: str, verdict: Shown) -> Iterator[Sample]:
    yield from states("shadowbus_verdict", (name,), VERDICTS, str(verdict.get("verdict")))
    yield "shadowbus_trial_fault", (name,), float(bool(verdict.get("fault")))
    needed = _part(verdict, "needed")
    decided_ms = verdict.get("decided_ms")
    yield from numbers(
        (name,),
        {
            "shadowbus_verdict_decided_timestamp_seconds": decided_ms / 1000 if isinstance(decided_ms, int) else None,
            "shadowbus_needed_requests": needed.get("requests"),
            "shadowbus_needed_labels": needed.get("labels"),
        },
    )


def _criterion(labels: tuple[str, str], criterion: Shown) -> Iterator[Sample]:
    yield from states("shadowbus_criterion_state", labels, STATES, str(criterion.get("state")))
    yield from numbers(
        labels, {f"shadowbus_criterion_{name}": criterion.get(name) for name in ("value", "low", "high", "limit")}
    )


def _summary(labels: tuple[str, str], summary: Shown) -> Iterator[Sample]:
    for metric in METRICS:
        if metric.where == "trial" and labels[1] != ALL:
            continue
        shown = summary.get(metric.name)
        for gauge in metric.gauges:
            found = shown.get(gauge.path) if gauge.path and isinstance(shown, dict) else shown
            if isinstance(found, int | float):
                whose = labels[:1] if metric.where == "trial" else labels
                yield gauge.name, (*whose, *gauge.labels.values()), found / gauge.divisor


def _whole(name: str, record: Shown) -> Iterator[Sample]:
    books = _part(record, "books")
    fields = {"gap": "shadowbus_books_gap", "settled": "shadowbus_books_settled", "share": "shadowbus_trial_share"}
    yield from numbers((name,), {metric: books.get(field) for field, metric in fields.items()})
    for status, count in _part(_part(record, "totals"), "statuses").items():
        yield from numbers((name, status), {"shadowbus_trial_comparisons_total": count})


def _part(record: Shown, name: str) -> dict[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}
