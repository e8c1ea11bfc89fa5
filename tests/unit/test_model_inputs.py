"""The estimator's own `predict`, on what it was fitted with, is the truth: alone, in a batch, shuffled.

Every classifier and regressor that scikit-learn lists and LightGBM's, over arrays, data frames with texts, categories,
truth values, dates and missing values, sparse and text input, one output and several. Each is saved, bundled and loaded
as in production, and asked with rows as JSON has them.
"""

import hashlib
import importlib
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import orjson
import pandas as pd
import pytest
import scipy.sparse
import skops.io
import threadpoolctl
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from shadowbus.errors import BundleError
from shadowbus.models.bundle import read_bundle
from shadowbus.models.load import load_model
from shadowbus.models.make import write_bundle
from shadowbus.models.model import Model, PredictionError, Row

pytestmark = pytest.mark.filterwarnings("ignore:::sklearn", "ignore:::lightgbm", "ignore:::numpy", "ignore:::scipy")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small models on many threads wait for one another."""
    with threadpoolctl.threadpool_limits(1):
        yield


ROWS = 160
BATCH = 50
_random = np.random.default_rng(11)
NUMBERS = _random.normal(size=(ROWS, 3)).round(3)
COUNTS = _random.integers(0, 4, size=(ROWS, 3))
CLASS = (NUMBERS[:, 0] + 0.3 * NUMBERS[:, 1] > 0).astype(int)
AMOUNT = NUMBERS @ [2.0, -1.0, 0.5] + 5.0


def bundled(estimator: Any, folder: Path, **options: Any) -> Model:
    joblib.dump(estimator, folder / "model.joblib")
    made = write_bundle(
        folder / "model.joblib",
        **{"name": "m", "version": "1", "out": folder / "bundle", "features": None, "now_ms": 0, **options},
        allow_pickle=True,
    )
    return load_model(made, allow_pickle=True)


def as_rows(table: Any) -> list[Any]:
    """Rows as they come from JSON, for what the estimator was fitted with."""
    if isinstance(table, pd.DataFrame):
        return [{name: as_json(value) for name, value in row.items()} for row in table.to_dict("records")]
    if not isinstance(table, np.ndarray):
        table = table.toarray()
    return [[as_json(value) for value in row] for row in table.tolist()]


def as_json(value: Any) -> Any:
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    plain = value.isoformat() if isinstance(value, pd.Timestamp) else value
    return orjson.loads(orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY))


def flat(answers: Any) -> list[Any]:
    """Plain values, one for each row."""
    array = np.asarray(answers)
    return list((array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array).tolist())


def test_rows_of_json_have_json_types() -> None:
    table = pd.DataFrame({"n": [1.5, None], "t": ["a", None], "d": pd.to_datetime(["2026-01-02T03:04:05", None])})
    assert as_rows(table) == [{"n": 1.5, "t": "a", "d": "2026-01-02T03:04:05"}, {"n": None, "t": None, "d": None}]


def check(model: Model, estimator: Any, table: Any, rows: list[Any]) -> None:
    """Alone, in a batch, shuffled: the estimator's own answers."""
    chosen = list(range(min(BATCH, len(rows))))
    wanted = flat(estimator.predict(table[: len(chosen)]))
    assert close(model.predict([rows[at] for at in chosen]).predictions, wanted)
    random.Random(5).shuffle(chosen)
    assert close(model.predict([rows[at] for at in chosen]).predictions, [wanted[at] for at in chosen])
    for at in chosen[:6]:
        assert close(model.predict([rows[at]]).predictions, [wanted[at]]), rows[at]


def close(found: Any, wanted: Any) -> bool:
    if np.asarray(wanted).dtype.kind == "f":
        return bool(np.allclose(np.asarray(found, float), np.asarray(wanted, float), rtol=1e-5, atol=1e-7))
    return bool(found == wanted)


