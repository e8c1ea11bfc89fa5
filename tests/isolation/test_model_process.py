"""The model process in its usual course: asked, killed, closed; and the circuit that lets it rest."""

import contextlib
import doctest
import hashlib
import importlib
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import psutil
import pytest
import skops.io
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fakes.misbehaving import Deed, Misbehaving, bundle_of
from fakes.questions import ask, chunk
from shadowbus.errors import BundleError
from shadowbus.models.make import write_bundle
from shadowbus.models.manifest import Manifest
from shadowbus.replay.model import environment, stderr_tail
from shadowbus.replay.model.circuit_breaker import (
    DEATHS,
    FIRST_PAUSE,
    PATIENCE_SECONDS,
    REGAIN,
    WITHIN_SECONDS,
    CircuitBreaker,
)
from shadowbus.replay.model.process import ModelProcess
from shadowbus.replay.model.vitals import ModelVitals
from shadowbus.settings import ShadowSettings

Open = Callable[..., ModelProcess]

FINE, EXIT = Deed.FINE, Deed.EXIT


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(Misbehaving(), tmp_path_factory.mktemp("misbehaving"))


@pytest.fixture
def model(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelProcess]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # where the child finds the estimator's class
    process = ModelProcess(ShadowSettings("s", "m", timeout_ms=800, allow_pickle=True, memory_mb=512), bundle)
    yield process
    process.close()


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
    assert model.vitals.deaths == {"crash": 1}


def test_a_killed_keeper_is_started_again(model: ModelProcess) -> None:
    assert ask(model, [FINE]) == {}
    server = psutil.Process(model.vitals.pid).parent()
    assert server is not None
    server.kill()
    os.kill(model.vitals.pid, signal.SIGKILL)
    deadline = time.monotonic() + 90
    while failed := ask(model, [FINE] * 10):  # on a machine so busy that loading takes longer than rows wait
        assert {status for status, _ in failed.values()} == {"shadow_unavailable"}
        assert time.monotonic() < deadline
    assert model.vitals.loads == 2


