"""Whatever a row does to its process, that row alone bears the status, and soon all is as it was before."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fakes.misbehaving import NAMED, SECRET, BadToLoad, Deed, Liar, Misbehaving, bundle_of
from fakes.questions import ask, chunk, rows_per_second, statuses
from patiently import eventually
from shadowbus.clock import Deadline
from shadowbus.doctor.gather import network_facts
from shadowbus.errors import BundleError
from shadowbus.replay.model.circuit_breaker import CircuitBreaker
from shadowbus.replay.model.client import Chunk
from shadowbus.replay.model.process import ModelProcess
from shadowbus.replay.model.processes import MOST_TASKS
from shadowbus.settings import Settings, ShadowSettings

TESTS = str(Path(__file__).parents[1])
MEMORY_MB = 32
SETTINGS = ShadowSettings("s", "m", timeout_ms=800, allow_pickle=True, memory_mb=MEMORY_MB, load_seconds=60)

GUILTY = {
    Deed.RAISE: ("shadow_error", "this row is not liked"),
    Deed.NAN: ("shadow_error", "not a finite number"),
    Deed.TYPE: ("shadow_error", "not text, true, false or a number"),
    Deed.QUIT: ("shadow_error", "SystemExit"),
    Deed.ALLOCATE: ("shadow_error", "Unable to allocate 32"),
    Deed.HOARD: ("shadow_error", "MemoryError"),
    Deed.SHARE: ("shadow_crash", f"more than {MEMORY_MB} MB of memory"),
    Deed.HANG: ("shadow_timeout", "no answer within 800 ms: .*misbehaving.py"),
    Deed.BUSY: ("shadow_timeout", "no answer within 800 ms"),
    Deed.DEAF: ("shadow_timeout", "no answer within 800 ms"),
    Deed.EXIT: ("shadow_crash", "exit code 3"),
    Deed.RETIRE: ("shadow_crash", "exit code 75"),
    Deed.SEGFAULT: ("shadow_crash", "SIGSEGV: .*Segmentation fault.*misbehaving.py"),
    Deed.ABORT: ("shadow_crash", "SIGABRT"),
    Deed.KILLED: ("shadow_crash", "SIGKILL"),
    Deed.GROUP: ("shadow_crash", "SIGKILL"),
    Deed.CLOSE: ("shadow_crash", "ended itself|closed the channel"),
    Deed.SCRIBBLE: ("shadow_crash", "wrote into the channel"),
    Deed.ODD: ("shadow_error", "no text for you|its text cannot be read"),
    Deed.WORDY: ("shadow_error", r"RuntimeError: lone \? surrogate x+$"),
    Deed.HUGE: ("shadow_error", "the answer of 3,000,006 bytes was left out: at most 1,048,576 are kept"),
    Deed.NETWORK: ("shadow_error", r"Network is unreachable.*network = true in its \[\[shadow\]\]"),
    Deed.LOOKUP: ("shadow_error", r"no features today.*network = true"),
    Deed.STOP: ("shadow_timeout", "no answer within 800 ms"),
    Deed.REGROUP: ("shadow_timeout", "no answer within 800 ms"),
    Deed.HELD: ("shadow_crash", "exit code 3"),
    Deed.FORGE_BYTES: ("shadow_crash", "bytes that are no answer"),
    Deed.FORGE_STATUS: ("shadow_crash", "bytes that are no answer: Invalid enum value 'shadow_splendid'"),
    Deed.FORGE_LATENCY: ("shadow_crash", "bytes that are no answer: Expected `float` >= 0"),
    Deed.FORGE_ROWS: ("shadow_crash", "bytes that are no answer: .* do not fit 1 rows"),
    Deed.FORGE_FIELD: ("shadow_crash", "bytes that are no answer: Object contains unknown field `verdict`"),
    Deed.FORGE_TAIL: ("shadow_crash", "bytes that are no answer"),
    Deed.FORGE_MALFORMED: ("shadow_crash", "calls requests malformed that are not"),
    Deed.ANNOUNCE: ("shadow_crash", r"gave an answer of 4,294,967,295 bytes where at most [\d,]+ are taken"),
    Deed.DRIP: ("shadow_timeout", "no answer within 800 ms"),
    Deed.FLOOD: ("shadow_crash", "wrote into the channel"),
    Deed.THREADS: ("shadow_error", "can't start new thread|MemoryError"),
    Deed.FILES: ("shadow_crash", "exit code 1: .*Too many open files"),
    Deed.DISK: ("shadow_error", "File too large"),
}

CUT_OFF = network_facts(Settings("n", shadow=(SETTINGS,))) == ""
needs_namespaces = pytest.mark.skipif(not CUT_OFF, reason="this system lets nobody make namespaces")
if not CUT_OFF:
    del GUILTY[Deed.NETWORK], GUILTY[Deed.LOOKUP]

FIRST = tuple(deed for deed in GUILTY if deed < Deed.ODD and deed not in (Deed.HANG, Deed.DEAF))

HARMLESS = (Deed.CHILD, Deed.ORPHAN, Deed.COPY, Deed.THREAD, Deed.LEAK)

GENEROUS_SECONDS = 60.0
PATIENT_SECONDS = 120.0
"""Guilty rows are found as long as there is patience, and a busy machine needs more of it. How patience ends has tests
of its own."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(Misbehaving(), tmp_path_factory.mktemp("misbehaving"))


