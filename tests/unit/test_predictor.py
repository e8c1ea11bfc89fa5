"""A way to answers that is quicker, and closed for good, is given up, counted and named; no row suffers from it."""

from collections.abc import Sequence

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from questioned import asked
from shadowbus.models.model import Predictions, Row
from shadowbus.replay.model.child import predictor as module
from shadowbus.replay.model.child.error_text import NO_NETWORK, error_text
from shadowbus.replay.model.child.predictor import FAILURES, REST_SECONDS, Predictor, Shortcut
from shadowbus.replay.model.child.single_rows import SingleRowSampler
from shadowbus.replay.model.messages import TEXT_CHARACTERS

ROWS = 64


class Model:
    """Twice the feature; takes at most `most` rows at once, and a matrix only where it is not `narrow`."""

    model = "m@1"
    feature_names: tuple[str, ...] | None = ("x",)
    reads_matrix, width = True, 1

    def __init__(self, most: int = ROWS, *, narrow: bool = False) -> None:
        self.most, self.narrow = most, narrow
        self.matrices = 0
        self.batches: list[int] = []

    def predict(self, rows: Sequence[Row]) -> Predictions:
        self.batches.append(len(rows))
        if len(rows) > self.most:
            raise RuntimeError("too many")
        values = [float(row["x"]) for row in rows]  # type: ignore[call-overload,arg-type]
        if -1 in values:
            raise RuntimeError("a bad row")
        return Predictions([2 * value for value in values], None)

    def predict_matrix(self, matrix: NDArray[np.float64]) -> Predictions:
        self.matrices += 1
        if self.narrow or len(matrix) > self.most:
            raise RuntimeError("no matrix for me")
        return self.predict([{"x": value} for value in matrix[:, 0].tolist()])

    def missing(self, rows: Sequence[Row]) -> list[tuple[str, ...]] | None:
        raise RuntimeError("who knows")


GOOD = [float(number) for number in range(ROWS)]


def test_a_matrix_that_a_model_never_takes_is_not_offered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    model = Model(narrow=True)
    answering = Predictor(model, SingleRowSampler(0.0))
    counted = [asked(answering, GOOD).detours for _ in range(FAILURES)]
    assert [one.matrix for one in counted] == [1] * FAILURES
    assert [bool(one.reason) for one in counted] == [False] * (FAILURES - 1) + [True]
    assert "RuntimeError: no matrix for me" in counted[-1].reason
    for _ in range(100):
        found = asked(answering, GOOD).detours
        assert (found.matrix, found.reason) == (0, counted[-1].reason)
    assert model.matrices == FAILURES
    now += REST_SECONDS
    asked(answering, GOOD)
    assert model.matrices == FAILURES + 1  # rarely, it is tried again
    asked(answering, GOOD)
    assert model.matrices == FAILURES + 1
    now, model.narrow = now + REST_SECONDS, False
    found = asked(answering, GOOD).detours
    assert (found.matrix, found.reason) == (0, "")
    asked(answering, GOOD)
    assert model.matrices == FAILURES + 3


@pytest.mark.parametrize("most", [1, 3, 16])
def test_a_model_that_takes_few_rows_at_once_is_soon_asked_no_more_than_it_takes(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    now = 1_000.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    model = Model(most)
    answering = Predictor(model, SingleRowSampler(0.0))
    for _ in range(FAILURES):
        assert asked(answering, GOOD).detours.batch == 1
    before = len(model.batches)
    found = asked(answering, GOOD).detours
    assert found.batch == 0
    assert f"at most {max(model.batches[before:])} rows" in found.reason
    assert max(model.batches[before:]) <= most
    now, model.most = now + REST_SECONDS, ROWS
    assert asked(answering, GOOD).detours.reason == ""
    before = len(model.batches)
    asked(answering, GOOD)
    assert set(model.batches[before:]) <= {ROWS, 1}  # all at once; some are timed alone as well


def test_rows_that_raise_close_no_way_to_the_others() -> None:
    model = Model()
    answering = Predictor(model, SingleRowSampler(0.0))
    for _ in range(3 * FAILURES):
        answers = asked(answering, [*GOOD[1:], -1.0])
        assert answers.failed == {ROWS - 1: ("shadow_error", "RuntimeError: a bad row")}
        assert answers.detours.missing == 1  # what the row lacks could not be found out, which is counted
        assert answers.detours.reason == ""
    before = model.matrices
    asked(answering, GOOD)
    assert model.matrices == before + 1


def test_a_row_that_raises_only_when_it_is_timed_alone_is_predicted_and_counted() -> None:
    class Together(Model):
        def predict(self, rows: Sequence[Row]) -> Predictions:
            if len(rows) == 1:
                raise SystemExit("not alone")
            return super().predict(rows)

    answers = asked(Predictor(Together(), SingleRowSampler(1.0)), GOOD)
    assert answers.detours.alone > 0
    assert answers.latencies == {}


def test_a_way_that_works_now_and_then_stays_open() -> None:
    way = Shortcut()
    for _ in range(10):
        for _ in range(FAILURES - 1):
            way.failed("no", 0.0)
        way.worked()
    assert way.open(0.0)
    assert not way.reason


def _raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "advised"),
    [
        (OSError(101, "x"), True),
        (ConnectionRefusedError(111, "x"), True),
        (_raised(KeyError("features"), OSError(101, "x")), True),
        (RuntimeError('could not translate host name "db" to address'), True),
        (RuntimeError("HTTPSConnectionPool(host='x'): Max retries exceeded with url"), True),
        (OSError(2, "No such file"), False),
        (ValueError("the network of neurons is deep"), False),
    ],
)
def test_an_error_for_want_of_a_network_says_which_setting_gives_one(error: BaseException, advised: bool) -> None:
    assert error_text(error, NO_NETWORK).endswith(NO_NETWORK) == advised
    assert not error_text(error).endswith(NO_NETWORK)


def test_the_text_of_an_error_is_short_and_can_be_written_whatever_it_is() -> None:
    circle, other = RuntimeError("\ud800" + "x" * 10_000), RuntimeError("y")
    circle.__cause__, other.__cause__ = other, circle
    text = error_text(circle, NO_NETWORK)
    assert len(text) == TEXT_CHARACTERS
    assert text.startswith("RuntimeError: ?xxx")
    orjson.dumps(text)
