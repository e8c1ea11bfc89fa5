"""What rests on labels: who was right, losses, probabilities, classes, errors of numbers. Pure."""

import math
from typing import Any

from shadowbus.statistics.contingency_table import event_of, f1_of
from shadowbus.statistics.moments import CorrectedMoments, Moments
from shadowbus.summary.confusion_layout import matrix, shown_classes
from shadowbus.summary.view import TotalsView

RIGHT = ("both_right", "shadow_only", "live_only", "both_wrong")


def accuracy(view: TotalsView) -> dict[str, Any]:
    """The field `accuracy`; its interval is of the difference."""
    both, ours, theirs, neither = (view.scaled[name] for name in RIGHT)
    paired = both + ours + theirs + neither
    if not paired:
        return _nothing()
    return {
        "live": (both + theirs) / paired,
        "shadow": (both + ours) / paired,
        "difference": (ours - theirs) / paired,
        **view.difference_ends(ours, theirs, paired),
        "n": view.count(*RIGHT),
    }


def log_loss(view: TotalsView) -> dict[str, Any]:
    """The field `log_loss`."""
    return _pair(view, view.totals.detailed.live_log_loss, view.totals.detailed.log_loss)


def brier(view: TotalsView) -> dict[str, Any]:
    """The field `brier`."""
    return _pair(view, view.totals.detailed.live_brier, view.totals.detailed.brier)


def auc(view: TotalsView) -> dict[str, Any]:
    """The field `auc`."""
    details = view.totals.detailed
    (live, slack), (shadow, others) = details.live_scores.auc(), details.shadow_scores.auc()
    return {**_sides(live, shadow), "slack": {"live": slack, "shadow": others}, "n": details.live_scores.n}


def f1(view: TotalsView) -> dict[str, Any]:
    """The field `f1`."""
    details = view.totals.detailed
    live, shadow = details.live_truth.weights(), details.shadow_truth.weights()
    event = event_of(live, shadow)
    average = None if not live else "macro" if event is None else "binary"
    sides = _sides(f1_of(live, event), f1_of(shadow, event))
    return {**sides, "average": average, "event": event, "n": details.live_truth.total}


def calibration(view: TotalsView) -> dict[str, Any]:
    """The field `calibration`."""
    details = view.totals.detailed
    live, shadow = details.live_scores.calibration(), details.shadow_scores.calibration()
    difference = shadow["error"] - live["error"] if live and shadow else None
    of = None if not live else "answer" if details.live_scores.curve is None else "event"
    return {"live": live, "shadow": shadow, "difference": difference, "of": of, "n": details.live_scores.n}


def truth(view: TotalsView) -> dict[str, Any] | None:
    """The field `truth`; None where answers are no classes."""
    live, shadow = view.totals.detailed.live_truth, view.totals.detailed.shadow_truth
    if not live and not shadow:
        return None
    classes = shown_classes(live.weights(), shadow.weights())
    tables = {"live": matrix(live.counts, classes), "shadow": matrix(shadow.counts, classes)}
    return {"classes": classes, **tables, "n": live.total}


def mae(view: TotalsView) -> dict[str, Any]:
    """The field `mae`: of numbers the loss is the absolute error."""
    details = view.totals.detailed
    return _pair(view, details.live_loss, view.totals.loss) if details.live_answers else _nothing()


def rmse(view: TotalsView) -> dict[str, Any]:
    """The field `rmse`."""
    details = view.totals.detailed
    if not details.live_answers:
        return {**_sides(None, None), "n": 0}
    return {**_sides(_root(details.live_loss.left), _root(details.shadow_loss.left)), "n": details.live_loss.n}


def _pair(view: TotalsView, live: CorrectedMoments, difference: CorrectedMoments) -> dict[str, Any]:
    found = difference.left
    if not found.n:
        return _nothing()
    both = {"live": live.mean, "shadow": live.mean + found.mean, "difference": found.mean}
    return {**both, **view.ends(found), "n": found.n}


def _nothing() -> dict[str, Any]:
    return {**_sides(None, None), "low": None, "high": None, "n": 0}


def _root(absolute: Moments) -> float | None:
    """The root of the mean square of values whose moments these are."""
    return math.sqrt(absolute.mean**2 + absolute.m2 / absolute.weight) if absolute.n else None


def _sides(live: float | None, shadow: float | None) -> dict[str, float | None]:
    difference = None if live is None or shadow is None else shadow - live
    return {"live": live, "shadow": shadow, "difference": difference}
