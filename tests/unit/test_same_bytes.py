"""The same records give the same bytes on another processor, with another C library, and when published twice."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
from datasketches import kll_floats_sketch

from shadowbus.decide.difference import same_as_shown
from shadowbus.statistics.kll_union import union
from shadowbus.statistics.logarithm import log
from shadowbus.statistics.quantiles import K, Quantiles

TESTS = Path(__file__).resolve().parents[1]
PROGRAM = """
import random
from random_log import SETTINGS, SOURCES, Log
from downstream import Downstream
from shadowbus.aggregate.stage import AggregateStage
import numpy as np
log = Log(5, 40)  # so few that no sketch of a partial throws dice
stage, board = AggregateStage(frozenset(SOURCES), SETTINGS), Downstream(SETTINGS)
for (topic, source), values in log.topics.items():
    stage.process([log.slice(topic, source, 0, len(values))], 1_000)
for _, key, value in stage.checkpoint(1_000).records["partials"]:
    board.take(key, value)
for one in board.publish():
    print(one.topic, one.key, one.value)
"""
NATIVE = subprocess.run(
    [sys.executable, "-c", "from numpy._core._multiarray_umath import __cpu_features__ as f, __cpu_dispatch__ as d;"
     "print(*[name for name in d if f.get(name)])"],
    capture_output=True, text=True, check=True,
).stdout.split()  # fmt: skip
PLACES = {
    "another dispatch of numpy": {"NPY_DISABLE_CPU_FEATURES": " ".join(NATIVE)},
    "another C library path": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F,-FMA4,-AVX2_Usable,-FMA_Usable"},
}
PLACES["both"] = PLACES["another dispatch of numpy"] | PLACES["another C library path"]


def published(**places: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(TESTS), **places}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def here() -> list[str]:
    return published()


def test_it_is_another_dispatch() -> None:
    assert NATIVE, "numpy has nothing here that could be turned off"


@pytest.mark.parametrize("place", PLACES)
def test_aggregates_and_verdicts_have_the_same_bytes_elsewhere(here: list[str], place: str) -> None:
    assert len(here) > 20
    assert sum(line.startswith("verdicts") for line in here) >= 1
    assert published(**PLACES[place]) == here


def test_the_logarithm_is_as_good_as_that_of_numpy() -> None:
    rng = np.random.default_rng(1)
    some = np.concatenate((rng.random(20_000), 10.0 ** rng.uniform(-300, 300, 20_000), [1.0, 2.0, 0.5, 5e-324]))
    assert (np.abs(log(some) - np.log(some)) <= np.spacing(np.abs(np.log(some)))).all()
    assert log(np.array([0.0, np.inf])).tolist() == [-np.inf, np.inf]
    assert np.isnan(log(np.array([-1.0, np.nan]))).all()


def sketches(sizes: list[int], seed: int) -> tuple[list[bytes], np.ndarray]:
    rng, raw, every = np.random.default_rng(seed), [], []
    for size in sizes:
        values, sketch = rng.lognormal(0, 1, size).astype(np.float32), kll_floats_sketch(K)
        sketch.update(values)
        raw.append(sketch.serialize())
        every.append(values)
    return raw, np.sort(np.concatenate(every))


@pytest.mark.parametrize(
    "sizes", [[1], [1, 1], [2, 1], [5, 300], [199, 200, 201], [1_000] * 2, [30_000] * 8, [400] * 64]
)
def test_a_union_of_sketches_is_the_same_in_any_order_and_right_within_their_error(sizes: list[int]) -> None:
    raw, every = sketches(sizes, 3)
    merged = union(raw, K)
    assert merged == union(raw[::-1], K)
    sketch = kll_floats_sketch.deserialize(merged)
    assert (sketch.n, sketch.get_min_value(), sketch.get_max_value()) == (len(every), every[0], every[-1])
    for rank in np.linspace(0.01, 0.99, 99):
        at = sketch.get_quantile(rank, inclusive=True)
        low, high = np.searchsorted(every, at, "left") / len(every), np.searchsorted(every, at, "right") / len(every)
        assert low - 0.0133 <= rank <= high + 0.0133
    sketch.merge(kll_floats_sketch.deserialize(merged))  # the library goes on with it
    assert sketch.n == 2 * len(every)


def test_unions_that_are_worked_out_twice_have_the_same_bytes() -> None:
    raw, _ = sketches([5_000] * 4, 4)
    parts = [Quantiles(kll_floats_sketch.deserialize(one)) for one in raw]
    assert len({Quantiles.union(parts).to_record() for _ in range(20)}) == 1
    assert Quantiles.union([]).n == 0


def test_verdicts_are_compared_as_they_are_shown() -> None:
    said = {"criteria": [{"low": 0.1 + 0.2, "high": None, "name": "a"}], "requests": 3}
    last_bit = {**said, "criteria": [{"low": 0.3, "high": None, "name": "a"}]}
    other = {**said, "criteria": [{"low": 0.3000001, "high": None, "name": "a"}]}
    assert same_as_shown(orjson.dumps(said), orjson.dumps(last_bit))
    assert not same_as_shown(orjson.dumps(said), orjson.dumps(other))
    assert not same_as_shown(orjson.dumps(said), orjson.dumps({**said, "requests": 4}))
