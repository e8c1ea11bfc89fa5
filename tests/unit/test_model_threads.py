"""A model's numerical threads stay within the settings, however many it asks for."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from skops.io import dump
from threadpoolctl import threadpool_info

from fakes.misbehaving import bundle_of
from fakes.questions import chunk
from shadowbus.models.make import write_bundle
from shadowbus.replay.model.client import Chunk
from shadowbus.replay.model.process import ModelProcess
from shadowbus.settings import ShadowSettings

POOL_HANDLERS = 3
"""Threads of `multiprocessing.pool`, which joblib uses, that compute nothing."""

COUNTED, ALL_CORES, SIXTEEN, BOOSTED = range(4)


class Greedy:
    """Answers with whatever its rows ask for; the first of them says how many threads the libraries would use."""

    n_features_in_ = 1

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        rows, classes = rng.random((2_000, 1)), rng.random(2_000) > 0.5
        self.models = {
            ALL_CORES: ExtraTreesClassifier(200, max_depth=8, n_jobs=-1).fit(rows, classes),
            SIXTEEN: ExtraTreesClassifier(200, max_depth=8, n_jobs=16).fit(rows, classes),
            BOOSTED: HistGradientBoostingClassifier(max_iter=50).fit(rows, classes),
        }

    def predict(self, rows: NDArray[np.float64]) -> Any:
        np.ones((200, 200)) @ np.ones((200, 200))
        if rows[0, 0] == COUNTED:
            return np.full(len(rows), max(library["num_threads"] for library in threadpool_info()))
        return self.models[int(rows[0, 0])].predict(rows)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(Greedy(), tmp_path_factory.mktemp("greedy"))


@pytest.fixture(scope="module", params=[1, 2])
def model(request: pytest.FixtureRequest, bundle: Path) -> Iterator[ModelProcess]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        patch.setenv("OMP_NUM_THREADS", "7")  # what the operator's shell says is not what the settings say
        settings = ShadowSettings("s", "m", timeout_ms=20_000, allow_pickle=True, threads=request.param)
        process = ModelProcess(settings, bundle, 0.0)
        yield process
        process.close()


LOOKS = 5
"""So many times at least the threads are counted while the model predicts; a busy machine takes several questions."""


def predictions(model: ModelProcess, wish: int) -> tuple[list[Any], int]:
    """The predictions for 2,000 rows, and the most threads the worker had meanwhile."""
    seen, done = list[int](), threading.Event()

    def count() -> None:
        while not done.wait(0.001):
            if model.vitals.pid:
                seen.append(psutil.Process(model.vitals.pid).num_threads())

    counter = threading.Thread(target=count)
    counter.start()
    deadline = time.monotonic() + 60
    while True:
        asked = chunk([wish] * 2_000)
        model.ask(asked)
        while asked.answers is None:
            model.collect(wait=True)
        if len(seen) >= LOOKS or time.monotonic() > deadline:
            break
    done.set()
    counter.join()
    assert asked.answers.failed == {}
    return asked.answers.predictions, max(seen)


def test_blas_and_openmp_use_as_many_threads_as_the_settings_say(model: ModelProcess) -> None:
    found, _ = predictions(model, COUNTED)
    assert set(found) == {model.shadow.threads}


@pytest.mark.parametrize("wish", [ALL_CORES, SIXTEEN])
def test_a_forest_gets_no_more_threads_than_the_settings_say(model: ModelProcess, wish: int) -> None:
    _, most = predictions(model, wish)
    threads = model.shadow.threads
    if threads == 1:
        assert most == 1
    else:  # besides joblib's there are those of BLAS and OpenMP, which have nothing to do
        assert threads < most <= 1 + 2 * (threads - 1) + threads + POOL_HANDLERS


def test_boosted_trees_get_no_more_threads_than_the_settings_say(model: ModelProcess) -> None:
    _, most = predictions(model, BOOSTED)
    assert most <= 1 + 2 * (model.shadow.threads - 1)


def test_a_sample_that_is_asked_while_loading_leaves_no_threads_behind_that_a_worker_would_wait_for(
    tmp_path: Path,
) -> None:
    rows = np.random.default_rng(1).normal(size=(2_000, 3))
    dump(HistGradientBoostingClassifier(max_iter=20).fit(rows, rows[:, 0] > 0), tmp_path / "model.skops")
    features = [dict(zip("abc", row, strict=True)) for row in rows[:1_000].tolist()]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(map(orjson.dumps, features[:50])))
    out = tmp_path / "bundle"
    write_bundle(
        tmp_path / "model.skops",
        name="m",
        version="1",
        out=out,
        features=["a", "b", "c"],
        now_ms=0,
        sample=tmp_path / "rows.jsonl",
    )
    keys = [b"r%d" % number for number in range(len(features))]
    values = [
        orjson.dumps({"request_id": key.decode(), "timestamp_ms": 1_760_000_000_000, "features": row})
        for key, row in zip(keys, features, strict=True)
    ]
    model = ModelProcess(ShadowSettings("s", "m", threads=2, timeout_ms=2_000), out)
    try:
        asked = Chunk(keys, values)
        model.ask(asked)
        while asked.answers is None:
            model.collect(wait=True)
        assert len(asked.answers.predictions) == len(features)
        assert not model.vitals.deaths
    finally:
        model.close()