@pytest.fixture(scope="module")
def shared(bundle: Path) -> Iterator[ModelProcess]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", TESTS)  # where the child finds the estimator's class
        process = ModelProcess(SETTINGS, bundle)
        yield process
        process.close()


@pytest.fixture
def model(shared: ModelProcess) -> ModelProcess:
    """One process for all tests: each leaves it as good as it found it."""
    shared.circuit = CircuitBreaker(PATIENT_SECONDS)
    return shared


@pytest.fixture
def own(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModelProcess]]:
    """Opens a process that is one test's alone."""
    monkeypatch.setenv("PYTHONPATH", TESTS)
    opened: list[ModelProcess] = []

    def open_process(settings: ShadowSettings = SETTINGS, path: Path = bundle) -> ModelProcess:
        opened.append(ModelProcess(settings, path))
        return opened[-1]

    yield open_process
    for process in opened:
        process.close()


def until(condition: Callable[[], bool], what: str, seconds: float = GENEROUS_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def family(model: ModelProcess) -> list[psutil.Process]:
    """The fork server, its worker, and all they have started."""
    server = psutil.Process(model.vitals.server)
    return [server, *server.children(recursive=True)]


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.mark.parametrize("deed", GUILTY, ids=lambda deed: deed.name)
def test_the_guilty_row_bears_status_and_reason_the_others_are_predicted_and_the_pace_returns(
    model: ModelProcess, own: Callable[..., ModelProcess], deed: Deed
) -> None:
    if deed == Deed.SHARE:  # memory is watched from outside, which has to be quicker than the deadline
        model = own(replace(SETTINGS, timeout_ms=10_000))
        model.circuit = CircuitBreaker(PATIENT_SECONDS)
    deeds = [Deed.FINE] * 300
    status, text = GUILTY[deed]
    guilty = [17] if status == "shadow_timeout" else [17, 160]  # a hang takes its time
    for row in guilty:
        deeds[row] = deed
    before, held = rows_per_second(model), psutil.Process().memory_info().rss
    failed = ask(model, deeds)
    assert psutil.Process().memory_info().rss - held < 128 * 2**20
    assert {row: found for row, (found, _) in failed.items()} == dict.fromkeys(guilty, status)
    for _, found in failed.values():
        assert re.search(text, found), found
    assert ask(model, [Deed.FINE] * 300) == {}
    eventually(lambda: rows_per_second(model) > before / 5, 60)
    assert model.report()["circuit"] == "closed"


@pytest.mark.parametrize("deed", HARMLESS, ids=lambda deed: deed.name)
def test_what_harms_nobody_is_no_fault(model: ModelProcess, deed: Deed) -> None:
    before = model.vitals.deaths.total()
    assert ask(model, [Deed.FINE, deed, Deed.FINE]) == {}
    assert ask(model, [Deed.FINE] * 300) == {}
    assert model.vitals.deaths.total() == before


@pytest.mark.parametrize("deed", [Deed.PRINT, Deed.SHOUT], ids=lambda deed: deed.name)
def test_a_gigabyte_that_is_printed_goes_nowhere(model: ModelProcess, deed: Deed) -> None:
    before = psutil.Process().memory_info().rss
    failed = statuses(model, [Deed.FINE, deed, Deed.FINE])
    assert failed in ({}, {1: "shadow_timeout"})  # printing that much may take longer than a row is allowed
    assert psutil.Process().memory_info().rss - before < 64 * 2**20
    assert ask(model, [Deed.FINE] * 300) == {}


def test_a_model_that_answers_in_a_wrong_shape_fails_the_row_it_is_wrong_for(model: ModelProcess) -> None:
    assert statuses(model, [Deed.SHAPE, *[Deed.FINE] * 99]) == {0: "shadow_error"}


def test_answers_that_are_too_large_together_are_asked_for_in_parts_and_soon_for_fewer_rows_at_once(
    own: Callable[..., ModelProcess],
) -> None:
    model = own(replace(SETTINGS, memory_mb=1_024, timeout_ms=2_000))
    model.circuit = CircuitBreaker(PATIENT_SECONDS)
    assert ask(model, [Deed.FINE] * 64) == {}
    before = model.chunk_rows(1_000)
    assert ask(model, [Deed.LARGE] * 64) == {}
    assert model.vitals.deaths == {"garbled": 1}
    rows = model.chunk_rows(1_000)
    assert rows <= 8 <= before
    assert ask(model, [Deed.LARGE] * rows) == {}
    assert model.vitals.deaths == {"garbled": 1}


def test_many_kinds_of_poison_in_one_chunk_are_each_found(model: ModelProcess) -> None:
    deeds = [Deed.FINE] * 1_000
    for number, deed in enumerate(FIRST):
        deeds[13 + 61 * number] = deed
    wanted = {row: GUILTY[deed][0] for row, deed in enumerate(deeds) if deed}
    found, greedy = statuses(model, deeds), deeds.index(Deed.SHARE)
    # A busy machine may not get through all that memory in 800 ms; that it is the memory has a test of its own.
    assert found.pop(greedy) in (wanted.pop(greedy), "shadow_timeout")
    assert found == wanted


@pytest.mark.parametrize("deed", [Deed.PARENT, Deed.STOP_PARENT], ids=lambda deed: deed.name)
def test_a_row_that_kills_the_keeper_too_is_found_and_the_model_loaded_again(
    own: Callable[..., ModelProcess], deed: Deed
) -> None:
    model = own()
    failed = statuses(model, [Deed.FINE, deed, Deed.FINE, Deed.FINE])
    # Each try costs a load of the model, and there may be no time for all of them.
    assert failed.pop(1) in ("shadow_crash", "shadow_timeout", "shadow_unavailable")
    assert set(failed.values()) <= {"shadow_unavailable"}
    until(lambda: ask(model, [Deed.FINE] * 10) == {}, "the model is never there again", 90)
    assert model.vitals.loads > 1


def test_a_worker_that_computes_dies_with_its_keeper(own: Callable[..., ModelProcess]) -> None:
    model = own()
    assert ask(model, [Deed.FINE]) == {}
    worker, server = psutil.Process(model.vitals.pid), psutil.Process(model.vitals.server)
    model.ask(chunk([Deed.BUSY] * 2))
    server.kill()
    until(lambda: not alive(worker), "the worker computes on for nobody", 2.0)


def test_a_slow_leak_costs_no_row_and_no_memory(own: Callable[..., ModelProcess]) -> None:
    model, deadline = own(), Deadline.after(PATIENT_SECONDS)
    while model.vitals.deaths["retired"] < 3:
        assert not deadline.passed, model.report()
        assert ask(model, [Deed.LEAK, *[Deed.FINE] * 9]) == {}
        resident = model.report()["resident_bytes"]
        assert isinstance(resident, int)
        assert resident < 1.5 * MEMORY_MB * 2**20 + 500 * 2**20
    assert set(model.vitals.deaths) == {"retired"}
    assert model.circuit.opened == 0


def test_what_waits_behind_a_process_that_has_grown_is_asked_again(own: Callable[..., ModelProcess]) -> None:
    model = own()
    chunks = [chunk([Deed.LEAK] * 3) for _ in range(20)]
    for one in chunks:
        model.ask(one)
        model.collect(wait=False)
    while model.in_flight:
        model.collect(wait=True)
    assert [one.answers is not None and len(one.answers.predictions) for one in chunks] == [3] * 20
    assert model.vitals.deaths["retired"] > 0


@pytest.mark.parametrize("deed", [Deed.CHILD, Deed.ORPHAN], ids=lambda deed: deed.name)
def test_what_a_model_has_started_ends_with_its_worker(model: ModelProcess, deed: Deed) -> None:
    assert ask(model, [deed, Deed.FINE]) == {}
    worker = model.vitals.pid
    started = [process for process in family(model) if process.pid not in (model.vitals.server, worker)]
    assert started
    os.kill(worker, signal.SIGKILL)
    assert ask(model, [Deed.FINE] * 10) == {}
    until(lambda: not any(map(alive, started)), "the model's own children outlive it")


def test_a_deadly_row_in_a_model_with_children_is_a_crash_and_not_a_hang(model: ModelProcess) -> None:
    # A child holds the worker's pipes open, so their end says nothing.
    deeds = [Deed.CHILD, *[Deed.FINE] * 9]
    assert ask(model, deeds) == {}
    failed = ask(model, [*[Deed.FINE] * 5, Deed.EXIT])
    assert failed.keys() == {5}
    assert failed[5][0] == "shadow_crash"


def test_the_worker_is_not_reached_by_a_signal_to_the_models_group(model: ModelProcess) -> None:
    assert ask(model, [Deed.FINE]) == {}
    mine, servers, workers = os.getpgrp(), os.getpgid(model.vitals.server), os.getpgid(model.vitals.pid)
    assert len({mine, servers, workers}) == 3
    os.killpg(servers, signal.SIGTERM)  # as at the end of a service, or a terminal
    os.killpg(servers, signal.SIGINT)
    assert ask(model, [Deed.FINE] * 10) == {}


WORKER = """
import sys, time
from pathlib import Path
from fakes.misbehaving import Deed
from fakes.questions import ask, chunk
from shadowbus.replay.model.process import ModelProcess
from shadowbus.settings import ShadowSettings
settings = ShadowSettings("s", "m", timeout_ms=60_000, allow_pickle=True)
model = ModelProcess(settings, Path(sys.argv[1]))
ask(model, [Deed[name] for name in sys.argv[2].split(",")])
model.ask(chunk([Deed[sys.argv[3]]]))
print("asked", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(("first", "then"), [("FINE", "FINE"), ("CHILD,ORPHAN", "BUSY"), ("FINE", "DEAF")])
def test_a_killed_worker_leaves_nothing_behind(bundle: Path, first: str, then: str) -> None:
    command = [sys.executable, "-c", WORKER, str(bundle), first, then]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([TESTS, *sys.path])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"asked\n"
        started = psutil.Process(worker.pid).children(recursive=True)
        assert len(started) >= 2 + first.count(",") * 2
        worker.kill()
        worker.wait()
        until(lambda: not any(map(alive, started)), f"left behind: {list(filter(alive, started))}", 2.0)


def test_a_worker_killed_while_a_bundle_hangs_on_loading_leaves_nothing_behind(tmp_path: Path) -> None:
    hanging = bundle_of(BadToLoad(Deed.BUSY), tmp_path / "hanging")
    command = [sys.executable, "-c", WORKER, str(hanging), "FINE", "FINE"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([TESTS, *sys.path])}
    with subprocess.Popen(command, env=environment) as worker:

        def busy() -> list[psutil.Process]:
            servers = psutil.Process(worker.pid).children(recursive=True)
            return [
                one for one in servers if one.cpu_times().user > 0 and "model.child.start" in " ".join(one.cmdline())
            ]

        until(lambda: bool(busy()), "the fork server was never started")
        servers = busy()
        until(lambda: servers[0].num_threads() >= 1 and servers[0].cpu_times().user > 1.0, "it does not even load")
        worker.kill()
        worker.wait()
        until(lambda: not any(map(alive, servers)), "the fork server loads on for nobody", 2.0)


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        (Deed.RAISE, "this row is not liked"),
        (Deed.SEGFAULT, "crashed while it was loaded: .*Segmentation fault"),
        (Deed.EXIT, "crashed while it was loaded"),
        (Deed.HANG, "did not load within 3 s"),
        (Deed.HOARD, "(needs|takes) more than 16 MB of memory .*; raise memory_mb"),
        (Deed.SHARE, "takes more than 16 MB of memory while it is loaded; raise memory_mb"),
        (Deed.LIE, "crashed while it was loaded"),
        pytest.param(Deed.NETWORK, r"network = true in its \[\[shadow\]\]", marks=needs_namespaces),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_bundle_that_cannot_be_loaded_is_an_error_that_says_why(
    own: Callable[..., ModelProcess], tmp_path: Path, deed: Deed, words: str
) -> None:
    bad = bundle_of(BadToLoad(deed), tmp_path / "bad")
    settings = replace(SETTINGS, memory_mb=16, load_seconds=3 if deed == Deed.HANG else 60)
    started = time.monotonic()
    with pytest.raises(BundleError, match=words):
        own(settings, bad)
    assert time.monotonic() - started < 60 + GENEROUS_SECONDS
    assert not [one for one in psutil.Process().children(recursive=True) if str(bad) in one.cmdline()]


def test_a_model_that_cannot_be_loaded_again_is_unavailable_and_comes_back(
    own: Callable[..., ModelProcess], tmp_path: Path
) -> None:
    moving = bundle_of(Misbehaving(), tmp_path / "moving")
    model = own(SETTINGS, moving)
    assert ask(model, [Deed.FINE]) == {}
    moving.rename(tmp_path / "elsewhere")
    psutil.Process(model.vitals.server).kill()
    failed: dict[int, tuple[str, str]] = {}

    def noticed() -> bool:
        failed.update(ask(model, [Deed.FINE]))
        return bool(failed)

    until(noticed, "nobody notices that the model is gone")
    assert failed[0][0] == "shadow_unavailable"
    (tmp_path / "elsewhere").rename(moving)
    until(lambda: ask(model, [Deed.FINE]) == {}, "the model does not come back", 90)


def test_a_model_that_starts_processes_without_end_is_ended_with_all_of_them(own: Callable[..., ModelProcess]) -> None:
    model = own(replace(SETTINGS, timeout_ms=60_000))
    model.circuit = CircuitBreaker(PATIENT_SECONDS)
    assert ask(model, [Deed.FINE]) == {}
    before = len(psutil.pids())
    ((status, text),) = ask(model, [Deed.PROCESSES]).values()
    assert status == "shadow_crash"
    assert f"started more than {MOST_TASKS} processes and threads" in text
    assert ask(model, [Deed.FINE] * 10) == {}
    until(lambda: len(psutil.pids()) < before + MOST_TASKS // 2, "what it started is still there")
    assert len(family(model)) == 2


def test_a_model_sees_neither_secrets_nor_descriptors_of_its_worker(
    own: Callable[..., ModelProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET, "hunter2")
    monkeypatch.setenv(NAMED, "passed on")
    with Path("/dev/null").open() as inherited:
        os.set_inheritable(inherited.fileno(), True)
        model = own(replace(SETTINGS, environment=(NAMED,)))
        ((status, said),) = ask(model, [Deed.SPY]).values()
    assert status == "shadow_error"
    assert "own=None named=passed on {'" in said
    kinds = set(re.findall(r"'(\w+)'", said.partition("theirs")[0]))
    assert kinds <= {"pipe", "null", "fd"}  # its channel, standard input and output, and the folder it looked into
    if model.report()["network"] == "off":
        assert "theirs=b'PermissionError'" in said


@needs_namespaces
def test_a_model_has_a_network_where_the_settings_say_so(own: Callable[..., ModelProcess]) -> None:
    assert own().report()["network"] == "off"
    model = own(replace(SETTINGS, network=True))
    assert model.report()["network"] == "on"
    ((_, said),) = ask(model, [Deed.NETWORK]).values() or [("", "")]
    assert "network = true" not in said


@needs_namespaces
def test_a_model_that_goes_on_without_the_network_it_misses_does_not_do_so_unseen(
    own: Callable[..., ModelProcess], caplog: pytest.LogCaptureFixture
) -> None:
    model = own()
    assert ask(model, [Deed.FINE] * 3) == {}
    assert model.report()["network_missed"] == 0
    assert ask(model, [Deed.FALL_BACK]) == {}
    for _ in range(2):
        missed = model.report()["network_missed"]
        assert isinstance(missed, int)
        assert missed > 0
    assert [record.message for record in caplog.records] == [
        "m@1 wants to reach the network, and has none; network = true gives it one"
    ]


NO_NAMESPACES = """
import sys
from pathlib import Path
from shadowbus.replay.model.child.start import cut_off
assert cut_off() == ""  # before anything starts threads
Path("/proc/sys/user/max_user_namespaces").write_text("0")  # as in a container that does not allow them
from fakes.misbehaving import Deed
from fakes.questions import ask
from shadowbus.replay.model.process import ModelProcess
from shadowbus.settings import ShadowSettings
model = ModelProcess(ShadowSettings("s", "m", timeout_ms=2_000, allow_pickle=True), Path(sys.argv[1]))
print(model.report()["network"], ask(model, [Deed.FINE] * 10), *ask(model, [Deed.NETWORK]).values())
model.close()
"""


@needs_namespaces
def test_where_no_namespace_is_to_be_had_a_model_runs_all_the_same_and_its_vitals_say_so(bundle: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([TESTS, *sys.path])}
    run = [sys.executable, "-c", NO_NAMESPACES, str(bundle)]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=PATIENT_SECONDS, check=False)
    assert done.stdout.startswith("not isolated: this system does not allow it: "), done.stderr
    assert "{}" in done.stdout
    assert "network = true" not in done.stdout  # it has a network, as far as it knows
    assert "m@1 reaches the network (not isolated: this system does not allow it" in done.stderr


def test_a_stranger_that_a_keeper_gives_out_as_its_worker_is_left_alone(
    own: Callable[..., ModelProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as stranger:
        monkeypatch.setenv(NAMED, str(stranger.pid))
        settings = replace(SETTINGS, environment=(NAMED,))
        model = own(settings, bundle_of(Liar(), tmp_path / "liar"))
        assert statuses(model, [Deed.FINE]) == {0: "shadow_unavailable"}
        model.close()
        assert stranger.poll() is None
        stranger.kill()


def test_hangs_without_end_open_the_circuit_before_a_transaction_is_too_old(
    own: Callable[..., ModelProcess],
) -> None:
    model = own()
    poison = chunk([Deed.HANG] * 200)
    chunks = [Chunk(poison.keys, poison.values) for _ in range(6)]
    started = time.monotonic()
    for one in chunks:
        model.ask(one)
    while model.in_flight:
        model.collect(wait=True)
    assert time.monotonic() - started < 20  # the default of worker.transaction_timeout_ms
    found = [status for one in chunks if one.answers for status, _ in one.answers.failed.values()]
    assert len(found) == 1_200
    assert set(found) == {"shadow_timeout", "shadow_unavailable"}
    report = model.report()
    assert report["circuit"] == "open"
    assert "kept the worker waiting" in str(report["circuit_reason"])
    until(lambda: ask(model, [Deed.FINE] * 10) == {}, "the circuit never closes again")
    assert model.report()["circuit"] == "closed"


def test_vitals_only_ever_grow_and_hold_every_life(own: Callable[..., ModelProcess]) -> None:
    model = own()
    burned = 0.0
    last: dict[str, object] = {}
    deaths = (Deed.FINE, Deed.EXIT, Deed.BUSY, Deed.SEGFAULT, Deed.FINE)
    for deed in deaths:
        if deed == Deed.BUSY:
            burned += 2 * 0.8
        ask(model, [deed, *[Deed.FINE] * 20])
        report = model.report()
        for name in ("rows", "batches", "restarts", "loads", "cpu_s", "circuit_opened"):
            now, before = report[name], last.get(name, 0)
            assert isinstance(now, int | float)
            assert isinstance(before, int | float)
            assert now >= before, name
        last = report
    assert last["rows"] == len(deaths) * 21 - 3
    assert last["deaths"] == {"crash": 4, "timeout": 2}
    assert last["restarts"] == 6
    cpu, resident = last["cpu_s"], last["resident_bytes"]
    assert isinstance(cpu, float)
    assert cpu > 0.5 * burned  # what the processes that are gone have used is not forgotten
    assert isinstance(resident, int)
    assert 20 * 2**20 < resident < 1_000 * 2**20
    psutil.Process(model.vitals.server).kill()
    until(lambda: ask(model, [Deed.FINE]) == {}, "the model does not come back", 90)
    again = model.report()["cpu_s"]
    assert isinstance(again, float)
    assert again >= cpu
