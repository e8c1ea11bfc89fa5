"""A sample of rows is timed one at a time, however slow the model is or once was."""

from collections.abc import Sequence

import pytest

from shadowbus.replay.single_rows import BURST_SECONDS, SingleRows
from shadowbus.shadows.model import Answers, Row


class Instant:
    model = "instant@1"
    feature_names = None

    def predict(self, rows: Sequence[Row]) -> Answers:
        return Answers([0] * len(rows), None)

    def missing(self, rows: Sequence[Row]) -> list[tuple[str, ...]] | None:
        return None


def test_a_row_that_took_longer_than_a_burst_is_not_the_last_one_timed() -> None:
    sampler = SingleRows(0.2)
    sampler.credit, sampler.cost = 0.0, 2 * BURST_SECONDS
    sampler.at -= 60  # time enough to save up for one row
    sampler.wait(60)
    assert len(sampler.measure(Instant(), 3, lambda _: {})) == 1


def test_while_the_model_works_its_time_counts_a_fifth() -> None:
    saved = []
    for waited in (0.02, 0.0):
        sampler = SingleRows(0.1)
        sampler.credit = 0.0
        sampler.at -= 0.02
        sampler.wait(waited)
        sampler.cost = 1.0  # nothing is measured yet
        sampler.measure(Instant(), 1, lambda _: {})
        saved.append(sampler.credit)
    assert saved == [pytest.approx(0.002, rel=0.5), pytest.approx(0.0004, rel=0.5)]
