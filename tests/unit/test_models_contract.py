"""What every model adapter promises, run over bundles that were written, read and loaded as in production."""

import math
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import skops.io
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier

from shadowbus.errors import BundleError
from shadowbus.models.load import load_model
from shadowbus.models.make import write_bundle
from shadowbus.models.model import Model, PredictionError, Row
from shadowbus.models.sklearn.model import SklearnModel

NAMES = ("age", "income", "tenure", "calls")
_random = np.random.default_rng(5)
TRAINED_ON = _random.normal(size=(160, 4))
ASKED = np.concatenate([_random.normal(size=(60, 4)), np.zeros((1, 4)), np.full((1, 4), 40.0), TRAINED_ON[:8]])
DIGIT = (TRAINED_ON[:, 0] > 0).astype(int) + (TRAINED_ON[:, 1] > 1)
WORD = np.array(["no", "maybe", "yes"])[DIGIT]
AMOUNT = TRAINED_ON @ [1.0, -2.0, 0.5, 3.0]

ESTIMATORS: dict[str, tuple[Callable[[], Any], NDArray[Any]]] = {
    "logistic regression": (LogisticRegression, DIGIT),
    "logistic regression of texts": (LogisticRegression, WORD),
    "logistic regression of truth values": (LogisticRegression, DIGIT > 0),
    "pipeline": (lambda: make_pipeline(StandardScaler(), LogisticRegression()), DIGIT),
    "decision tree": (lambda: DecisionTreeClassifier(max_depth=3, random_state=0), WORD),
    "random forest": (lambda: RandomForestClassifier(6, random_state=0), DIGIT),
    "gradient boosting": (lambda: GradientBoostingClassifier(n_estimators=4, random_state=0), DIGIT),
    "histogram boosting": (lambda: HistGradientBoostingClassifier(max_iter=4), DIGIT),
    "neighbours": (lambda: KNeighborsClassifier(4), DIGIT),
    "neighbours in a ball tree": (lambda: KNeighborsClassifier(4, algorithm="ball_tree", weights="distance"), WORD),
    "naive Bayes": (GaussianNB, DIGIT + 5),
    "network": (lambda: MLPClassifier((4,), max_iter=600, tol=0.01, random_state=0), DIGIT),
    "calibrated": (lambda: CalibratedClassifierCV(GaussianNB(), cv=2), DIGIT),
    "support vectors": (SVC, WORD),
    "nearest centroid": (NearestCentroid, DIGIT),
    "ridge classifier": (RidgeClassifier, DIGIT),
    "ridge": (Ridge, AMOUNT),
    "ridge of two outputs": (Ridge, np.stack([AMOUNT, -AMOUNT], axis=1)),
    "support vector regression": (SVR, AMOUNT),
    "random forest regression": (lambda: RandomForestRegressor(4, random_state=0), AMOUNT),
    "histogram boosting regression": (lambda: HistGradientBoostingRegressor(max_iter=4), AMOUNT),
    "outliers": (lambda: IsolationForest(n_estimators=4, random_state=0), DIGIT),
}


@dataclass(frozen=True)
class Loaded:
    model: Model
    estimator: Any


