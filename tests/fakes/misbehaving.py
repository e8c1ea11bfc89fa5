"""An estimator that does to its process whatever its rows say: the first feature is the deed."""

import ctypes
import itertools
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from enum import IntEnum, auto
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from shadowbus.shadows.bundle import write_bundle

LEAKED_BYTES = 16 * 2**20


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


_leaked: list[bytes] = []


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


DEEDS: dict[int, Callable[[], object]] = {
    Deed.RAISE: _raise,
    Deed.QUIT: lambda: sys.exit("enough"),
    Deed.ALLOCATE: lambda: np.ones(2**32),
    Deed.HOARD: _hoard,
    Deed.SHARE: _share,
    Deed.LEAK: _leak,
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
}


class Misbehaving:
    """Predicts 1.0 for a row whose first feature is 0."""

    n_features_in_ = 1

    def predict(self, rows: NDArray[np.float64]) -> Any:
        deeds = rows[:, 0].astype(int)
        for deed in set(deeds.tolist()) & DEEDS.keys():
            for _ in range(deeds.tolist().count(deed)):
                DEEDS[deed]()
        if Deed.TYPE in deeds:
            return np.array([{"answer": 1.0} if deed == Deed.TYPE else 1.0 for deed in deeds], dtype=object)
        answers = np.where(deeds == Deed.NAN, np.nan, 1.0)
        return answers[:-1] if Deed.SHAPE in deeds else answers


class BadToLoad:
    """Does a deed when it is unpickled."""

    def __init__(self, deed: Deed) -> None:
        self.deed = deed

    def __setstate__(self, state: dict[str, Any]) -> None:
        DEEDS[state["deed"]]()


def bundle_of(estimator: object, folder: Path) -> Path:
    """A bundle of an estimator with one feature, in an empty folder."""
    folder.mkdir(exist_ok=True)
    joblib.dump(estimator, folder / "model.joblib")
    write_bundle(folder / "model.joblib", name="m", version="1", out=folder / "bundle", features=["deed"], now_ms=0)
    return folder / "bundle"
