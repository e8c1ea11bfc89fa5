"""Every metric of a trial: its name, unit and sentence, what it needs, its formula, and how Prometheus has it. Pure.

docs/metrics.md, docs/prometheus.md and the exporter are made from `METRICS`. A new metric is a line here, with its
formula, or a function beside it; where it needs a new count, that is a line in `totals/totals.py` and one in
`aggregate/arrays.py`.
"""

from typing import Any

from shadowbus.records import SHADOW_FAILURES
from shadowbus.summary.answers import agreement, distance, features, live_errors, noise
from shadowbus.summary.coverage import coverage
from shadowbus.summary.decision_value import decision_value
from shadowbus.summary.labelled import RIGHT, accuracy, auc, brier, calibration, f1, log_loss, mae, rmse, truth
from shadowbus.summary.latency import against_control, latency_difference, live_latency, shadow_latency
from shadowbus.summary.metric import Gauge, Metric
from shadowbus.summary.predictions import confusion, predictions
from shadowbus.summary.resources import resources
from shadowbus.summary.view import Beside, SummaryOptions, TotalsView
from shadowbus.totals.totals import Totals

RATE = "value, low, high, n"
PAIR = "live, shadow, difference, low, high, n"
QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}


def summarize(totals: Totals, options: SummaryOptions, beside: Beside | None = None) -> dict[str, Any]:
    """What people read of some totals, by metric.

    Args:
        totals: The totals of a trial, segment and window.
        options: How they are read.
        beside: What a whole trial has beside its totals. None: they are of a segment or a window.
    """
    view = TotalsView(totals, options, beside)
    shown = {"windows"} | ({"segments"} if options.heavy else set()) | (set() if beside is None else {"trial"})
    return {metric.name: metric.read(view) for metric in METRICS if metric.where in shown}


def _interval(name: str) -> tuple[Gauge, Gauge]:
    return (
        Gauge(name.format("low"), "The lower end of its interval.", "low"),
        Gauge(name.format("high"), "The upper end of its interval.", "high"),
    )


def _quantiles(side: str) -> tuple[Gauge, ...]:
    return tuple(
        Gauge(
            "shadowbus_latency_seconds",
            "Latency of both models, by quantile.",
            path,
            {"side": side, "quantile": quantile},
            1000.0,
        )
        for path, quantile in QUANTILES.items()
    )


