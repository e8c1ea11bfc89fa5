"""What the figures were measured on."""

import platform
from importlib.metadata import version
from pathlib import Path

import confluent_kafka
import psutil
from peers_venv import PeersVenv

from shadowbus.broker.distribution import KAFKA_VERSION


def machine(*, peers: bool = True) -> dict[str, object]:
    """The machine, and the versions of everything that takes part."""
    versions = {
        "python": platform.python_version(),
        "kafka": KAFKA_VERSION,
        "confluent-kafka": confluent_kafka.version(),
        "librdkafka": confluent_kafka.libversion()[0],
        "scikit-learn": version("scikit-learn"),
        "faust-streaming": version("faust-streaming"),
    }
    installed = PeersVenv().versions() if peers else {}
    theirs: dict[str, str] = {name: installed[name] for name in ("quixstreams", "bytewax") if name in installed}
    if theirs:
        theirs["confluent-kafka of these two"] = installed["confluent-kafka"]
    return {
        "cpu": cpu(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "versions": versions | theirs,
    }


def cpu() -> str:
    """The name of the processor."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
