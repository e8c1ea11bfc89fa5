"""Runs a backtest: files in, the folder of results out."""

import contextlib
import gc
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from shadowbus.backtest.flow import Flow
from shadowbus.backtest.judging import ONE, JudgeBeside, JudgeHere
from shadowbus.backtest.log import Log
from shadowbus.backtest.plan import Plan
from shadowbus.backtest.recorded_model import RecordedModel, read_recorded
from shadowbus.backtest.results import Folder
from shadowbus.backtest.time_order import TimeOrderedReader
from shadowbus.compare import make_comparator
from shadowbus.errors import ShadowbusError
from shadowbus.replay.model.process import ModelProcess
from shadowbus.replay.stage import ReplayStage
from shadowbus.settings import Settings, ShadowSettings

LARGE_BYTES = 20_000_000
"""The size of the input, in bytes, from which the judge has a process of its own."""

Told = Callable[[float, int], None]
"""Told how much is read, from 0 to 1, and how many comparisons there are."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a backtest: the verdict records as they were written, and how many rows were far out of order."""

    verdicts: list[bytes]
    out_of_order: dict[Path, int]


def backtest(plan: Plan, folder: Folder, stop: threading.Event, told: Told) -> Result:
    """Run it.

    Args:
        plan: What to run.
        folder: Where the results go.
        stop: Set it to end early.
        told: Called now and then.

    Raises:
        ShadowbusError: A file cannot be read or holds nothing, or it was stopped.
        SettingsError: A file lacks a column, or a shadow's task is unknown.
        BundleError: A bundle cannot be trusted or loaded.
    """
    with contextlib.ExitStack() as opened:
        opened.enter_context(_calm_collector())
        reading = opened.enter_context(contextlib.closing(_reading(plan, folder)))
        state = Path(opened.enter_context(tempfile.TemporaryDirectory(dir=folder.path, prefix=".waiting-")))
        judge = opened.enter_context(contextlib.closing(_judge(plan, state)))
        replays = [
            _replay(plan, shadow, opened.enter_context(contextlib.closing(_model(plan, shadow, folder))))
            for shadow in plan.shadows
        ]
        flow = Flow(plan.settings, replays, judge, folder)
        opened.callback(flow.close)
        _read_all(reading, flow, plan.settings, lambda: _go_on(reading, flow, stop, told))
        if not flow.made["requests"] + flow.made["predictions"]:
            raise ShadowbusError(
                f"There is no row that can be used{folder.commonest()}: see {folder.path}/dead-letters.jsonl."
            )
        verdicts = flow.decide(reading.now_ms)
        late = {log.path: log.out_of_order for log in reading.logs if log.out_of_order}
        folder.summarize({"complete": True, **_summary(plan, folder, flow)})
        return Result(verdicts, late)


def _read_all(reading: TimeOrderedReader, flow: Flow, settings: Settings, go_on: Callable[[], None]) -> None:
    """All records, then what waits for halves that never come, then the labels that are left."""
    while pieces := reading.next(flow.paused()):
        flow.take(pieces, reading.now_ms, reading.lags())
        go_on()
    flow.take((), reading.now_ms, reading.lags())
    reading.now_ms += settings.replay.join_window_ms + 1
    flow.take((), reading.now_ms, reading.lags())
    flow.drain(reading.now_ms)
    while pieces := reading.rest():
        flow.take(pieces, reading.now_ms, reading.lags())
        go_on()
    flow.drain(reading.now_ms)


def _go_on(reading: TimeOrderedReader, flow: Flow, stop: threading.Event, told: Told) -> None:
    if stop.is_set():
        raise ShadowbusError(f"Stopped after {flow.made['comparisons']} comparisons: there is no verdict.")
    told(reading.done(), flow.made["comparisons"])


def _reading(plan: Plan, folder: Folder) -> TimeOrderedReader:
    folder.files = dict(plan.files)
    logs: list[Log] = []
    try:
        for path, topics in plan.topics_by_file().items():
            logs.append(Log(path, topics, plan.settings.backtest))
    except BaseException:
        for log in logs:
            log.close()
        raise
    rows, patience_ms = plan.settings.worker.fetch_records, plan.settings.replay.join_window_ms
    reading = TimeOrderedReader(logs, rows, folder, patience_ms)
    folder.lines = {held.topic: held.lines for held in reading.held}
    return reading


def _model(plan: Plan, shadow: ShadowSettings, folder: Folder) -> ModelProcess | RecordedModel:
    if (path := plan.recorded.get(shadow.name)) is not None:
        return read_recorded(path, plan.settings.backtest, shadow.name, folder, plan.settings.replay.timed)
    return ModelProcess(shadow, plan.settings.model_path(shadow), plan.settings.replay.single_row_share)


def _judge(plan: Plan, state: Path) -> JudgeHere | JudgeBeside:
    """Beside, where that is worth the start of a process."""
    large = sum(path.stat().st_size for path in plan.topics_by_file()) >= LARGE_BYTES
    return (JudgeBeside if large else JudgeHere)(plan.settings, plan.shadows, state)


def _replay(plan: Plan, shadow: ShadowSettings, model: ModelProcess | RecordedModel) -> ReplayStage:
    comparator = make_comparator(shadow.task, shadow.options)
    return ReplayStage(
        ONE,
        settings=plan.settings,
        shadow=shadow,
        model=model,
        comparator=comparator,
        worker="backtest",
        cutoff=plan.cutoff_of(shadow),
    )


def _summary(plan: Plan, folder: Folder, flow: Flow) -> dict[str, object]:
    return {
        "shadows": [shadow.name for shadow in plan.shadows],
        "files": {topic: str(path) for topic, path in plan.files.items()},
        "shadow_predictions": {name: str(path) for name, path in plan.recorded.items()},
        "read": {topic: flow.made[topic] for topic in plan.files},
        "written": dict(folder.counts),
        "columns": {str(path): dict(says) for path, says in folder.says.items()},
        "rows": {str(path): rows for path, rows in folder.rows.items()},
        "rows_set_aside": {str(path): len(lines) for path, lines in folder.unread.items()},
        "set_aside": {str(path): folder.reasons(path) for path in folder.aside},
    }


@contextlib.contextmanager
def _calm_collector() -> Iterator[None]:
    """Look for reference cycles seldom, as the workers do: rows make many objects and no cycles."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
