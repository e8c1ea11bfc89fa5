"""A sample of rows is timed one at a time, however slow the model is or once was."""

from collections.abc import Sequence

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
    assert len(sampler.measure(Instant(), 3, lambda _: {})) == 1
