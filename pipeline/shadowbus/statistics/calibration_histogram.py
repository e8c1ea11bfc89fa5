"""How scores and what came true go together, as histograms that add up: for calibration and the ROC curve."""

import base64
import zlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shadowbus.statistics.logarithm import log

Floats = NDArray[np.float64]

BINS = 512
STEEPEST = 8.0
"""Bins of the event's probability are of equal width in its log-odds, from -8 to 8: fine at 0.5 (0.8 points), and finer
still near 0 and 1 (3 % of a rare event's probability)."""

PARTS = 10
UNIT = 1 << 20
_SHAPE = (2, BINS)
_PAGE = (PARTS, 4)


@dataclass(slots=True)
class CalibrationHistogram:
    """The scores of one model.

    Attributes:
        curve: Shape (2, `BINS`): by whether the event came, the weight of answers by its probability. None: nothing.
        parts: Shape (`PARTS`, 4): by score in equal steps from 0 to 1, how many answers, their weight, the weighted sum
            of their scores, and the weight of those that came true. None: nothing.

    All are multiples of 2^-20 and below 2^33, so that sums are exact in any order.
    """

    curve: Floats | None = None
    parts: Floats | None = None

    @classmethod
    def of(cls, score: Floats, event: Floats, came: Floats, signs: Floats | None, weights: Floats | None) -> Self:
        """The histogram of n answers.

        Args:
            score: The probability that an answer gave to what it says, from 0 to 1; NaN is none.
            event: The probability that it gave to the event; NaN unless there are two classes.
            came: 1 where the event, or what it says, came true, else 0.
            signs: 1 for what is added, -1 for what is taken back. None: all 1.
            weights: Multiples of 2^-20. None: all 1.
        """
        count = np.ones(len(score)) if signs is None else signs
        weight = count if weights is None else count * weights
        there = ~np.isnan(score)
        if not there.any():
            return cls()
        if not there.all():
            score, event, came, count, weight = (x[there] for x in (score, event, came, count, weight))
        bins = np.minimum((score * PARTS).astype(np.int64), PARTS - 1)
        sums = (count, weight, np.rint(weight * score * UNIT) / UNIT, weight * came)
        parts = np.stack([np.bincount(bins, column, PARTS) for column in sums], axis=1).astype(np.float64)
        return cls(_curve(event, came, weight), parts)

    def absorb(self, other: "CalibrationHistogram") -> None:
        """Add another's; the other stays as it is."""
        if other.curve is not None:
            self.curve = other.curve if self.curve is None else self.curve + other.curve
        if other.parts is not None:
            self.parts = other.parts if self.parts is None else self.parts + other.parts

    def auc(self) -> tuple[float | None, float]:
        """The area under the ROC curve from its histogram, and by how much it may be off because of the bins.

        The chance that of two answers the one whose event came has the larger score, ties counted half: Mann & Whitney
        (1947), Hanley & McNeil (1982). Two answers in one bin are counted as a tie.
        """
        if self.curve is None:
            return None, 0.0
        without, with_event = self.curve
        pairs = float(without.sum() * with_event.sum())
        if pairs <= 0:
            return None, 0.0
        ties = float((without * with_event).sum()) / pairs / 2
        below = np.concatenate(([0.0], np.cumsum(without)[:-1]))
        return float((below * with_event).sum()) / pairs + ties, ties

    def calibration(self) -> dict[str, Any] | None:
        """The expected calibration error, and the bins of the reliability diagram that hold something; None of none.

        Naeini, Cooper & Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian binning".
        """
        parts = self.parts
        if parts is None or parts[:, 1].sum() <= 0:
            return None
        weight = parts[:, 1].sum()
        error = float(np.abs(parts[:, 3] - parts[:, 2]).sum() / weight)
        return {"error": error, "bins": [_bin(at, row) for at, row in enumerate(parts) if row[1] > 0]}

    @property
    def n(self) -> int:
        """How many answers it has."""
        return 0 if self.parts is None else int(self.parts[:, 0].sum())

    def __bool__(self) -> bool:
        return any(part is not None and part.any() for part in (self.curve, self.parts))

    def to_record(self) -> dict[str, Any]:
        """As they stand in a partial: the bytes of the curve packed, the parts plain."""
        record: dict[str, Any] = {}
        if self.curve is not None and self.curve.any():
            record["curve"] = _packed(self.curve)
        if self.parts is not None and self.parts.any():
            record["parts"] = [[_plain(number) for number in row] for row in self.parts.tolist()]
        return record

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Read them back.

        Raises:
            ValueError, TypeError: They are none.
        """
        curve, parts = record.get("curve"), record.get("parts")
        return cls(
            None if curve is None else _unpacked(curve),
            None if parts is None else np.array(parts, np.float64).reshape(_PAGE),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CalibrationHistogram) and self.to_record() == other.to_record()

    __hash__ = None  # type: ignore[assignment]


def _bin(at: int, row: NDArray[np.float64]) -> dict[str, Any]:
    count, weight, total, came = row.tolist()
    edges = {"low": at / PARTS, "high": (at + 1) / PARTS}
    return {**edges, "n": int(count), "score": total / weight, "rate": came / weight}


def _curve(event: Floats, came: Floats, weight: Floats) -> Floats | None:
    there = ~np.isnan(event)
    if not there.any():
        return None
    if not there.all():
        event, came, weight = event[there], came[there], weight[there]
    counts = np.bincount(bin_of(event) + BINS * came.astype(np.int64), weight, 2 * BINS)
    return counts.astype(np.float64).reshape(_SHAPE)


def bin_of(probability: Floats) -> NDArray[np.int64]:
    """The bin of each probability.

    >>> bin_of(np.array([0.0, 0.5, 0.51, 1.0])).tolist()
    [0, 256, 257, 511]
    """
    odds = log(probability) - log(1.0 - np.minimum(probability, 1.0))
    steps = np.floor((odds.clip(-STEEPEST, STEEPEST) + STEEPEST) * (BINS / (2 * STEEPEST)))
    return np.minimum(steps.astype(np.int64), BINS - 1)


def _packed(numbers: Floats) -> str:
    whole = numbers == np.rint(numbers)
    size = float(np.abs(numbers).max())
    kind = "f8" if not whole.all() else "i2" if size < 1 << 15 else "i4" if size < 1 << 31 else "i8"
    return kind + base64.b64encode(zlib.compress(numbers.astype(f"<{kind}").tobytes(), 6)).decode("ascii")


def _unpacked(text: str) -> Floats:
    if text[:2] not in ("f8", "i2", "i4", "i8"):
        raise ValueError("not a packed curve")
    try:
        raw = zlib.decompress(base64.b64decode(text[2:]))
    except zlib.error as error:
        raise ValueError(f"not a packed curve: {error}") from None
    return np.frombuffer(raw, f"<{text[:2]}").astype(np.float64).reshape(_SHAPE)


def _plain(number: float) -> int | float:
    return int(number) if number.is_integer() else number
