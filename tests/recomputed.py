"""Totals worked out with pandas from comparisons and outcomes alone: the oracle that aggregates are held against.

Nothing of the product takes part. One row a record, one column a field, and grouping left to pandas.
"""

import math
from typing import Any

import pandas as pd
import pytest

FAILURES = ("shadow_error", "shadow_timeout", "shadow_crash", "shadow_unavailable")
RIGHTS = {
    "both_right": (True, True),
    "shadow_only": (False, True),
    "live_only": (True, False),
    "both_wrong": (False, False),
}


class Recomputed:
    """The records of one run, parsed.

    Args:
        comparisons: As they are in their topic.
        outcomes: As they are in theirs; those that take back count against the others.
        budget_ms: The gate's latency budget.
    """

    def __init__(
        self, comparisons: list[dict[str, Any]], outcomes: list[dict[str, Any]], budget_ms: float | None = None
    ) -> None:
        self.compared, self.judged, self.budget_ms = _frame(comparisons), _frame(outcomes), budget_ms
        if len(self.judged):
            taken_back = self.judged.get("retracts", pd.Series(False, self.judged.index)).fillna(False).astype(bool)
            self.judged["sign"] = 1 - 2 * taken_back.astype(int)

    def agrees_with(self, totals: dict[str, Any], trial: str, segment: str = "all") -> None:
        """Assert that the totals of a trial and segment are what the records add up to."""
        rows, labels = (self._of(frame, trial, segment) for frame in (self.compared, self.judged))
        counts, means = self._counts(rows), self._means(rows)
        if len(labels):
            counts |= self._label_counts(labels)
            seen = labels[~_trained_on(labels)]
            loss = seen["shadow_loss"].astype(float) - seen["live_loss"].astype(float)
            if loss.notna().any():  # a model without scores has none
                means |= {"loss": _mean(loss, seen["weight"] * seen["sign"])}
        assert totals["statuses"] == rows.groupby("status").size().to_dict(), (trial, segment)
        assert {name: totals[name] for name in counts} == counts, (trial, segment)
        for name, (mean, largest) in means.items():
            given, taken = totals[name], totals[name].get("taken", {"n": 0, "mean": 0.0})
            weight = _weight(given) - _weight(taken)
            found = (given["mean"] * _weight(given) - taken["mean"] * _weight(taken)) / weight
            assert found == pytest.approx(mean, rel=1e-9, abs=1e-9 + 1e-12 * largest), (trial, segment, name)

    def _of(self, frame: Any, trial: str, segment: str) -> Any:
        if not len(frame):
            return frame
        name, _, value = segment.partition("=")
        mine = frame["trial"] == trial
        return (
            frame[mine]
            if segment == "all"
            else frame[mine & (frame["segments"].map(lambda one: str(one.get(name))) == value)]
        )

    def _counts(self, rows: Any) -> dict[str, int]:
        latency, seen = _inside(rows, "shadow", "latency_ms").astype(float), rows[~_trained_on(rows)]
        failed = _inside(rows, "shadow", "error").notna() | rows["status"].isin(FAILURES)
        over = latency > self.budget_ms if self.budget_ms is not None else latency.isna() & latency.notna()
        return {
            "agreed": int((seen["agree"] == True).sum()),  # noqa: E712
            "disagreed": int((seen["agree"] == False).sum()),  # noqa: E712
            "trained_on": int((rows[_trained_on(rows)]["status"] == "compared").sum()),
            "live_errors": int(_inside(rows, "live", "error").notna().sum()),
            "shadow_errors": int(failed.sum()),
            "latency_rows": int(latency.notna().sum()),
            "over_budget": int(over.sum()),
        }

    def _label_counts(self, labels: Any) -> dict[str, int]:
        before = _trained_on(labels)
        sums = labels[~before].groupby(["live_correct", "shadow_correct"])["sign"].sum()
        right = {name: int(sums.get(pair, 0)) for name, pair in RIGHTS.items()}
        apart = {
            name: int(labels[part]["sign"].sum()) for name, part in (("labels", ~before), ("labels_trained_on", before))
        }
        return {**apart, **right}

    def _means(self, rows: Any) -> dict[str, tuple[float, float]]:
        ours, theirs = (_inside(rows, side, "latency_ms").astype(float) for side in ("shadow", "live"))
        columns = {
            "distance": rows["distance"].astype(float).where(~_trained_on(rows)),
            "latency_difference": (ours - theirs).where(
                _inside(rows, "shadow", "timed") == _inside(rows, "live", "timed")
            ),
        }
        return {name: _mean(column, rows["weight"]) for name, column in columns.items() if column.notna().any()}


def _frame(records: list[dict[str, Any]]) -> Any:
    """With weights as they are documented: multiples of 2^-20, 1 where there is none."""
    frame = pd.DataFrame(records)
    if not len(frame):
        return frame
    weights = frame.get("weight", pd.Series(1.0, frame.index)).fillna(1.0)
    return frame.assign(weight=(weights * 2**20).round() / 2**20)


def _trained_on(rows: Any) -> Any:
    """Which records are of requests that the model may have been trained on."""
    return rows.get("trained_on", pd.Series(False, rows.index)).eq(True)


def _inside(rows: Any, side: str, field: str) -> Any:
    return rows[side].map(lambda one: one.get(field) if isinstance(one, dict) else None)


def _mean(column: Any, weights: Any) -> tuple[float, float]:
    """The weighted mean of what is there, and the largest value of it."""
    there = column.notna()
    values, shares = column[there], weights[there]
    return math.fsum(values * shares) / math.fsum(shares), float(values.abs().max())


def _weight(moments: dict[str, Any]) -> float:
    return float(moments["n"] + moments.get("excess", 0.0))