ANSWERS = (
    Metric(
        "requests",
        "Comparisons whose request was there, whatever their status.",
        lambda view: view.requests,
        unit="requests",
        gauges=(Gauge("shadowbus_trial_requests", "Requests that the shadow was asked.", ""),),
    ),
    Metric(
        "trained_on",
        (
            "Compared requests from before the shadow's training ended, and their labels: they count for errors and"
            " latency only."
        ),
        lambda view: {"requests": view.count("trained_on"), "labels": view.count("labels_trained_on")},
        unit="requests, labels",
        fields="requests, labels",
    ),
    Metric(
        "agreement",
        "Both answers are the same, among those where both models answered and can be compared.",
        agreement,
        unit="share",
        fields=RATE,
        gauges=(
            Gauge("shadowbus_agreement_ratio", "The share of answers that are the live model's."),
            *_interval("shadowbus_agreement_{}_ratio"),
        ),
    ),
    Metric(
        "before_it_ran",
        (
            "Requests from before the shadow [began to run](verdict.md#what-is-in-the-way): not in `errors`. 0 but "
            "for the whole trial."
        ),
        lambda view: view.early,
        unit="requests",
    ),
    Metric(
        "errors",
        "The shadow gave no answer, or an error, whatever the reason.",
        lambda view: view.rate(view.failed, view.ran, view.requests - view.early),
        unit="share of requests",
        fields=RATE,
        gauges=(
            Gauge("shadowbus_error_ratio", "The share of requests to which the shadow gave no answer."),
            *_interval("shadowbus_error_{}_ratio"),
        ),
    ),
    Metric(
        "timeouts",
        "The part of `errors` in which the shadow took longer than its `timeout_ms`.",
        lambda view: view.rate(view.scaled["shadow_timeout"], view.asked, view.requests),
        unit="share of requests",
        fields=RATE,
        gauges=(Gauge("shadowbus_timeout_ratio", "The part of the errors that were timeouts, of all requests."),),
    ),
    Metric(
        "failures",
        "`errors`, by the status of the comparison.",
        lambda view: {name: view.count(name) for name in SHADOW_FAILURES},
        unit="requests",
        fields=", ".join(SHADOW_FAILURES),
    ),
    Metric(
        "live_errors",
        "The champion's answer was an error; `low` and `high` are always null.",
        live_errors,
        unit="share of live answers",
        fields=RATE,
        gauges=(Gauge("shadowbus_live_error_ratio", "The share of the champion's answers that were errors."),),
    ),
    Metric(
        "noise",
        (
            "Answers of the control (`shadow.control`), which is the champion itself, that differ all the same: the"
            " floor of disagreement."
        ),
        noise,
        unit="share",
        fields=RATE,
        where="trial",
        needs="a control",
        gauges=(
            Gauge(
                "shadowbus_control_noise_ratio",
                "The share of the control's answers that differ from the champion's, which it is: the floor of "
                "disagreement.",
            ),
        ),
    ),
    Metric(
        "distance",
        "The mean distance of the two answers.",
        distance,
        unit="as the [task](answers.md) has it",
        fields="value, n",
    ),
    Metric(
        "confusion",
        (
            "Live answer by shadow answer: `counts[i][j]` is how often the live model said `classes[i]` and the "
            "shadow `classes[j]`; null for other tasks."
        ),
        lambda view: confusion(view.totals.detailed),
        unit="requests",
        fields="classes, counts, n",
        where="segments",
        needs="classes",
    ),
    Metric(
        "features",
        "What the model reads and the requests had; see below.",
        features,
        where="segments",
    ),
    Metric(
        "predictions",
        "How often each answer comes, on both sides; see below.",
        lambda view: predictions(view.totals.detailed),
        where="segments",
        needs="classes or numbers",
        gauges=(
            Gauge("shadowbus_prediction_shift_psi", "How far the two models' answers are distributed apart.", "psi"),
        ),
    ),
)

TIME = (
    Metric(
        "live_latency_ms",
        (
            "Quantiles, from a sketch whose ranks are right to within 1.3 points. `timed` is what live latencies "
            "are of (`exchange`, `call`, `model`; null where that is not known, or not the same of all)."
        ),
        live_latency,
        unit="ms",
        fields="p50, p95, p99, n, timed",
        gauges=_quantiles("live"),
    ),
    Metric(
        "shadow_latency_ms",
        "The same of the shadow, only of rows that were predicted one at a time.",
        shadow_latency,
        unit="ms",
        fields="p50, p95, p99, n",
        gauges=_quantiles("shadow"),
    ),
    Metric(
        "over_budget",
        "Shadow latencies over the budget, of those measured.",
        lambda view: view.rate(view.scaled["over_budget"], view.scaled["latency_rows"], view.count("latency_rows")),
        unit="share",
        fields=RATE,
        needs="`gate.latency_budget_ms`",
        gauges=(Gauge("shadowbus_over_budget_ratio", "The share of latencies over the budget."),),
    ),
    Metric(
        "latency_difference_ms",
        (
            "Shadow minus live of the same request, where both timed the same (`timed`, see "
            "[capture](capture.md#what-is-timed)): mean and quantiles (null in windows)."
        ),
        latency_difference,
        unit="ms",
        fields=f"{RATE}, p50, p95, p99",
    ),
    Metric(
        "against_control",
        (
            "Shadow minus [control](verdict.md#slower-than-the-control) of rows that both were asked alone, and how"
            " many times as long it took (geometric mean, ratios up to 16)."
        ),
        against_control,
        unit="ms, times",
        fields=f"difference_ms: {{{RATE}}}, times_as_long, n",
        where="trial",
        needs="a control",
    ),
    Metric(
        "resources",
        "Of the shadow's model processes that are alive; see below.",
        lambda view: resources({} if view.beside is None else view.beside.vitals),
        where="trial",
        needs="replay's vitals",
    ),
)