def test_a_model_that_always_crashes_opens_the_circuit_and_the_worker_keeps_pace(
    model: ModelProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WITHIN_SECONDS", "FIRST_PAUSE"):  # however slow this machine is
        monkeypatch.setattr(f"shadowbus.replay.model.circuit_breaker.{name}", 600.0)
    model.circuit = CircuitBreaker(600.0)
    failed = ask(model, [EXIT] * (2 * DEATHS))
    assert {status for status, _ in failed.values()} == {"shadow_crash", "shadow_unavailable"}
    texts = {text for status, text in ask(model, [FINE] * 5).values() if status == "shadow_unavailable"}
    assert texts == {str(model.report()["circuit_reason"])}
    assert model.report()["circuit"] == "open"


def test_closing_leaves_no_process_behind(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    process = ModelProcess(ShadowSettings("s", "m", allow_pickle=True), bundle)
    ask(process, [FINE])
    worker = psutil.Process(process.vitals.pid)
    server = worker.parent()
    process.close()
    assert not worker.is_running()
    assert server is not None
    assert not server.is_running()


def test_a_pickle_is_refused_unless_allowed(bundle: Path) -> None:
    with pytest.raises(BundleError, match="allow_pickle"):
        ModelProcess(ShadowSettings("s", "m"), bundle)


def test_the_first_question_may_take_longer_and_only_that(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    process = ModelProcess(ShadowSettings("s", "m", timeout_ms=300, allow_pickle=True), bundle)
    try:
        assert ask(process, [Deed.SLOW]) == {}  # 1 s, as when libraries load parts of themselves
        ((status, _),) = ask(process, [Deed.SLOW]).values()
        assert status == "shadow_timeout"
    finally:
        process.close()


def test_a_model_that_loads_late_is_warm_again_after_each_crash(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    process = ModelProcess(ShadowSettings("s", "m", timeout_ms=400, allow_pickle=True), bundle)
    try:
        assert ask(process, [Deed.LAZY]) == {}
        for _ in range(2):
            ((status, _),) = ask(process, [Deed.EXIT]).values()
            assert status == "shadow_crash"
            assert ask(process, [Deed.LAZY]) == {}  # not late for what was loaded before it
        assert set(process.vitals.deaths) == {"crash"}
    finally:
        process.close()


def test_a_file_that_unpacks_to_more_than_a_model_may_take_is_not_unpacked(tmp_path: Path) -> None:
    bomb = zipfile.ZipFile(tmp_path / "model.skops", "w", zipfile.ZIP_DEFLATED)
    with bomb, bomb.open("schema.json", "w") as part:
        for _ in range(600):
            part.write(bytes(2**20))
    sha256 = hashlib.sha256((tmp_path / "model.skops").read_bytes()).hexdigest()
    manifest = Manifest("m", "1", "sklearn", "skops", "model.skops", sha256, None, {}, 0)
    (tmp_path / "manifest.json").write_bytes(manifest.encode())
    with pytest.raises(
        BundleError, match=r"becomes 629 MB when it is unpacked, and may become 537 MB; raise memory_mb"
    ):
        ModelProcess(ShadowSettings("s", "m", memory_mb=512), tmp_path)


def test_the_circuit_opens_after_many_deaths_and_closes_after_a_pause() -> None:
    circuit = CircuitBreaker()
    step = WITHIN_SECONDS / DEATHS / 2
    for number in range(DEATHS):
        assert circuit.allows(number * step)
        circuit.died(number * step)
    opened = (DEATHS - 1) * step
    assert not circuit.allows(opened + FIRST_PAUSE - 0.01)
    assert circuit.allows(opened + FIRST_PAUSE)


def test_deaths_that_are_far_apart_leave_the_circuit_closed() -> None:
    circuit = CircuitBreaker()
    for number in range(DEATHS * 2):
        circuit.died(number * WITHIN_SECONDS)
        assert circuit.allows(number * WITHIN_SECONDS)


def test_the_circuit_opens_when_patience_is_spent_and_rests_longer_each_time() -> None:
    circuit, now = CircuitBreaker(), 1_000.0
    circuit.lost(PATIENCE_SECONDS - 1, now)
    assert circuit.allows(now)
    assert circuit.patience(now) == pytest.approx(1)
    circuit.lost(1, now + 1)  # lost time brings nothing back
    assert not circuit.allows(now + 1 + FIRST_PAUSE - 0.01)
    now += 1 + FIRST_PAUSE
    assert circuit.allows(now)
    assert circuit.patience(now) == pytest.approx(FIRST_PAUSE * REGAIN)
    circuit.lost(FIRST_PAUSE, now + FIRST_PAUSE)
    assert not circuit.allows(now + FIRST_PAUSE + 2 * FIRST_PAUSE - 0.01)
    assert circuit.opened == 2


def test_little_loss_again_and_again_is_borne_for_ever() -> None:
    circuit = CircuitBreaker()
    for number in range(1, 1_000):
        circuit.lost(REGAIN, number * (1 + REGAIN))
        assert circuit.allows(number * (1 + REGAIN))


def test_operators_are_told_what_every_vital_means() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.partition("### Vitals of a model")[2].partition("\n## ")[0]
    for name in ("name", *ModelVitals().record(CircuitBreaker(), 0.0)):
        assert f"`{name}`" in section, name


@pytest.mark.parametrize("module", [stderr_tail, environment], ids=lambda module: module.__name__)
def test_the_examples_in_docstrings(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


def test_a_type_that_the_settings_trust_is_built_in_the_models_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mysteps.py").write_text("def halved(table):\n    return table / 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    halved = importlib.import_module("mysteps").halved
    estimator = make_pipeline(FunctionTransformer(halved), LinearRegression()).fit(np.array([[0.0], [2.0]]), [0.0, 1.0])
    skops.io.dump(estimator, tmp_path / "model.skops")
    write_bundle(
        tmp_path / "model.skops",
        name="m",
        version="1",
        out=tmp_path / "bundle",
        features=["deed"],
        now_ms=0,
        trusted=["mysteps.halved"],
    )
    with pytest.raises(BundleError, match=r"mysteps\.halved.*trusted_types"):
        ModelProcess(ShadowSettings("s", "b"), tmp_path / "bundle")
    model = ModelProcess(ShadowSettings("s", "b", trusted_types=("mysteps.halved",)), tmp_path / "bundle")
    with contextlib.closing(model):
        asked = chunk([4.0])
        model.ask(asked)
        while asked.answers is None:
            model.collect(wait=True)
        assert asked.answers.predictions == [pytest.approx(2.0)]
