"""How many of the compared requests have their label, in all and where it may differ. Pure."""

from typing import Any

from shadowbus.aggregate.totals import Totals


def coverage(totals: Totals) -> dict[str, Any]:
    """The share of compared requests that have their label: `value` and `n`, in all, `agreed` and `disagreed`.

    Plain counts, whatever the weights: it is about the labels that are there, not about the requests they speak for.
    """
    agreed, disagreed = totals.count("agreed"), totals.count("disagreed")
    compared = totals.count("compared")
    return {
        **share(totals.count("labels"), compared),
        "agreed": share(totals.count("labelled_agreed"), agreed),
        "disagreed": share(totals.count("labelled_disagreed"), disagreed),
    }


def share(part: int, whole: int) -> dict[str, Any]:
    """A share of something counted, and what was counted; labels may be ahead of comparisons for a moment."""
    return {"value": min(1.0, part / whole) if whole else None, "n": whole}
