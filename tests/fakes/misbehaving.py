"""An estimator that does to its process whatever its rows say: the first feature is the deed."""

import contextlib
import ctypes
import itertools
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from enum import IntEnum, auto
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import psutil
from numpy.typing import NDArray

from fakes.forging import announce, channel, drip, flood, forge, forged
from shadowbus.models.make import write_bundle
from shadowbus.replay.model.messages import Answers, pack_answers

LEAKED_BYTES = 16 * 2**20

SECRET, NAMED = "SHADOWBUS_TEST_PASSWORD", "SHADOWBUS_TEST_NAMED"
"""Environment variables: one that a model must not see, and one that the settings pass on."""


class Deed(IntEnum):
    """What a row does."""

    FINE = 0
    RAISE = auto()
    NAN = auto()
    SHAPE = auto()
    TYPE = auto()
    QUIT = auto()
    ALLOCATE = auto()
    HOARD = auto()
    SHARE = auto()
    LEAK = auto()
    SLOW = auto()
    HANG = auto()
    BUSY = auto()
    DEAF = auto()
    EXIT = auto()
    RETIRE = auto()
    SEGFAULT = auto()
    ABORT = auto()
    KILLED = auto()
    GROUP = auto()
    PARENT = auto()
    CLOSE = auto()
    SCRIBBLE = auto()
    PRINT = auto()
    SHOUT = auto()
    CHILD = auto()
    ORPHAN = auto()
    COPY = auto()
    THREAD = auto()
    ODD = auto()
    WORDY = auto()
    HUGE = auto()
    LARGE = auto()
    NETWORK = auto()
    LOOKUP = auto()
    SPY = auto()
    STOP = auto()
    STOP_PARENT = auto()
    REGROUP = auto()
    HELD = auto()
    FALL_BACK = auto()
    FORGE_BYTES = auto()
    FORGE_STATUS = auto()
    FORGE_LATENCY = auto()
    FORGE_ROWS = auto()
    FORGE_FIELD = auto()
    FORGE_TAIL = auto()
    FORGE_MALFORMED = auto()
    ANNOUNCE = auto()
    DRIP = auto()
    FLOOD = auto()
    THREADS = auto()
    PROCESSES = auto()
    FILES = auto()
    DISK = auto()
    LIE = auto()
    LAZY = auto()


_leaked: list[bytes] = []
_loaded: list[bool] = []


def _load_late() -> None:
    """As libraries do that load parts of themselves when they are first used in a process."""
    if not _loaded:
        time.sleep(1.0)
        _loaded.append(True)


def _raise() -> None:
    raise RuntimeError("this row is not liked")


def _hoard() -> None:
    kept = []
    while True:
        kept.append(bytes(range(256)) * 4096)


def _share() -> None:
    shared = mmap.mmap(-1, 2**30)
    page = b"x" * 2**20
    while shared.tell() < len(shared):
        shared.write(page)
    time.sleep(3600)


def _leak() -> None:
    _leaked.append(os.urandom(1) * LEAKED_BYTES)


def _ignore_signals_and_hang() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGABRT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGIO):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(3600)


def _say_a_gigabyte(descriptor: int) -> None:
    line = b"x" * 2**20
    for _ in range(1024):
        left = memoryview(line)
        while left:
            left = left[os.write(descriptor, left) :]


def _kill_the_parent() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(3600)


def _scribble() -> None:
    for descriptor in range(3, 64):
        try:
            os.set_blocking(descriptor, False)
            os.write(descriptor, b"all work and no play" * 100)
        except OSError:
            continue


def _start_a_child() -> None:
    if os.fork() == 0:
        time.sleep(3600)
        os._exit(0)


def _start_a_session() -> None:
    subprocess.Popen(["sleep", "3600"], start_new_session=True, close_fds=False)


def _start_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(3600,)).start()


class _Odd(Exception):
    def __str__(self) -> str:
        sys.exit("no text for you")


def _be_odd() -> None:
    raise _Odd


def _be_wordy() -> None:
    raise RuntimeError("lone \ud800 surrogate " + "x" * 2_000_000)


def _connect() -> None:
    socket.create_connection(("203.0.113.1", 443), timeout=0.2)


def _look_up() -> None:
    """As a library does that hides what went wrong behind an error of its own."""
    try:
        socket.getaddrinfo("features.example.com", 443)
    except OSError:
        raise RuntimeError("no features today") from None


def _fall_back() -> None:
    """As a service does that goes on with less when features cannot be fetched."""
    with contextlib.suppress(OSError):
        _connect()


def _spy() -> None:
    descriptors = {link.resolve().name.split(":")[0] for link in Path("/proc/self/fd").iterdir() if link.exists()}
    try:
        worker = psutil.Process(os.getppid()).ppid()
        theirs = Path(f"/proc/{worker}/environ").read_bytes()
    except OSError as error:
        theirs = type(error).__name__.encode()
    raise RuntimeError(
        f"own={os.environ.get(SECRET)} named={os.environ.get(NAMED)} {descriptors} theirs={theirs!r:.60}"
    )


def _stop(process: int) -> None:
    os.kill(process, signal.SIGSTOP)
    time.sleep(3600)


def _join_the_keepers_group() -> None:
    os.setpgid(0, os.getppid())
    time.sleep(3600)


def _die_but_leave_a_child_that_holds_the_pipe() -> None:
    _start_a_child()
    os._exit(3)


def _start_threads() -> None:
    for _ in range(5_000):
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()


def _start_processes() -> None:
    for number in range(600):
        if os.fork() == 0:
            if number % 2:
                os.setsid()
            time.sleep(3600)
            os._exit(0)
    time.sleep(3600)


def _open_files() -> None:
    for _ in range(100_000):
        os.dup(1)


