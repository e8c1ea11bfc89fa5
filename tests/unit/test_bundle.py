"""What a bundle promises: whole or absent, never replaced, never opened when it is not what it says."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from shadowbus.errors import BundleError
from shadowbus.models.bundle import Bundle, read_bundle
from shadowbus.models.load import load_model
from shadowbus.models.make import write_bundle

NOW = 1_700_000_000_000
FEATURES = ("age", "income")


@pytest.fixture(scope="module")
def estimator() -> Any:
    random = np.random.default_rng(1)
    table = random.normal(size=(80, 2))
    return LogisticRegression().fit(table, (table[:, 0] > 0).astype(int))


@pytest.fixture
def saved(tmp_path: Path, estimator: Any) -> Path:
    file = tmp_path / "trained.skops"
    skops.io.dump(estimator, file)
    return file


@pytest.fixture
def bundled(tmp_path: Path, saved: Path) -> Bundle:
    return bundle(saved, tmp_path / "bundle")


def bundle(file: Path, out: Path, **changed: Any) -> Bundle:
    arguments: dict[str, Any] = {"name": "churn", "version": "4", "features": FEATURES, "now_ms": NOW}
    return write_bundle(file, out=out, **{**arguments, **changed})


def rewrite(folder: Path, **changed: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changed}))


class Bomb:
    """Unpickling it leaves a mark, as running foreign code would."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.mark),)


def test_a_bundle_reads_back_as_it_was_written(bundled: Bundle, saved: Path) -> None:
    back = read_bundle(bundled.folder)
    assert back == bundled
    assert back.model == "churn@4"
    assert back.features == FEATURES
    assert back.manifest.sha256 == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert back.manifest.created_ms == NOW
    assert "scikit-learn" in back.manifest.libraries
    assert json.loads((bundled.folder / "manifest.json").read_text())["v"] == 1


def test_a_loaded_bundle_predicts_as_the_estimator_did(bundled: Bundle, estimator: Any) -> None:
    rows = [{"income": 0.3, "age": -1.0}, {"income": -2.0, "age": 0.7}]
    answers = load_model(read_bundle(bundled.folder), allow_pickle=False).predict(rows)
    assert answers.predictions == estimator.predict([[-1.0, 0.3], [0.7, -2.0]]).tolist()


def test_features_come_from_the_estimator_when_none_are_given(tmp_path: Path, estimator: Any) -> None:
    estimator = LogisticRegression().fit([[0.0, 1.0], [1.0, 0.0]], [0, 1])
    estimator.feature_names_in_ = np.array(["b", "a"], dtype=object)
    skops.io.dump(estimator, tmp_path / "named.skops")
    assert bundle(tmp_path / "named.skops", tmp_path / "bundle", features=None).features == ("b", "a")


def test_features_that_do_not_fit_the_estimator_are_refused(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(BundleError, match="fitted on 2 features and the bundle names 3"):
        bundle(saved, tmp_path / "bundle", features=("a", "b", "c"))
    assert not (tmp_path / "bundle").exists()


def test_a_changed_model_file_is_never_loaded(bundled: Bundle) -> None:
    bundled.path.write_bytes(bundled.path.read_bytes() + b"x")
    with pytest.raises(BundleError, match="sha256 differs"):
        bundled.verify()
    with pytest.raises(BundleError, match="sha256 differs"):
        load_model(read_bundle(bundled.folder), allow_pickle=True)


def test_an_absent_model_file_is_named(bundled: Bundle) -> None:
    bundled.path.unlink()
    with pytest.raises(BundleError, match=r"model\.skops cannot be read"):
        bundled.verify()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"v": 2}, "'v' 2"),
        ({"name": "a|b"}, "'name' must be"),
        ({"name": "a@b"}, "'name' must be"),
        ({"version": "1 0"}, "'version' must be"),
        ({"version": 4}, "'version' must be"),
        ({"format": "onnx"}, "'format' must be"),
        ({"sha256": "abc"}, "'sha256' must be"),
        ({"features": []}, "'features' must be"),
        ({"features": ["a", "a"]}, "'features' must be"),
        ({"libraries": {"numpy": 2}}, "'libraries' must be"),
        ({"created_ms": True}, "'created_ms' must be"),
        ({"file": "../trained.skops"}, "'file' must be a path inside"),
        ({"file": "/etc/hostname"}, "'file' must be a path inside"),
        ({"file": ""}, "'file' must be a path inside"),
    ],
)
def test_a_malformed_manifest_names_its_file_and_key(bundled: Bundle, changed: dict[str, Any], said: str) -> None:
    rewrite(bundled.folder, **changed)
    with pytest.raises(BundleError) as raised:
        read_bundle(bundled.folder)
    assert said in str(raised.value)
    assert str(bundled.folder / "manifest.json") in str(raised.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'"x"', b"\xff"])
def test_a_manifest_that_is_no_manifest_is_refused(bundled: Bundle, data: bytes) -> None:
    (bundled.folder / "manifest.json").write_bytes(data)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_bundle(bundled.folder)


def test_a_folder_without_a_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="shadowbus bundle"):
        read_bundle(tmp_path)


