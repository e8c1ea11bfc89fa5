"""How many of the compared requests have their label, in all and where it may differ. Pure."""

from typing import Any

from shadowbus.statistics.contingency_table import OTHER
from shadowbus.summary.confusion_layout import shown_classes
from shadowbus.totals.detailed import DetailedTotals
from shadowbus.totals.totals import Totals


def coverage(totals: Totals) -> dict[str, Any]:
    """The share of compared requests that have their label, in all and apart: the field `coverage` of docs/metrics.md.

    Plain counts, whatever the weights: it is about the labels that are there, not about the requests they speak for.
    """
    agreed, disagreed = totals.count("agreed"), totals.count("disagreed")
    compared = totals.count("compared") - totals.count("trained_on")
    return {
        **share(totals.count("labels"), compared),
        "agreed": share(totals.count("labelled_agreed"), agreed),
        "disagreed": share(totals.count("labelled_disagreed"), disagreed),
        **({} if totals.details is None else {"by_live_prediction": by_live_prediction(totals.details)}),
    }


def by_live_prediction(details: DetailedTotals) -> dict[str, dict[str, Any]]:
    """The same by what the live model answered: the most frequent classes, and all others as `(other)`."""
    compared, labelled = details.confusion.margin(0), details.live_truth.margin(1)
    classes = shown_classes({(name,): count for name, count in compared.items()})
    sums = {name: [0, 0] for name in classes}
    for column, counts in enumerate((labelled, compared)):
        for name, count in counts.items():
            if (shown := name if name in sums else OTHER) in sums:
                sums[shown][column] += count
    return {name: share(*both) for name, both in sums.items()}


def share(part: int, whole: int) -> dict[str, Any]:
    """A share of something counted, and what was counted; labels may be ahead of comparisons for a moment."""
    return {"value": min(1.0, part / whole) if whole else None, "n": whole}
