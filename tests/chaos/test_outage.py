"""An outage of 30 s: verdicts are current within seconds of its end, and nobody floods a log meanwhile."""

import os
import signal
from pathlib import Path

import pytest

from outage import outage, through_an_outage

FULL = pytest.mark.skipif(
    "SHADOWBUS_CHAOS_SEED" not in os.environ, reason="make chaos: the suite has an outage of 12 s"
)
pytestmark = [pytest.mark.kafka, pytest.mark.chaos, FULL]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_verdicts_are_current_soon_after_30_seconds_without_kafka(tmp_path: Path, how: signal.Signals) -> None:
    with outage(tmp_path) as running:
        through_an_outage(running, 30.0, how)