NEEDS: dict[str, Callable[[Any], Any]] = {
    "ClassifierChain": lambda kind: kind(LogisticRegression()),
    "FixedThresholdClassifier": lambda kind: kind(LogisticRegression()),
    "MultiOutputClassifier": lambda kind: kind(LogisticRegression()),
    "MultiOutputRegressor": lambda kind: kind(Ridge()),
    "OneVsOneClassifier": lambda kind: kind(LogisticRegression()),
    "OneVsRestClassifier": lambda kind: kind(LogisticRegression()),
    "OutputCodeClassifier": lambda kind: kind(LogisticRegression()),
    "RegressorChain": lambda kind: kind(Ridge()),
    "SelfTrainingClassifier": lambda kind: kind(LogisticRegression()),
    "StackingClassifier": lambda kind: kind([("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=2))]),
    "StackingRegressor": lambda kind: kind([("a", Ridge()), ("b", LinearRegression())]),
    "TunedThresholdClassifierCV": lambda kind: kind(LogisticRegression()),
    "VotingClassifier": lambda kind: kind([("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=2))]),
    "VotingRegressor": lambda kind: kind([("a", Ridge()), ("b", LinearRegression())]),
    "RadiusNeighborsClassifier": lambda kind: kind(radius=30.0),
    "RadiusNeighborsRegressor": lambda kind: kind(radius=30.0),
    "CCA": lambda kind: kind(n_components=1),
    "PLSCanonical": lambda kind: kind(n_components=1),
    "PLSRegression": lambda kind: kind(n_components=1),
    "GaussianProcessRegressor": lambda kind: kind(alpha=0.1),
    "BaggingClassifier": lambda kind: kind(n_estimators=3),
    "BaggingRegressor": lambda kind: kind(n_estimators=3),
}
COUNTED = ("CategoricalNB", "ComplementNB", "MultinomialNB")
ONE_COLUMN = ("IsotonicRegression",)
POSITIVE = ("GammaRegressor", "PoissonRegressor", "TweedieRegressor")
SEVERAL = ("MultiOutputClassifier", "ClassifierChain", "MultiOutputRegressor", "RegressorChain", "MultiTask")
LISTED = {
    name: (kind, role)
    for role in ("regressor", "classifier")  # what is both is asked as a classifier
    for name, kind in all_estimators(role)
}
FEWER = {"n_estimators": 4, "max_iter": 200, "random_state": 0, "cv": 2}


def made(name: str, kind: Any) -> Any:
    estimator = NEEDS.get(name, lambda kind: kind())(kind)
    known = estimator.get_params(deep=False)
    fewer = {
        key: value for key, value in FEWER.items() if key in known and not (key == "cv" and known[key] == "prefit")
    }
    if name in ("QuantileRegressor", "OrthogonalMatchingPursuitCV") or "NuSV" in name:
        fewer.pop("max_iter", None)
    return estimator.set_params(**fewer)


def several(name: str) -> bool:
    return name.startswith(SEVERAL)


def table_for(name: str) -> Any:
    if name in COUNTED:
        return COUNTS
    return NUMBERS[:, :1] if name in ONE_COLUMN else NUMBERS


def truth_for(name: str, role: str) -> Any:
    one: Any = CLASS if role == "classifier" else AMOUNT - AMOUNT.min() + 1.0 if name in POSITIVE else AMOUNT
    return np.stack([one, one[::-1]], axis=1) if several(name) else one


@pytest.mark.parametrize("framed", [False, True], ids=["array", "frame"])
@pytest.mark.parametrize("name", LISTED)
def test_everything_that_scikit_learn_lists_answers_as_it_would_itself(name: str, framed: bool, tmp_path: Path) -> None:
    kind, role = LISTED[name]
    table, truth = table_for(name), truth_for(name, role)
    if framed:
        table = pd.DataFrame(table, columns=["a", "b c", "d"][: table.shape[1]])
    estimator = made(name, kind).fit(table, truth)
    options = {"features": ["a"]} if framed and name in ONE_COLUMN else {}  # it keeps no names
    check(bundled(estimator, tmp_path, **options), estimator, table, as_rows(table))


@pytest.mark.parametrize(
    "name", ["LogisticRegression", "SVC", "KNeighborsClassifier", "RandomForestClassifier", "Ridge", "SVR"]
)
def test_a_model_fitted_on_a_sparse_matrix_answers_as_it_would_itself(name: str, tmp_path: Path) -> None:
    kind, role = LISTED[name]
    table = scipy.sparse.csr_matrix(np.where(np.abs(NUMBERS) > 0.7, NUMBERS, 0.0))
    estimator = made(name, kind).fit(table, truth_for(name, role))
    check(bundled(estimator, tmp_path), estimator, table, as_rows(table))


@pytest.mark.parametrize("kind", [RandomForestClassifier, KNeighborsClassifier, DecisionTreeClassifier])
def test_several_outputs_are_a_list_for_each_row(kind: Any, tmp_path: Path) -> None:
    truth = np.stack([CLASS, CLASS[::-1], CLASS + 3], axis=1)
    estimator = kind().fit(NUMBERS, truth)
    check(bundled(estimator, tmp_path), estimator, NUMBERS, as_rows(NUMBERS))


_city = _random.choice(["oslo", "rome", "lima"], ROWS, p=[0.6, 0.3, 0.1])
PLAIN = pd.DataFrame(
    {
        "age": NUMBERS[:, 0] * 10 + 40,
        "children": COUNTS[:, 0],
        "city": _city,
        "store": _random.choice([101, 205, 309, 417], ROWS),
        "member": NUMBERS[:, 1] > 0,
    }
)
PICKED = ((NUMBERS[:, 0] > 0) ^ (_city == "rome") ^ (PLAIN.store.isin([205, 417])) ^ PLAIN.member).astype(int)


def with_holes(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The same with every seventh value of some columns missing."""
    table = table.copy()
    for at, name in enumerate(names):
        holes = np.arange(len(table)) % 7 == at
        table[name] = table[name].astype(float if table[name].dtype.kind in "if" else object).where(~holes, np.nan)
    return table


def objects(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({name: object for name in table if table[name].dtype.kind not in "iufbM"})


def categories(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    return table.astype(dict.fromkeys(names, "category"))


def encoded(*steps: Any, text: Any = ("city",), numbers: Any = ("age", "children")) -> Any:
    return make_pipeline(
        make_column_transformer(
            (make_pipeline(*steps), list(text)), (make_pipeline(SimpleImputer(), StandardScaler()), list(numbers))
        ),
        LogisticRegression(),
    )


HOLES = with_holes(PLAIN, "age", "city", "member")
by_type = make_column_selector
quietly: dict[str, Any] = {"verbose": -1, "min_child_samples": 5, "n_estimators": 20}
FRAMES: dict[str, tuple[Callable[[], Any], pd.DataFrame]] = {
    "imputed and encoded": (
        lambda: encoded(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
        HOLES,
    ),
    "imputed and encoded, of objects": (
        lambda: encoded(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
        objects(HOLES),
    ),
    "missing as a category": (lambda: encoded(OneHotEncoder()), HOLES),
    "missing as a category, of objects": (lambda: encoded(OneHotEncoder()), objects(HOLES)),
    "a constant for what is missing": (
        lambda: encoded(SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder()),
        HOLES,
    ),
    "None as a category": (lambda: encoded(OneHotEncoder()), objects(HOLES).replace({"city": {np.nan: None}})),
    "None imputed": (
        lambda: encoded(SimpleImputer(missing_values=None, strategy="constant", fill_value="none"), OneHotEncoder()),
        objects(HOLES).replace({"city": {np.nan: None}}),
    ),
    "target encoder": (lambda: encoded(TargetEncoder(random_state=0)), HOLES),
    "truth values encoded": (lambda: encoded(OneHotEncoder(), text=("city", "member")), PLAIN),
    "truth values with holes encoded": (lambda: encoded(OneHotEncoder(), text=("city", "member")), HOLES),
    "whole numbers encoded": (lambda: encoded(OneHotEncoder(), text=("city", "store")), PLAIN),
    "chosen by type": (
        lambda: make_pipeline(
            ColumnTransformer(
                [
                    ("t", OneHotEncoder(), by_type(dtype_include=["object", "string"])),
                    ("n", SimpleImputer(), by_type(dtype_include="number")),
                    ("b", "passthrough", by_type(dtype_include="bool")),
                ]
            ),
            DecisionTreeClassifier(random_state=0),
        ),
        PLAIN,
    ),
    "an encoder for all columns": (
        lambda: make_pipeline(OrdinalEncoder(), RandomForestClassifier(8, random_state=0)),
        PLAIN,
    ),
    "an encoder for all columns, with holes": (
        lambda: make_pipeline(OrdinalEncoder(), HistGradientBoostingClassifier(max_iter=10, min_samples_leaf=3)),
        HOLES,
    ),
    "data frames inside": (
        lambda: make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(sparse_output=False)).set_output(
            transform="pandas"
        ),
        PLAIN,
    ),
    "histogram boosting of categories": (
        lambda: HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=3),
        categories(PLAIN, "city", "store"),
    ),
    "histogram boosting of categories with holes": (
        lambda: HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=3),
        categories(HOLES, "city", "store"),
    ),
    "LightGBM of categories": (
        lambda: lightgbm.LGBMClassifier(**quietly),
        categories(PLAIN, "city", "store", "member"),
    ),
    "LightGBM of categories with holes": (
        lambda: lightgbm.LGBMClassifier(**quietly),
        categories(with_holes(PLAIN, "age", "city"), "city", "store"),
    ),
    "LightGBM of numbers": (lambda: lightgbm.LGBMClassifier(**quietly), PLAIN[["age", "children", "store"]]),
    "LightGBM behind an imputer": (
        lambda: make_pipeline(SimpleImputer(), lightgbm.LGBMClassifier(**quietly)),
        HOLES[["age", "children"]],
    ),
    "searched": (
        lambda: GridSearchCV(
            encoded(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
            {"logisticregression__C": [0.1, 1.0]},
            cv=2,
        ),
        HOLES,
    ),
    "calibrated": (lambda: CalibratedClassifierCV(encoded(OneHotEncoder(handle_unknown="ignore")), cv=2), HOLES),
    "voted": (
        lambda: VotingClassifier(
            [("a", encoded(OneHotEncoder())), ("b", encoded(TargetEncoder(random_state=0)))], voting="soft"
        ),
        HOLES,
    ),
    "stacked": (
        lambda: StackingClassifier(
            [("a", encoded(OneHotEncoder(handle_unknown="ignore"))), ("b", encoded(TargetEncoder(random_state=0)))],
            cv=2,
        ),
        HOLES,
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_model_fitted_on_a_data_frame_answers_as_it_would_itself(name: str, tmp_path: Path) -> None:
    make, table = FRAMES[name]
    estimator = make()
    if not hasattr(estimator, "predict"):
        estimator = make_pipeline(estimator, DecisionTreeClassifier(random_state=0))
    estimator.fit(table, PICKED)
    check(bundled(estimator, tmp_path), estimator, table, as_rows(table))


AS_MATRIX = ("an encoder for all columns", "an encoder for all columns, with holes")


@pytest.mark.parametrize("name", AS_MATRIX)
def test_a_model_fitted_on_a_matrix_of_values_answers_as_it_would_itself(name: str, tmp_path: Path) -> None:
    make, table = FRAMES[name]
    matrix = table.to_numpy(dtype=object)
    estimator = make().fit(matrix, PICKED)
    check(bundled(estimator, tmp_path), estimator, matrix, as_rows(matrix))


def test_columns_picked_by_number_of_a_matrix_of_values(tmp_path: Path) -> None:
    matrix = HOLES[["age", "children", "city"]].to_numpy(dtype=object)
    estimator = encoded(SimpleImputer(strategy="most_frequent"), OneHotEncoder(), text=(2,), numbers=(0, 1))
    estimator.fit(matrix, PICKED)
    check(bundled(estimator, tmp_path), estimator, matrix, as_rows(matrix))


def test_lightgbm_regression_of_categories_answers_as_it_would_itself(tmp_path: Path) -> None:
    table = categories(PLAIN, "city", "store")
    estimator = lightgbm.LGBMRegressor(**quietly).fit(table, AMOUNT)
    check(bundled(estimator, tmp_path), estimator, table, as_rows(table))


TEXTS = [f"{a} {b} {c}" for a, b, c in zip(_city, np.where(CLASS > 0, "good fine", "bad"), COUNTS[:, 1], strict=True)]
OF_TEXTS: dict[str, Callable[[], Any]] = {
    "counted": lambda: make_pipeline(CountVectorizer(), MultinomialNB()),
    "weighted": lambda: make_pipeline(TfidfVectorizer(), LogisticRegression()),
    "hashed": lambda: make_pipeline(HashingVectorizer(n_features=64), LogisticRegression()),
    "joined": lambda: make_pipeline(
        make_union(CountVectorizer(), TfidfVectorizer(analyzer="char")), LogisticRegression()
    ),
    "searched": lambda: GridSearchCV(
        make_pipeline(TfidfVectorizer(), LogisticRegression()), {"logisticregression__C": [0.5, 1]}, cv=2
    ),
    "calibrated": lambda: CalibratedClassifierCV(make_pipeline(TfidfVectorizer(), MultinomialNB()), cv=2),
    "voted": lambda: VotingClassifier([("a", make_pipeline(CountVectorizer(), MultinomialNB()))]),
}


@pytest.mark.parametrize("features", [None, ["text"]])
@pytest.mark.parametrize("name", OF_TEXTS)
def test_a_model_of_one_text_answers_as_it_would_itself(name: str, features: Any, tmp_path: Path) -> None:
    estimator = OF_TEXTS[name]().fit(TEXTS, CLASS)
    model = bundled(estimator, tmp_path, features=features)
    wanted = estimator.predict(TEXTS[:BATCH]).tolist()
    assert model.predict([{"text": text} for text in TEXTS[:BATCH]]).predictions == wanted
    assert model.predict([[text] for text in TEXTS[:BATCH]]).predictions == wanted
    assert [model.predict([{"text": text}]).predictions[0] for text in TEXTS[:5]] == wanted[:5]
    with pytest.raises(PredictionError, match="reads one text") as raised:
        model.predict([{"text": "good"}, {"text": 7}, {"text": None}])
    assert raised.value.suspects == (1, 2)


def test_a_text_column_among_others_answers_as_the_model_would_itself(tmp_path: Path) -> None:
    table = pd.DataFrame({"text": TEXTS, "age": NUMBERS[:, 0]})
    columns = make_column_transformer((TfidfVectorizer(), "text"), ("passthrough", ["age"]))
    estimator = make_pipeline(columns, LogisticRegression()).fit(table, CLASS)
    check(bundled(estimator, tmp_path), estimator, table, as_rows(table))


def test_a_model_that_makes_columns_of_names_answers_as_it_would_itself(tmp_path: Path) -> None:
    rows = as_rows(PLAIN[["age", "city"]])
    for at, vectorizer in enumerate((DictVectorizer(), FeatureHasher(32))):
        (folder := tmp_path / str(at)).mkdir()
        estimator = make_pipeline(vectorizer, LogisticRegression()).fit(rows, PICKED)
        assert bundled(estimator, folder).predict(rows[:9]).predictions == estimator.predict(rows[:9]).tolist()


class Ratio(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Somebody's own step, which reads columns of a data frame by name."""

    def fit(self, table: Any, truth: Any = None) -> Any:
        self.feature_names_in_ = table.columns.to_numpy(dtype=object)
        self.n_features_in_ = table.shape[1]
        return self

    def transform(self, table: Any) -> Any:
        return table.assign(ratio=table["debt"] / table["income"])[["ratio"]]


def parts_of_time(table: Any) -> Any:
    when = table["when"]
    return np.stack([when.dt.hour, when.dt.day_of_week, (~table["member"]).astype(float)], axis=1)


MONEY = pd.DataFrame({"debt": np.abs(NUMBERS[:, 0]) + 0.1, "income": np.abs(NUMBERS[:, 1]) + 0.1})
TIMES = pd.DataFrame(
    {"when": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(ROWS) * 7, "h"), "member": PLAIN.member}
)


def test_a_step_of_ones_own_gets_the_data_frame_it_was_fitted_with(tmp_path: Path) -> None:
    estimator = make_pipeline(Ratio(), LogisticRegression()).fit(MONEY, (MONEY.debt > MONEY.income).astype(int))
    check(bundled(estimator, tmp_path), estimator, MONEY, as_rows(MONEY))


def sampled(table: pd.DataFrame, folder: Path) -> Path:
    table.to_parquet(folder / "sample.parquet")
    return folder / "sample.parquet"


OWN: dict[str, tuple[Any, pd.DataFrame]] = {
    "times": (lambda: FunctionTransformer(parts_of_time), TIMES),
    "times with a zone": (
        lambda: FunctionTransformer(parts_of_time),
        TIMES.assign(when=TIMES.when.dt.tz_localize("Europe/Oslo", ambiguous=True, nonexistent="shift_forward")),
    ),
    "whole numbers as text": (
        lambda: make_pipeline(FunctionTransformer(whole_as_text), OneHotEncoder(handle_unknown="ignore")),
        PLAIN[["store"]],
    ),
    "float32": (lambda: FunctionTransformer(twice), PLAIN[["age"]].astype("float32")),
    "category columns": (lambda: FunctionTransformer(codes), categories(HOLES, "city")[["city"]]),
}


def whole_as_text(table: Any) -> Any:
    return table.astype(str)


def twice(table: Any) -> Any:
    return table * 2


def codes(table: Any) -> Any:
    return np.stack([table[name].cat.codes for name in table], axis=1)


@pytest.mark.parametrize("name", OWN)
def test_a_sample_tells_the_types_that_the_model_does_not(name: str, tmp_path: Path) -> None:
    make, table = OWN[name]
    estimator = make_pipeline(make(), DecisionTreeClassifier(random_state=0)).fit(table, PICKED)
    model = bundled(estimator, tmp_path, sample=sampled(table, tmp_path))
    check(model, estimator, table, as_rows(table))


def test_a_missing_truth_value_or_whole_number_changes_no_neighbour(tmp_path: Path) -> None:
    estimator = make_pipeline(
        FunctionTransformer(whole_as_text), OneHotEncoder(handle_unknown="ignore"), DecisionTreeClassifier()
    )
    estimator.fit(PLAIN[["store", "member"]], PICKED)
    model = bundled(estimator, tmp_path, sample=sampled(PLAIN[["store", "member"]], tmp_path))
    rows = as_rows(PLAIN[["store", "member"]])[:20]
    alone = model.predict(rows).predictions
    holes: list[Row] = [
        {"store": None, "member": True},
        {"store": 101, "member": None},
        {"store": 101.5, "member": "maybe"},
    ]
    assert model.predict([*holes, *rows]).predictions[3:] == alone
    assert model.predict([{"store": float(row["store"]), "member": row["member"]} for row in rows]).predictions == alone


def test_a_model_that_answers_its_sample_otherwise_is_not_loaded(tmp_path: Path) -> None:
    estimator = LogisticRegression().fit(NUMBERS, CLASS)
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(orjson.dumps({"features": row}) for row in NUMBERS[:5].tolist()))
    joblib.dump(estimator, tmp_path / "model.joblib")
    options: dict[str, Any] = {"name": "m", "version": "1", "features": None, "now_ms": 0, "allow_pickle": True}
    made = write_bundle(tmp_path / "model.joblib", out=tmp_path / "b", sample=tmp_path / "rows.jsonl", **options)
    assert load_model(made, allow_pickle=True).predict(NUMBERS[:5].tolist()).predictions == CLASS[:5].tolist()
    sample = made.folder / "sample.jsonl"
    changed = sample.read_bytes().replace(b'"prediction":0', b'"prediction":7')
    sample.write_bytes(changed)
    with pytest.raises(BundleError, match="sha256 differs"):
        load_model(made, allow_pickle=True)
    manifest = orjson.loads((made.folder / "manifest.json").read_bytes())
    manifest["sample_sha256"] = hashlib.sha256(changed).hexdigest()
    (made.folder / "manifest.json").write_bytes(orjson.dumps(manifest))
    with pytest.raises(BundleError, match=r"asked row \d of its sample in a batch, answers 0 .*; .* it answered 7"):
        load_model(read_bundle(made.folder), allow_pickle=True)


class Forgetful(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Answers with the size of the batch, as no model should."""

    def fit(self, table: Any, truth: Any) -> Any:
        self.n_features_in_ = 3
        return self

    def predict(self, table: Any) -> Any:
        return np.full(len(table), len(table))


@pytest.mark.parametrize(
    ("estimator", "sample", "said"),
    [
        (Forgetful().fit(NUMBERS, CLASS), NUMBERS[:5].tolist(), "asked row 1 of its sample alone, answers 1; .* 5"),
        (
            LogisticRegression().fit(NUMBERS, CLASS),
            [[1.0, 2.0, 3.0], [1.0, None, 2.0]],
            "cannot answer row 2 of the sample",
        ),
        (LogisticRegression().fit(NUMBERS, CLASS), ["text"], "line 1 is no object and no list"),
        (LogisticRegression().fit(NUMBERS, CLASS), [], "has no rows"),
    ],
)
def test_a_sample_that_cannot_be_answered_alike_is_refused(
    estimator: Any, sample: list[Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(map(orjson.dumps, sample)))
    with pytest.raises(BundleError, match=said):
        bundled(estimator, tmp_path, sample=tmp_path / "rows.jsonl")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pd.to_timedelta(np.arange(ROWS), "h"), "of type timedelta64.*no row of JSON"),
        (pd.array(np.arange(ROWS), dtype="Int64"), "of type Int64"),
        (pd.Series([[1]] * ROWS), "of type object"),
    ],
)
def test_a_type_that_json_cannot_bring_is_refused_when_bundling(column: Any, said: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"a": NUMBERS[:, 0], "odd": column})
    estimator = make_pipeline(make_column_transformer(("passthrough", ["a"])), LogisticRegression()).fit(table, CLASS)
    with pytest.raises(BundleError, match=said):
        bundled(estimator, tmp_path, sample=sampled(table, tmp_path))


def test_a_transformer_named_when_bundling_is_trusted_when_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clipping_steps.py").write_text(
        "from sklearn.base import BaseEstimator, TransformerMixin\n"
        "class Clip(BaseEstimator, TransformerMixin):\n"
        "    def fit(self, X, y=None): self.n_features_in_ = 3; return self\n"
        "    def transform(self, X): return X.clip(-1, 1)\n"
        "def halved(X): return X / 2\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    steps = importlib.import_module("clipping_steps")
    estimator = make_pipeline(steps.Clip(), LogisticRegression()).fit(NUMBERS, CLASS)
    options: dict[str, Any] = {"name": "m", "version": "1", "features": None, "now_ms": 0}
    skops.io.dump(estimator, tmp_path / "model.skops")
    made = write_bundle(tmp_path / "model.skops", out=tmp_path / "b", trusted=["clipping_steps.Clip"], **options)
    assert (
        load_model(made, allow_pickle=False).predict(NUMBERS.tolist()).predictions
        == estimator.predict(NUMBERS).tolist()
    )
    # A function could be any function: whoever runs the model has to name it, the bundle is not enough.
    estimator = make_pipeline(FunctionTransformer(steps.halved), LogisticRegression()).fit(NUMBERS, CLASS)
    skops.io.dump(estimator, tmp_path / "model.skops")
    made = write_bundle(tmp_path / "model.skops", out=tmp_path / "c", trusted=["clipping_steps.halved"], **options)
    with pytest.raises(BundleError, match=r"clipping_steps\.halved.*trusted_types"):
        load_model(made, allow_pickle=False)
    assert load_model(made, allow_pickle=False, trusted=["clipping_steps.halved"]).model == "m@1"