LABELS = (
    Metric(
        "labels",
        "Labels that met their comparison.",
        lambda view: view.count("labels"),
        unit="labels",
        needs="labels",
        gauges=(Gauge("shadowbus_trial_labels", "Labels that met their comparison.", ""),),
    ),
    Metric(
        "right",
        "Who was right.",
        lambda view: {name: view.count(name) for name in RIGHT},
        unit="labels",
        fields=", ".join(RIGHT),
        needs="labels",
    ),
    Metric(
        "accuracy",
        "Right answers of both sides; the interval is of the difference.",
        accuracy,
        unit="share of labels",
        fields=PAIR,
        needs="labels",
        gauges=(
            *(
                Gauge(
                    "shadowbus_accuracy_ratio",
                    "The share of right answers among those with a label.",
                    side,
                    {"side": side},
                )
                for side in ("live", "shadow")
            ),
            Gauge(
                "shadowbus_accuracy_difference",
                "Accuracy of the shadow minus that of the live model.",
                "difference",
            ),
            *_interval("shadowbus_accuracy_difference_{}"),
        ),
    ),
    Metric(
        "coverage",
        "How many compared requests have their label; see below.",
        lambda view: coverage(view.totals),
        needs="labels",
        gauges=(Gauge("shadowbus_label_coverage_ratio", "The share of compared requests that have their label."),),
    ),
    Metric(
        "loss_difference",
        "Mean loss of the shadow minus that of the live model.",
        lambda view: view.mean(view.totals.loss),
        unit="as the [task](answers.md) has it",
        fields=RATE,
        needs="labels",
    ),
    Metric(
        "log_loss",
        "Mean of minus the logarithm of the label's probability (at least 1e-15), where both sides gave probabilities.",
        log_loss,
        unit="nats",
        fields=PAIR,
        where="segments",
        needs="labels, scores",
    ),
    Metric(
        "brier",
        (
            "Mean squared error of the probabilities: of two classes (p - y)² of the event, of more the sum over "
            "all classes."
        ),
        brier,
        fields=PAIR,
        where="segments",
        needs="labels, scores",
    ),
    Metric(
        "auc",
        (
            "Area under the ROC curve, of two classes; from histograms of scores, so each side is right to within "
            "its part of `slack` `{live, shadow}`."
        ),
        auc,
        unit="0 to 1",
        fields="live, shadow, difference, slack, n",
        where="segments",
        needs="labels, scores",
    ),
    Metric(
        "f1",
        ('Of two classes that of the `event` (`average: "binary"`), of more the mean over the classes (`"macro"`).'),
        f1,
        unit="0 to 1",
        fields="live, shadow, difference, average, event, n",
        where="segments",
        needs="labels, classes",
    ),
    Metric(
        "calibration",
        "Whether 80 % means 80 %; see below.",
        calibration,
        fields="live, shadow, difference, of, n",
        where="segments",
        needs="labels, scores",
    ),
    Metric(
        "truth",
        (
            "Two tables, label by answer: `live[i][j]` is how often it was `classes[i]` and the live model said "
            "`classes[j]`."
        ),
        truth,
        unit="labels",
        fields="classes, live, shadow, n",
        where="segments",
        needs="labels, classes",
    ),
    Metric(
        "mae",
        "Mean absolute error.",
        mae,
        unit="the answer's",
        fields=PAIR,
        where="segments",
        needs="labels, numbers",
    ),
    Metric(
        "rmse",
        "Root of the mean squared error.",
        rmse,
        unit="the answer's",
        fields="live, shadow, difference, n",
        where="segments",
        needs="labels, numbers",
    ),
    Metric(
        "value",
        "What the decisions are worth; see below.",
        lambda view: decision_value(view.totals, view.options.costs, view.ends),
        unit="cost unit per label",
        needs="labels, `[[cost]]`",
        gauges=(Gauge("shadowbus_value_per_label", "What the shadow's decisions are worth more, by the cost matrix."),),
    ),
)

PARTS = {"answers": ANSWERS, "time": TIME, "labels": LABELS}
"""The tables of docs/metrics.md."""

METRICS = tuple(metric for part in PARTS.values() for metric in part)
