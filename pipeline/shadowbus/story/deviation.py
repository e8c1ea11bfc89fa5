"""How far answers that are numbers are off: mean absolute and root mean squared error of both sides."""

from dataclasses import dataclass

from shadowbus.story.fields import Table, count, number, section
from shadowbus.story.figures import between, counted, pair, plain


@dataclass(frozen=True, slots=True)
class Deviation:
    """Of the answers that have a label; all in the unit of the answers.

    Attributes:
        labels: How many those are.
        mae: Live and shadow: mean absolute error.
        rmse: Live and shadow: root mean squared error, in which few large errors weigh more than many small ones.
        mae_texts: Live and shadow in figures.
        rmse_texts: The same.
        difference: Mean absolute error, shadow minus live; `low` and `high`: what is still possible.
        low: The least difference that is still possible; None where that is not known.
        high: The largest.
        text: All of it in a sentence or two.
    """

    labels: int
    mae: tuple[float, float]
    rmse: tuple[float, float]
    mae_texts: tuple[str, str]
    rmse_texts: tuple[str, str]
    difference: float
    low: float | None
    high: float | None
    text: str


def deviation(summary: Table) -> Deviation | None:
    """How far both sides are off; None where answers are no numbers, or no label has come."""
    mae, rmse = section(summary, "mae"), section(summary, "rmse")
    absolute = _sides(mae)
    if absolute is None:
        return None
    squared = _sides(rmse) or absolute
    low, high, labels = number(mae, "low"), number(mae, "high"), count(mae, "n")
    means, roots, difference = pair(*absolute), pair(*squared), absolute[1] - absolute[0]
    text = (
        f"Off by {means[1]} on average (MAE) over {counted(labels, 'label')}, the live model by {means[0]}; "
        f"RMSE {roots[1]}, live {roots[0]}."
    )
    return Deviation(labels, absolute, squared, means, roots, difference, low, high, text)


def difference_text(found: Deviation) -> str:
    """By how much more the shadow is off, with what is still possible.

    >>> found = deviation({"mae": {"live": 112.7, "shadow": 98.0, "low": -20.1, "high": -9.0, "n": 900}})
    >>> difference_text(found), found.text.partition(";")[0]
    ('-14.7 (between -20.1 and -9)', 'Off by 98.0 on average (MAE) over 900 labels, the live model by 112.7')
    """
    interval = between(found.low, found.high, "number")
    sign = "+" if found.difference > 0 else ""
    return f"{sign}{plain(found.difference)}" + (f" ({interval})" if interval else "")


def _sides(table: Table) -> tuple[float, float] | None:
    live, shadow = number(table, "live"), number(table, "shadow")
    return None if live is None or shadow is None else (live, shadow)
