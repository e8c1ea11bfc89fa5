"""Some rows are asked alone, before the others, and timed: a model that remembers what it said looks no faster."""

from collections.abc import Sequence
from itertools import chain
from time import perf_counter

import pytest

from questioned import asked
from shadowbus.models.model import Predictions, Row
from shadowbus.replay.model.child.predictor import Predictor
from shadowbus.replay.model.child.single_rows import BURST_SECONDS, SingleRowSampler

FIRST_MS, ROW_MS = 60.0, 3.0


def busy(milliseconds: float) -> None:
    end = perf_counter() + milliseconds / 1000
    while perf_counter() < end:
        pass


class Remembering:
    """Twice the feature. What it has said once it knows by heart; the first time it is used it loads half of itself."""

    model = "m@1"
    feature_names: tuple[str, ...] | None = ("x",)

    def __init__(self) -> None:
        self.known: dict[float, float] = {}
        self.asked: list[list[float]] = []
        self.loaded = False

    def predict(self, rows: Sequence[Row]) -> Predictions:
        busy(0.0 if self.loaded else FIRST_MS)
        self.loaded = True
        values = [float(row["x"]) for row in rows]  # type: ignore[call-overload,arg-type]
        self.asked.append(values)
        busy(ROW_MS * len(set(values) - self.known.keys()))
        if -1.0 in values:
            raise ValueError("a bad row")
        self.known.update({value: 2 * value for value in values})
        return Predictions([self.known[value] for value in values], None)

    def missing(self, rows: Sequence[Row]) -> list[tuple[str, ...]] | None:
        return None


@pytest.mark.parametrize("rows", [1, 2, 40])
def test_a_row_is_timed_when_it_is_asked_first_and_asked_once(rows: int) -> None:
    model, timed = Remembering(), list[float]()
    answering = Predictor(model, SingleRowSampler(1.0))
    for question in range(5):
        answering.sampler.wait(60)
        answering.sampler.at -= 60
        values = [float(question * rows + row) for row in range(rows)]
        timed += asked(answering, values).latencies.values()
        assert sorted(chain(*model.asked)) == values  # each row once: what was timed is not in the batch
        model.asked.clear()
    assert timed
    assert min(timed) >= ROW_MS
    assert sorted(timed)[len(timed) // 2] < FIRST_MS  # and what it loaded when it was first used is nobody's time


def test_the_only_row_of_a_question_that_raises_is_not_asked_again() -> None:
    model = Remembering()
    answers = asked(Predictor(model, SingleRowSampler(1.0)), [-1.0])
    assert answers.failed[0][1].endswith("ValueError: a bad row")
    assert (model.asked, answers.latencies, answers.detours.alone) == ([[-1.0]], {}, 0)


def test_a_share_of_none_times_none() -> None:
    model = Remembering()
    answering = Predictor(model, SingleRowSampler(0.0))
    assert asked(answering, [1.0, 2.0]).latencies == asked(answering, [3.0]).latencies == {}
    assert model.asked == [[1.0, 2.0], [3.0]]


def test_a_row_that_took_longer_than_a_burst_is_not_the_last_one_timed() -> None:
    sampler = SingleRowSampler(0.2)
    sampler.credit, sampler.cost = 0.0, 2 * BURST_SECONDS
    sampler.at -= 60  # time enough to save up for one row
    sampler.wait(60)
    assert len(sampler.choose([b"r%d" % row for row in range(3)])) <= 1
    sampler.credit = sampler.cost
    assert any(sampler.choose([b"r%d" % row for row in range(3)]) for _ in range(100))


def test_while_the_model_works_its_time_counts_a_fifth() -> None:
    saved = []
    for waited in (0.02, 0.0):
        sampler = SingleRowSampler(0.1)
        sampler.credit = 0.0
        sampler.at -= 0.02
        sampler.waited = waited
        sampler.cost = 1.0  # nothing is asked yet
        sampler.choose([b"a", b"b"])
        saved.append(sampler.credit)
    assert saved == [pytest.approx(0.002, rel=0.5), pytest.approx(0.0004, rel=0.5)]


def test_shadows_of_the_same_traffic_time_the_same_rows_and_the_dearer_one_fewer_of_them() -> None:
    """Whatever their questions have in them, and however much each can afford."""
    found = []
    for cost, size in ((0.000_2, 1_000), (0.000_8, 300)):
        sampler, keys = SingleRowSampler(0.05), [b"order-%d" % number for number in range(60_000)]
        chosen = set[bytes]()
        for start in range(0, len(keys), size):
            part = keys[start : start + size]
            sampler.at -= 0.01 * size / 1_000  # each row has ten microseconds
            sampler.wait(0.01 * size / 1_000)
            sampler.cost = cost
            for row in sampler.choose(part):
                chosen.add(part[row])
                sampler.pay(cost)
        found.append(chosen)
    cheap, dear = found
    assert 20 <= len(dear) <= 60_000 * 1e-5 * 0.05 / 0.000_8 + BURST_SECONDS / 0.000_8
    assert len(dear & cheap) >= 0.8 * len(dear)
