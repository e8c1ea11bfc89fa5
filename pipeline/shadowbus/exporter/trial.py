"""Trials as Prometheus reads them: the verdict, its criteria, and what docs/metrics.md calls the summary."""

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from shadowbus.exporter.families import Sample, families, numbers, states
from shadowbus.exporter.trials import ALL, Shown, Trial, Trials
from shadowbus.verdict.criterion import State, Verdict

VERDICTS, STATES = get_args(Verdict), get_args(State)
QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}
SIDES = ("live", "shadow")


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
        return families(samples)


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
    agreement, errors, accuracy = (_part(summary, name) for name in ("agreement", "errors", "accuracy"))
    yield from numbers(
        labels,
        {
            "shadowbus_trial_requests": summary.get("requests"),
            "shadowbus_trial_labels": summary.get("labels"),
            "shadowbus_agreement_ratio": agreement.get("value"),
            "shadowbus_agreement_low_ratio": agreement.get("low"),
            "shadowbus_agreement_high_ratio": agreement.get("high"),
            "shadowbus_error_ratio": errors.get("value"),
            "shadowbus_error_low_ratio": errors.get("low"),
            "shadowbus_error_high_ratio": errors.get("high"),
            "shadowbus_timeout_ratio": _part(summary, "timeouts").get("value"),
            "shadowbus_live_error_ratio": _part(summary, "live_errors").get("value"),
            "shadowbus_over_budget_ratio": _part(summary, "over_budget").get("value"),
            "shadowbus_accuracy_difference": accuracy.get("difference"),
            "shadowbus_accuracy_difference_low": accuracy.get("low"),
            "shadowbus_accuracy_difference_high": accuracy.get("high"),
            "shadowbus_label_coverage_ratio": _part(summary, "coverage").get("value"),
            "shadowbus_prediction_shift_psi": _part(summary, "predictions").get("psi"),
            "shadowbus_value_per_label": _part(summary, "value").get("value"),
        },
    )
    for side in SIDES:
        yield from numbers((*labels, side), {"shadowbus_accuracy_ratio": accuracy.get(side)})
        latency = _part(summary, f"{side}_latency_ms")
        for field, quantile in QUANTILES.items():
            if isinstance(found := latency.get(field), int | float):
                yield "shadowbus_latency_seconds", (*labels, side, quantile), found / 1000


def _whole(name: str, record: Shown) -> Iterator[Sample]:
    books = _part(record, "books")
    fields = {"gap": "shadowbus_books_gap", "settled": "shadowbus_books_settled", "share": "shadowbus_trial_share"}
    yield from numbers((name,), {metric: books.get(field) for field, metric in fields.items()})
    noise = _part(_part(record, "summary"), "noise").get("value")
    yield from numbers((name,), {"shadowbus_control_noise_ratio": noise})
    for status, count in _part(_part(record, "totals"), "statuses").items():
        yield from numbers((name, status), {"shadowbus_trial_comparisons_total": count})


def _part(record: Shown, name: str) -> dict[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}
