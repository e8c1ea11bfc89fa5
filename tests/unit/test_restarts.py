"""How often a worker starts again: not for ever without getting anywhere, but as long as Kafka is away."""

import logging

import pytest

from shadowbus.errors import Away, BrokerError, Fenced, Retry
from shadowbus.kafka.worker import restarts as module
from shadowbus.kafka.worker.restarts import Restarts


def test_restarts_that_lead_to_nothing_end_with_the_reason() -> None:
    restarts = Restarts("replay", 3, lambda: True)
    for _ in range(3):
        restarts.pause_s(Retry("the stage fails"), progressed=False)
    with pytest.raises(BrokerError, match=r"replay has started again 3 times and committed nothing.*the stage fails"):
        restarts.pause_s(Fenced("the stage fails"), progressed=False)


def test_a_commit_in_between_begins_the_count_and_the_pauses_anew() -> None:
    restarts = Restarts("replay", 3, lambda: True)
    pauses = [restarts.pause_s(Retry("now and then"), progressed=number % 3 == 2) for number in range(30)]
    assert max(pauses) < 4 * module.FIRST_S + module.FIRST_S + 0.01
    assert min(pauses) >= module.FIRST_S


@pytest.mark.parametrize(("error", "answers"), [(Away("no broker"), True), (Retry("nothing came"), False)])
def test_while_kafka_is_away_a_worker_waits_on_and_says_so_now_and_then(
    error: Retry, answers: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    restarts = Restarts("replay", 3, lambda: answers)
    with caplog.at_level(logging.WARNING):
        for _ in range(200):
            now[0] += restarts.pause_s(error, progressed=False)
    assert 200 * module.AWAY_MOST_S * 0.9 < now[0] < 200 * module.AWAY_MOST_S * 1.3
    assert now[0] / module.SAY_AGAIN_S - 3 < len(caplog.messages) < now[0] / module.SAY_AGAIN_S + 3
    assert "has waited for Kafka for" in caplog.messages[-1]


def test_what_counted_before_an_outage_counts_after_it() -> None:
    restarts = Restarts("replay", 2, lambda: True)
    for error in (Retry("x"), Away("y"), Away("y"), Retry("x")):
        restarts.pause_s(error, progressed=False)
    with pytest.raises(BrokerError):
        restarts.pause_s(Retry("x"), progressed=False)
