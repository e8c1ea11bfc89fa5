"""The part of a summary that rests on labels and is not in windows: probabilities, classes, errors of numbers. Pure."""

import math
from collections.abc import Callable
from typing import Any

from shadowbus.statistics.moments import CorrectedMoments, Moments
from shadowbus.summary.confusion_layout import matrix, shown_classes
from shadowbus.summary.quality import auc_of, calibration_of, event_of, f1_of
from shadowbus.totals.detailed import DetailedTotals

Ends = Callable[[Moments], dict[str, float | None]]
"""The `low` and `high` of a mean."""


def labelled(details: DetailedTotals, loss: CorrectedMoments, ends: Ends) -> dict[str, Any]:
    """The fields from `log_loss` to `rmse` of docs/metrics.md.

    Args:
        details: Of a trial or segment.
        loss: By how much the shadow's loss exceeds the live one.
        ends: Works out intervals.
    """
    return {
        "log_loss": _pair(details.live_log_loss, details.log_loss, ends),
        "brier": _pair(details.live_brier, details.brier, ends),
        "auc": _auc(details),
        "f1": _f1(details),
        "calibration": _calibration(details),
        "truth": _truth(details),
        **_errors(details, loss, ends),
    }


def _pair(live: CorrectedMoments, difference: CorrectedMoments, ends: Ends) -> dict[str, Any]:
    found = difference.left
    if not found.n:
        return {"live": None, "shadow": None, "difference": None, "low": None, "high": None, "n": 0}
    both = {"live": live.mean, "shadow": live.mean + found.mean, "difference": found.mean}
    return {**both, **ends(found), "n": found.n}


def _auc(details: DetailedTotals) -> dict[str, Any]:
    (live, slack), (shadow, others) = auc_of(details.live_scores), auc_of(details.shadow_scores)
    return {**_sides(live, shadow), "slack": {"live": slack, "shadow": others}, "n": _scored(details)}


def _f1(details: DetailedTotals) -> dict[str, Any]:
    live, shadow = details.live_truth.weights(), details.shadow_truth.weights()
    event = event_of(live, shadow)
    average = None if not live else "macro" if event is None else "binary"
    sides = _sides(f1_of(live, event), f1_of(shadow, event))
    return {**sides, "average": average, "event": event, "n": details.live_truth.total}


def _calibration(details: DetailedTotals) -> dict[str, Any]:
    live, shadow = calibration_of(details.live_scores), calibration_of(details.shadow_scores)
    difference = shadow["error"] - live["error"] if live and shadow else None
    of = None if not live else "answer" if details.live_scores.curve is None else "event"
    return {"live": live, "shadow": shadow, "difference": difference, "of": of, "n": _scored(details)}


def _scored(details: DetailedTotals) -> int:
    return 0 if details.live_scores.parts is None else int(details.live_scores.parts[:, 0].sum())


def _truth(details: DetailedTotals) -> dict[str, Any] | None:
    live, shadow = details.live_truth, details.shadow_truth
    if not live and not shadow:
        return None
    classes = shown_classes(live.weights(), shadow.weights())
    tables = {"live": matrix(live.counts, classes), "shadow": matrix(shadow.counts, classes)}
    return {"classes": classes, **tables, "n": live.total}


def _errors(details: DetailedTotals, loss: CorrectedMoments, ends: Ends) -> dict[str, Any]:
    """Mean absolute and root mean squared error: of numbers the loss is the absolute error."""
    if not details.live_answers:
        return {"mae": _pair(CorrectedMoments(), CorrectedMoments(), ends), "rmse": {**_sides(None, None), "n": 0}}
    live, shadow = _root(details.live_loss.left), _root(details.shadow_loss.left)
    return {"mae": _pair(details.live_loss, loss, ends), "rmse": {**_sides(live, shadow), "n": details.live_loss.n}}


def _root(absolute: Moments) -> float | None:
    return math.sqrt(absolute.mean**2 + absolute.m2 / absolute.weight) if absolute.n else None


def _sides(live: float | None, shadow: float | None) -> dict[str, float | None]:
    difference = None if live is None or shadow is None else shadow - live
    return {"live": live, "shadow": shadow, "difference": difference}
