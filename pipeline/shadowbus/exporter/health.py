"""`/healthz`: whether the worker's own loop still goes round, for whoever starts again what does not. Pure.

It says nothing about Kafka: a worker that waits for brokers is well, and starting it again would help nobody. What a
person has to mend ends the worker by itself.
"""

import json
from typing import Any

from shadowbus.exporter.meter import Meter


def health(meter: Meter, began: float, now: float, patience: float) -> tuple[bool, bytes]:
    """Whether all is well, and what to say.

    Args:
        meter: Of the worker.
        began: When it began to serve, in monotonic seconds; from then on its first turn is waited for.
        now: Monotonic seconds.
        patience: How many seconds a turn may take: one call to Kafka waits so long, and what is read back comes in
            pieces.
    """
    quiet = now - (began if meter.turned_at is None else meter.turned_at)
    said: dict[str, Any] = {
        "ok": quiet <= patience,
        "stage": meter.stage,
        "shadow": meter.shadow,
        "worker": meter.worker,
        "quiet_seconds": round(quiet, 3),
        "patience_seconds": patience,
        "partitions": meter.held,
        "last_commit_ms": meter.last_commit_ms,
    }
    return bool(said["ok"]), json.dumps(said).encode() + b"\n"
