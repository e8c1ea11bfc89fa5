"""A broker that is away for a while: verdicts are current soon after it is back, and nobody floods a log meanwhile."""

import signal
from pathlib import Path

import pytest

from outage import outage, through_an_outage

pytestmark = [pytest.mark.kafka, pytest.mark.alone]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_verdicts_are_current_soon_after_an_outage_and_logs_stay_short(tmp_path: Path, how: signal.Signals) -> None:
    with outage(tmp_path) as running:
        through_an_outage(running, 12.0, how)
