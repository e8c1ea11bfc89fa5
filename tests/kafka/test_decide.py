"""Decide is killed at each named point of the loop: a committed reader sees each verdict once, and none is missing.

What has to be there is computed from what was sent: the last verdict counts all of it, and each record names the
verdict before it, which is the record that was written before it.
"""

import signal
from pathlib import Path

import pytest

from flow import TRIAL, Flow, wait_for
from verdict_chain import assert_each_change_once

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

FAULTS = {
    "before-produce": "1",
    "before-offsets": "2",
    "before-commit": "2",
    "after-commit": "2",
    "during-restore": "1",
    "during-revoke": "1",
}


@pytest.fixture
def flow(bootstrap: str, namespace: str, tmp_path: Path) -> Flow:
    return Flow(bootstrap, namespace, tmp_path)


def test_whatever_point_decide_is_killed_at_each_change_of_a_verdict_is_written_once(flow: Flow) -> None:
    with flow.worker("aggregate"):
        for point, time in FAULTS.items():
            mark = flow.folder / point
            if point != "during-restore":
                mark.touch()  # it holds the fault back
            process = flow.start("decide", SHADOWBUS_FAULT=f"{point}:{time}", SHADOWBUS_FAULT_MARK=str(mark))
            try:
                if mark.exists():
                    flow.send(50)
                    wait_for(lambda: requests(flow) == len(flow.sent))
                    mark.unlink()
                if point == "during-revoke":
                    process.send_signal(signal.SIGTERM)

                def fires(mark: Path = mark) -> bool:
                    flow.send(20)
                    return mark.exists()

                wait_for(fires)
                assert process.wait(30) == -signal.SIGKILL, point
            finally:
                process.kill()
                process.wait()
        flow.report_books()
        with flow.worker("decide") as last:
            wait_for(lambda: requests(flow) == len(flow.sent))
            wait_for(lambda: bool(flow.newest("verdicts")[TRIAL]["books"]["settled"]))
            last.send_signal(signal.SIGTERM)
            assert last.wait(30) == 0
    written = flow.history("verdicts")[TRIAL]
    assert len(written) >= len(FAULTS)
    assert_each_change_once(written)
    assert written[-1]["requests"] == len(flow.sent)
    assert {name: one["counted"] for name, one in written[-1]["books"]["by_status"].items()} == flow.expected("all")[
        "statuses"
    ]


def test_verdicts_go_on_while_the_agents_are_down(flow: Flow) -> None:
    with flow.worker("aggregate"), flow.worker("decide"):
        with flow.worker("agents"):
            flow.send(200)
            flow.until_counted()
            wait_for(lambda: requests(flow) == 200)
        flow.send(300)
        flow.report_books()
        wait_for(lambda: flow.newest("verdicts")[TRIAL]["verdict"] == "PROMOTE" and requests(flow) == 500)
        late = flow.newest("aggregates")[f"{TRIAL}|all|all"]
        assert sum(late["totals"]["statuses"].values()) == 200
        with flow.worker("agents"):
            flow.until_counted()


def requests(flow: Flow) -> int:
    """How many requests the newest verdict counts."""
    return int(flow.newest("verdicts").get(TRIAL, {}).get("requests", 0))
