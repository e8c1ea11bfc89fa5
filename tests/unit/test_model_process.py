"""The model process: whatever a row does to it, that row alone bears the status, and the others are predicted."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import orjson
import psutil
import pytest

from fakes.misbehaving import EXIT, FINE, HANG, MEMORY, NAN, PRINT, QUIT, RAISE, SEGFAULT, SHAPE, Misbehaving
from shadowbus.errors import BundleError
from shadowbus.replay.circuit import DEATHS, FIRST_PAUSE, WITHIN_SECONDS, Circuit
from shadowbus.replay.model_process import Chunk, ModelProcess
from shadowbus.settings import ShadowSettings
from shadowbus.shadows.bundle import write_bundle

Open = Callable[..., ModelProcess]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("misbehaving")
    joblib.dump(Misbehaving(), folder / "model.joblib")
    out = folder / "bundle"
    write_bundle(folder / "model.joblib", name="m", version="1", out=out, features=["deed"], now_ms=0)
    return out


@pytest.fixture
def model(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelProcess]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # where the child finds the estimator's class
    process = ModelProcess(ShadowSettings("s", "m", timeout_ms=200, allow_pickle=True, memory_mb=512), bundle)
    yield process
    process.close()


def chunk(deeds: list[int]) -> Chunk:
    keys = [b"r%d" % number for number in range(len(deeds))]
    values = [
        orjson.dumps({"request_id": key.decode(), "timestamp_ms": 1, "features": {"deed": deed}})
        for key, deed in zip(keys, deeds, strict=True)
    ]
    return Chunk(keys, values)


def ask(model: ModelProcess, deeds: list[int]) -> dict[int, str]:
    """The statuses of the rows that failed."""
    asked = chunk(deeds)
    model.ask(asked)
    while asked.answers is None:
        model.collect(wait=True)
    answers = asked.answers
    assert len(answers.predictions) + len(answers.failed) == len(deeds)
    assert len(answers.scores) == len(answers.predictions)
    assert len(answers.tails) == len(deeds)
    return {row: status for row, (status, _) in answers.failed.items()}


@pytest.mark.parametrize(
    ("deed", "status"),
    [
        (RAISE, "shadow_error"),
        (NAN, "shadow_error"),
        (QUIT, "shadow_error"),
        (MEMORY, "shadow_error"),
        (HANG, "shadow_timeout"),
        (EXIT, "shadow_crash"),
        (SEGFAULT, "shadow_crash"),
    ],
)
def test_guilty_rows_bear_the_status_and_the_others_are_predicted(model: ModelProcess, deed: int, status: str) -> None:
    deeds = [FINE] * 100
    deeds[17] = deeds[60] = deed
    assert ask(model, deeds) == {17: status, 60: status}
    assert ask(model, [FINE] * 100) == {}


def test_a_model_that_answers_in_a_wrong_shape_fails_every_row(model: ModelProcess) -> None:
    assert ask(model, [SHAPE, FINE, FINE, FINE]) == {0: "shadow_error"}


def test_a_model_that_prints_a_gigabyte_is_not_heard(model: ModelProcess) -> None:
    failed = ask(model, [FINE, PRINT, FINE])
    assert set(failed) <= {1}
    assert ask(model, [FINE] * 3) == {}


def test_what_is_asked_behind_a_crash_is_answered_too(model: ModelProcess) -> None:
    first, second = chunk([FINE, EXIT, FINE]), chunk([FINE] * 5)
    model.ask(first)
    model.ask(second)
    while second.answers is None:
        model.collect(wait=True)
    assert first.answers is not None
    assert first.answers.failed.keys() == {1}
    assert len(second.answers.predictions) == 5


def test_a_worker_killed_from_outside_costs_no_row(model: ModelProcess) -> None:
    assert ask(model, [FINE] * 10) == {}
    os.kill(model.vitals.pid, signal.SIGKILL)
    assert ask(model, [FINE] * 10) == {}
    assert model.vitals.deaths == 1


def test_a_killed_keeper_is_started_again(model: ModelProcess) -> None:
    assert ask(model, [FINE]) == {}
    keeper = psutil.Process(model.vitals.pid).parent()
    assert keeper is not None
    keeper.kill()
    os.kill(model.vitals.pid, signal.SIGKILL)
    assert ask(model, [FINE] * 10) == {}
    assert model.vitals.loads == 2


def test_a_model_that_always_crashes_opens_the_circuit_and_the_worker_keeps_pace(model: ModelProcess) -> None:
    failed = ask(model, [EXIT] * (DEATHS + 30))
    assert set(failed.values()) == {"shadow_crash", "shadow_unavailable"}
    assert set(ask(model, [FINE] * 5).values()) == {"shadow_unavailable"}
    assert model.report()["circuit"] == "open"


def test_closing_leaves_no_process_behind(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    process = ModelProcess(ShadowSettings("s", "m", allow_pickle=True), bundle)
    ask(process, [FINE])
    worker = psutil.Process(process.vitals.pid)
    keeper = worker.parent()
    process.close()
    assert not worker.is_running()
    assert keeper is not None
    assert not keeper.is_running()


def test_a_pickle_is_refused_unless_allowed(bundle: Path) -> None:
    with pytest.raises(BundleError, match="allow_pickle"):
        ModelProcess(ShadowSettings("s", "m"), bundle)


def test_the_circuit_opens_after_many_deaths_and_closes_after_a_pause() -> None:
    circuit = Circuit()
    for number in range(DEATHS):
        assert circuit.allows(number / 10)
        circuit.died(number / 10)
    opened = (DEATHS - 1) / 10
    assert not circuit.allows(opened + FIRST_PAUSE - 0.01)
    assert circuit.allows(opened + FIRST_PAUSE)


def test_deaths_that_are_far_apart_leave_the_circuit_closed() -> None:
    circuit = Circuit()
    for number in range(DEATHS * 2):
        circuit.died(number * WITHIN_SECONDS)
        assert circuit.allows(number * WITHIN_SECONDS)