@pytest.fixture(scope="module", params=ESTIMATORS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    make, answers = ESTIMATORS[request.param]
    estimator = make().fit(TRAINED_ON, answers)
    folder = tmp_path_factory.mktemp("model")
    skops.io.dump(estimator, folder / "trained.skops")
    bundle = write_bundle(
        folder / "trained.skops", name="shadow", version="2", out=folder / "bundle", features=NAMES, now_ms=0
    )
    return Loaded(load_model(bundle, allow_pickle=False), estimator)


def by_name(table: NDArray[Any]) -> list[dict[str, object]]:
    return [dict(zip(NAMES, row, strict=True)) for row in table.tolist()]


def test_a_model_knows_its_name_and_features(loaded: Loaded) -> None:
    assert loaded.model.model == "shadow@2"
    assert loaded.model.feature_names == NAMES


def test_predictions_are_the_estimators_own_as_plain_json(loaded: Loaded) -> None:
    found = loaded.model.predict(by_name(ASKED)).predictions
    assert found == loaded.estimator.predict(ASKED).tolist()
    assert orjson.loads(orjson.dumps(found)) == found


def test_scores_are_the_estimators_probabilities_by_class(loaded: Loaded) -> None:
    scores = loaded.model.predict(by_name(ASKED)).scores
    if not hasattr(loaded.estimator, "predict_proba"):
        assert scores is None
        return
    assert scores is not None
    wanted = loaded.estimator.predict_proba(ASKED)
    classes = loaded.estimator.classes_.tolist()
    named = classes != [0, 1, 2] or isinstance(classes[0], bool)
    for row, found in zip(wanted, scores, strict=True):
        assert found == (dict(zip(map(str, classes), row.tolist(), strict=True)) if named else row.tolist())
    assert orjson.loads(orjson.dumps(scores)) == scores


def test_the_order_of_keys_and_unknown_features_change_nothing(loaded: Loaded) -> None:
    shuffled: list[Row] = []
    for row in by_name(ASKED):
        items = [*row.items(), ("colour", "red"), ("nested", {"a": [1]})]
        random.Random(len(shuffled)).shuffle(items)
        shuffled.append(dict(items))
    assert loaded.model.predict(shuffled) == loaded.model.predict(by_name(ASKED))
    assert loaded.model.predict(ASKED.tolist()) == loaded.model.predict(by_name(ASKED))


def test_a_row_is_answered_alike_alone_and_in_a_batch(loaded: Loaded) -> None:
    together = loaded.model.predict(by_name(ASKED))
    for position, row in enumerate(by_name(ASKED)):
        alone = loaded.model.predict([row])
        assert alone.predictions[0] == pytest.approx(together.predictions[position])
        if together.scores is not None and alone.scores is not None:
            assert alone.scores[0] == pytest.approx(together.scores[position])


def test_no_rows_give_no_answers(loaded: Loaded) -> None:
    answers = loaded.model.predict([])
    assert answers.predictions == []
    assert answers.scores in ([], None)
    assert loaded.model.missing([]) is None


def test_missing_features_are_named_row_by_row(loaded: Loaded) -> None:
    rows: list[Row] = [*by_name(ASKED[:3]), [1.0, None, 2.0, 3.0]]
    assert loaded.model.missing(rows[:3]) is None
    rows[1] = {"age": 1.0, "calls": None, "income": 2.0}  # null is not missing: the feature is there
    assert loaded.model.missing(rows) == [(), ("tenure",), (), ()]
    assert loaded.model.missing([[1.0, 2.0]]) == [("tenure", "calls")]


@pytest.mark.parametrize("hole", ["absent", "null"])
def test_a_missing_feature_is_not_a_number_to_the_model(loaded: Loaded, hole: str) -> None:
    rows, table = by_name(ASKED[:6]), ASKED[:6].copy()
    table[2, 1] = math.nan
    if hole == "absent":
        del rows[2]["income"]
    else:
        rows[2]["income"] = None
    try:
        wanted = loaded.estimator.predict(table).tolist()
    except ValueError:
        with pytest.raises(PredictionError, match="NaN") as raised:
            loaded.model.predict(rows)
        assert raised.value.suspects == (2,)
        del rows[2]
        wanted = loaded.estimator.predict(np.delete(table, 2, axis=0)).tolist()
    assert loaded.model.predict(rows).predictions == wanted


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1.0, 2.0, 3.0], "has 3 values and the model reads 4"),
        ([1.0] * 5, "has 5 values and the model reads 4"),
        ("1234", "object or a list, not str"),
        (None, "object or a list, not NoneType"),
        ({"age": "old"}, "Feature 'age' is 'old', which is not a number"),
        ({"calls": [1.0]}, r"Feature 'calls' is '\[1.0\]', which is not a number"),
        ({"income": {"a": 1}}, "Feature 'income' is"),
        ({"income": 10**400}, "Feature 'income' is '1000"),
    ],
)
def test_rows_that_cannot_be_read_are_the_suspects(loaded: Loaded, row: Any, said: str) -> None:
    rows: list[Any] = by_name(ASKED[:5])
    rows[1], rows[4] = row, row
    with pytest.raises(PredictionError, match=said) as raised:
        loaded.model.predict(rows)
    assert raised.value.suspects == (1, 4)


def test_a_list_too_long_beside_one_too_short_shifts_nothing(loaded: Loaded) -> None:
    with pytest.raises(PredictionError) as raised:
        loaded.model.predict([[1.0] * 4, [1.0] * 3, [1.0] * 5])
    assert raised.value.suspects == (1, 2)


def test_without_names_lists_are_read_and_objects_are_refused() -> None:
    model = SklearnModel("m@1", LogisticRegression().fit(TRAINED_ON, DIGIT), None)
    assert model.predict(ASKED.tolist()).predictions == model.predict(list(map(tuple, ASKED.tolist()))).predictions
    assert model.missing([[1.0, None, 0.0, 1.0]]) is None
    assert model.missing([[1.0, None, 0.0]]) == [("3",)]
    with pytest.raises(PredictionError, match="--features"):
        model.predict(by_name(ASKED))


def test_a_model_of_one_feature_reads_it_by_name() -> None:
    model = SklearnModel("m@1", Ridge().fit(TRAINED_ON[:, :1], TRAINED_ON[:, 0]), ("age",))
    assert model.predict([{"age": 0.0}, [0.0]]).predictions == pytest.approx([0.0, 0.0], abs=0.1)
    assert model.missing([{"age": 1}, {"years": 1}]) == [(), ("age",)]


def test_names_the_estimator_was_fitted_with_raise_no_warning() -> None:
    estimator = LogisticRegression().fit(TRAINED_ON, DIGIT)
    estimator.feature_names_in_ = np.array(NAMES, dtype=object)
    with pytest.warns(UserWarning, match="valid feature names"):
        wanted = estimator.predict(ASKED).tolist()
    assert SklearnModel("m@1", estimator, NAMES).predict(by_name(ASKED)).predictions == wanted