def test_a_link_out_of_the_folder_is_refused(bundled: Bundle, saved: Path) -> None:
    bundled.path.unlink()
    bundled.path.symlink_to(saved)
    with pytest.raises(BundleError, match="leads outside"):
        read_bundle(bundled.folder)
    with pytest.raises(BundleError, match="leads outside"):
        bundled.read()


def test_unknown_keys_are_ignored(bundled: Bundle) -> None:
    rewrite(bundled.folder, signature="later")
    assert read_bundle(bundled.folder) == bundled


@pytest.mark.parametrize("suffix", [".joblib", ".pkl"])
def test_a_pickle_is_loaded_only_by_choice(tmp_path: Path, estimator: Any, suffix: str) -> None:
    file = tmp_path / f"trained{suffix}"
    joblib.dump(estimator, file)
    made = bundle(file, tmp_path / "bundle")
    with pytest.raises(BundleError, match="allow_pickle = true"):
        load_model(made, allow_pickle=False)
    assert load_model(made, allow_pickle=True).model == "churn@4"


def test_bundling_a_pickle_runs_nothing_in_it(tmp_path: Path) -> None:
    file, mark = tmp_path / "bomb.pkl", tmp_path / "mark"
    file.write_bytes(pickle.dumps(Bomb(mark)))
    made = bundle(file, tmp_path / "bundle")
    with pytest.raises(BundleError):
        load_model(made, allow_pickle=False)
    assert not mark.exists()
    assert made.manifest.input is None
    # Opened by choice it does leave its mark, so that the absence above means something.
    with pytest.raises(BundleError):
        bundle(file, tmp_path / "other", features=None, allow_pickle=True)
    assert mark.exists()


def test_a_pickle_that_may_not_be_opened_and_names_no_features_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"")
    with pytest.raises(BundleError, match="add --allow-pickle"):
        bundle(tmp_path / "model.joblib", tmp_path / "bundle", features=None)
    assert not (tmp_path / "bundle").exists()


def test_a_skops_file_builds_no_type_that_is_not_trusted(tmp_path: Path, estimator: Any) -> None:
    step = make_pipeline(FunctionTransformer(os.path.basename), LogisticRegression())
    skops.io.dump(step, tmp_path / "foreign.skops")
    with pytest.raises(BundleError, match=r"not trusted: posixpath\.basename"):
        bundle(tmp_path / "foreign.skops", tmp_path / "bundle", features=None)
    trusted = ["posixpath.basename"]
    assert bundle(tmp_path / "foreign.skops", tmp_path / "bundle", features=None, trusted=trusted).features is None


def test_a_file_that_is_not_what_its_suffix_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.skops").write_bytes(b"PK nonsense")
    with pytest.raises(BundleError, match="cannot be loaded with skops"):
        bundle(tmp_path / "broken.skops", tmp_path / "bundle")
    with pytest.raises(BundleError, match="must end in one of"):
        bundle(tmp_path / "model.onnx", tmp_path / "bundle")
    with pytest.raises(BundleError, match="cannot be read"):
        bundle(tmp_path / "absent.skops", tmp_path / "bundle")


@pytest.mark.parametrize("word", ["", "a b", "a|b", "a~b", "a@b", "../a", ".a", "a" * 65])
def test_names_that_would_break_a_topic_key_are_refused(tmp_path: Path, saved: Path, word: str) -> None:
    for key in ("name", "version"):
        with pytest.raises(BundleError, match=f"model's {key} must be"):
            bundle(saved, tmp_path / "bundle", **{key: word})


def test_the_same_bundle_again_changes_nothing(bundled: Bundle, saved: Path) -> None:
    before = (bundled.folder / "manifest.json").read_bytes()
    assert bundle(saved, bundled.folder, now_ms=NOW + 1) == bundled
    assert (bundled.folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("changed", [{"version": "5"}, {"features": ("income", "age")}])
def test_a_different_bundle_is_never_overwritten(bundled: Bundle, saved: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="already holds another bundle"):
        bundle(saved, bundled.folder, **changed)
    assert read_bundle(bundled.folder) == bundled


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, saved: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "precious.txt").write_text("mine")
    with pytest.raises(BundleError, match="not a model bundle"):
        bundle(saved, tmp_path / "notes")
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["precious.txt"]


def test_two_writers_at_once_leave_one_whole_bundle(tmp_path: Path, saved: Path) -> None:
    out = tmp_path / "built" / "bundle"

    def write(version: str) -> str:
        try:
            return bundle(saved, out, version=version).model
        except BundleError:
            return "refused"

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(write, ["1", "2"] * 8))
    winner = read_bundle(out)
    winner.verify()
    assert set(said) == {winner.model, "refused"}
    assert said.count(winner.model) == 8
    assert [path.name for path in out.parent.iterdir()] == ["bundle"]


def test_an_unknown_kind_says_which_exist(bundled: Bundle) -> None:
    rewrite(bundled.folder, kind="crystal-ball")
    with pytest.raises(BundleError, match=r"'crystal-ball'; the kinds known here are: sklearn"):
        load_model(read_bundle(bundled.folder), allow_pickle=False)