def _fill_the_disk() -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(2**40)


def _lie_about_loading() -> None:
    control = int(sys.argv[sys.argv.index("--control") + 1])
    os.write(control, b'{"model": 7}')
    time.sleep(3600)


def _lie_about_the_worker() -> None:
    """From now on the fork server gives out a stranger as its worker."""
    from shadowbus.replay.model import pipe
    from shadowbus.replay.model.child import server

    def fork(server: Any) -> None:
        here, _there = pipe.make_pipes()
        socket.send_fds(server.control, [os.environ[NAMED].encode()], [here.reading, here.writing])

    server.ForkServer._fork = fork  # type: ignore[method-assign,assignment]


DEEDS: dict[int, Callable[[], object]] = {
    Deed.RAISE: _raise,
    Deed.QUIT: lambda: sys.exit("enough"),
    Deed.ALLOCATE: lambda: np.ones(2**32),
    Deed.HOARD: _hoard,
    Deed.SHARE: _share,
    Deed.LEAK: _leak,
    Deed.SLOW: lambda: time.sleep(1.0),
    Deed.LAZY: _load_late,
    Deed.HANG: lambda: time.sleep(3600),
    Deed.BUSY: lambda: sum(itertools.repeat(0)),  # in C, and never lets go of the interpreter
    Deed.DEAF: _ignore_signals_and_hang,
    Deed.EXIT: lambda: os._exit(3),
    Deed.RETIRE: lambda: os._exit(75),
    Deed.SEGFAULT: lambda: ctypes.string_at(0),
    Deed.ABORT: os.abort,
    Deed.KILLED: lambda: os.kill(os.getpid(), signal.SIGKILL),
    Deed.GROUP: lambda: os.killpg(0, signal.SIGKILL),
    Deed.PARENT: _kill_the_parent,
    Deed.CLOSE: lambda: os.closerange(3, 256),
    Deed.SCRIBBLE: _scribble,
    Deed.PRINT: lambda: _say_a_gigabyte(1),
    Deed.SHOUT: lambda: _say_a_gigabyte(2),
    Deed.CHILD: _start_a_child,
    Deed.ORPHAN: _start_a_session,
    Deed.COPY: os.fork,
    Deed.THREAD: _start_a_thread,
    Deed.ODD: _be_odd,
    Deed.WORDY: _be_wordy,
    Deed.NETWORK: _connect,
    Deed.LOOKUP: _look_up,
    Deed.FALL_BACK: _fall_back,
    Deed.SPY: _spy,
    Deed.STOP: lambda: _stop(os.getpid()),
    Deed.STOP_PARENT: lambda: _stop(os.getppid()),
    Deed.REGROUP: _join_the_keepers_group,
    Deed.HELD: _die_but_leave_a_child_that_holds_the_pipe,
    Deed.FORGE_BYTES: lambda: forge(os.urandom(1_000)),
    Deed.FORGE_STATUS: lambda: forge(forged(failed={"0": ("shadow_splendid", "x")})),
    Deed.FORGE_LATENCY: lambda: forge(forged(latencies={"0": -5})),
    Deed.FORGE_ROWS: lambda: forge(forged(predictions=[1, 2, 3])),
    Deed.FORGE_FIELD: lambda: forge(forged(verdict="PROMOTE")),
    Deed.FORGE_TAIL: lambda: forge(forged()),
    Deed.FORGE_MALFORMED: lambda: forge(pack_answers(Answers(malformed=dict.fromkeys(range(channel()[2]), "bad")))),
    Deed.ANNOUNCE: lambda: announce(2**32 - 1),
    Deed.DRIP: drip,
    Deed.FLOOD: flood,
    Deed.THREADS: _start_threads,
    Deed.PROCESSES: _start_processes,
    Deed.FILES: _open_files,
    Deed.DISK: _fill_the_disk,
    Deed.LIE: _lie_about_loading,
}


LONG: dict[int, int] = {Deed.HUGE: 3_000_000, Deed.LARGE: 500_000}
"""How many bytes of text are answered."""


class Misbehaving:
    """Predicts 1.0 for a row whose first feature is 0."""

    n_features_in_ = 1

    def predict(self, rows: NDArray[np.float64]) -> Any:
        deeds = rows[:, 0].astype(int)
        for deed in set(deeds.tolist()) & DEEDS.keys():
            for _ in range(deeds.tolist().count(deed)):
                DEEDS[deed]()
        if LONG.keys() & set(deeds.tolist()):
            return np.array([LONG[deed] * "x" if deed in LONG else 1.0 for deed in deeds.tolist()], dtype=object)
        if Deed.TYPE in deeds:
            return np.array([{"answer": 1.0} if deed == Deed.TYPE else 1.0 for deed in deeds], dtype=object)
        answers = np.where(deeds == Deed.NAN, np.nan, 1.0)
        return answers[:-1] if Deed.SHAPE in deeds else answers


class Liar(Misbehaving):
    """Makes its fork server lie, from when it is unpickled."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        _lie_about_the_worker()

    def __getstate__(self) -> dict[str, Any]:
        return {"lies": True}


class BadToLoad:
    """Does a deed when it is unpickled."""

    def __init__(self, deed: Deed) -> None:
        self.deed = deed

    def __setstate__(self, state: dict[str, Any]) -> None:
        DEEDS[state["deed"]]()


def bundle_of(estimator: object, folder: Path, version: str = "1") -> Path:
    """A bundle of an estimator with one feature, in an empty folder."""
    folder.mkdir(exist_ok=True)
    joblib.dump(estimator, folder / "model.joblib")
    write_bundle(folder / "model.joblib", name="m", version=version, out=folder / "bundle", features=["deed"], now_ms=0)
    return folder / "bundle"