def test_a_text_that_looks_like_a_number_stays_text_for_a_model_of_texts() -> None:
    texts = np.array([["7", "a"], ["8", "b"], ["7", "b"], ["8", "a"]], dtype=object)
    estimator = make_pipeline(OneHotEncoder(handle_unknown="ignore"), DecisionTreeClassifier(random_state=0))
    model = SklearnModel("m@1", estimator.fit(texts, ["seven", "eight", "seven", "eight"]), ("code", "letter"))
    rows: list[Row] = [{"letter": "a", "code": "7"}, {"letter": "a", "code": "8"}, ["7", "b"]]
    assert model.predict(rows).predictions == ["seven", "eight", "seven"]
    assert model.missing([{"letter": None, "code": "7"}, {"code": "7"}]) == [(), ("letter",)]


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Answers with what it was given, whatever it is asked."""

    def __init__(self, predictions: Any, probabilities: Any, classes: Any = (0, 1)) -> None:
        self.predictions, self.probabilities = predictions, probabilities
        self.classes_ = np.array(classes)

    def predict(self, table: NDArray[Any]) -> Any:
        return np.array(self.predictions)

    def predict_proba(self, table: NDArray[Any]) -> Any:
        return np.array(self.probabilities)


SURE = [[0.9, 0.1], [0.9, 0.1]]


@pytest.mark.parametrize(
    ("predictions", "probabilities", "said", "suspects"),
    [
        ([0.0, math.nan], SURE, "prediction is not a finite number", (1,)),
        ([math.inf, 0.0], SURE, "prediction is not a finite number", (0,)),
        ([0, 1, 1], SURE, "shape", ()),
        (0, SURE, "shape", ()),
        ([[[0]], [[1]]], SURE, "shape", ()),
        ([0j, 1j], SURE, "JSON cannot hold", ()),
        (np.array([0, None]), SURE, "not text, true, false or a number", (1,)),
        ([0, 1], [[0.9, 0.1], [math.nan, 0.1]], "probability that is not a finite", (1,)),
        ([0, 1], [[0.9, 0.1]], "shape", ()),
        ([0, 1], [[1.0], [1.0]], "shape", ()),
    ],
)
def test_an_answer_that_is_none_is_an_error(
    predictions: Any, probabilities: Any, said: str, suspects: tuple[int, ...]
) -> None:
    with pytest.raises(PredictionError, match=said) as raised:
        SklearnModel("m@1", Given(predictions, probabilities), None).predict([[1.0], [2.0]])
    assert raised.value.suspects == suspects


def test_a_model_that_predicts_another_class_than_its_likeliest_is_believed() -> None:
    answers = SklearnModel("m@1", Given([1, 1], SURE), None).predict([[1.0], [2.0]])
    assert answers.predictions == [1, 1]
    assert answers.scores == SURE


def test_a_tie_that_rounding_made_is_decided_by_the_estimator() -> None:
    estimator = LogisticRegression().fit(TRAINED_ON, DIGIT)
    estimator.coef_ = np.zeros((3, 4))
    estimator.intercept_ = np.array([0.0, 1e-17, -5.0])
    probabilities = estimator.predict_proba([[0.0] * 4])[0]
    assert probabilities[0] == probabilities[1]
    assert SklearnModel("m@1", estimator, None).predict([[0.0] * 4] * 2).predictions == [1, 1]


def test_what_an_estimator_raises_comes_as_one_sentence() -> None:
    class Broken(Given):
        def predict(self, table: NDArray[Any]) -> Any:
            raise RuntimeError("out of order")

    with pytest.raises(PredictionError, match="RuntimeError: out of order"):
        SklearnModel("m@1", Broken([], SURE), None).predict([[1.0], [2.0]])


def test_what_cannot_predict_is_refused_when_it_is_loaded() -> None:
    with pytest.raises(BundleError, match="StandardScaler, which has no predict"):
        SklearnModel("m@1", StandardScaler().fit(TRAINED_ON), NAMES)


def test_columns_found_by_name_need_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    keep = ColumnTransformer([("keep", "passthrough", ["age"])], remainder="drop")
    table = pandas.DataFrame(TRAINED_ON, columns=list(NAMES))
    estimator = make_pipeline(keep, LogisticRegression()).fit(table, DIGIT)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BundleError, match="pip install pandas"):
        SklearnModel("m@1", estimator, NAMES)


def test_columns_found_by_name_are_found_whatever_the_order(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": TRAINED_ON[:, 0], "plan": np.where(DIGIT > 0, "basic", "gold")})
    encode = ColumnTransformer([("plan", OneHotEncoder(), ["plan"])], remainder="passthrough")
    estimator = make_pipeline(encode, DecisionTreeClassifier(max_depth=1)).fit(frame, DIGIT > 0)
    skops.io.dump(estimator, tmp_path / "trained.skops")
    made = write_bundle(
        tmp_path / "trained.skops", name="m", version="1", out=tmp_path / "bundle", features=None, now_ms=0
    )
    rows: list[Row] = [{"plan": "gold", "age": 3.0}, {"age": 3.0, "plan": "basic"}, [None, "gold"]]
    assert load_model(made, allow_pickle=False).predict(rows).predictions == [False, True, False]
