"""Where partitions end: what Kafka did not name is not known, whoever asks, and is never taken for a place."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaException, TopicPartition
from confluent_kafka.admin import ListOffsetsResultInfo

from shadowbus.clock import Deadline
from shadowbus.errors import Retry
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.reaching import Admin
from shadowbus.kafka.read.ends import Ends, end_offsets
from shadowbus.kafka.read.offsets import readable
from shadowbus.kafka.worker.idle import Idle
from shadowbus.settings import Settings, parse_settings
from shadowbus.topology import COMPARISONS

NAME = "churn.comparisons"
SETTINGS = parse_settings(
    {"namespace": "churn", "partitions": 1, "kafka": {"bootstrap.servers": "127.0.0.1:1"}}, Path("shadow.toml"), {}
)


def ends(settings: Settings) -> object:
    return Ends(settings, [COMPARISONS]).look(1.0)


def kept_state(settings: Settings) -> object:
    return end_offsets(settings, {"comparisons": NAME}, [("comparisons", 0)], Deadline.after(0.2))


def inputs(settings: Settings) -> object:
    return readable(make_admin(settings), [(NAME, 0)], Deadline.after(0.2))


def answering(monkeypatch: pytest.MonkeyPatch, offset: int) -> None:
    """Let librdkafka answer so, as it does without an error for a partition whose leader goes away meanwhile."""

    def list_offsets(_: Admin, wanted: dict[TopicPartition, Any], **__: Any) -> dict[TopicPartition, Future[Any]]:
        found = {place: Future[Any]() for place in wanted}
        for future in found.values():
            future.set_result(ListOffsetsResultInfo(offset, -1, -1))
        return found

    monkeypatch.setattr(Admin, "list_offsets", list_offsets)


@pytest.mark.parametrize("ask", [ends, kept_state, inputs])
def test_an_end_that_kafka_did_not_name_is_asked_for_again(
    ask: Callable[[Settings], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, 7)
    assert "7" in str(ask(SETTINGS))
    answering(monkeypatch, OFFSET_INVALID)
    with pytest.raises((Retry, KafkaException), match="named no offset"):
        ask(SETTINGS)


@pytest.mark.parametrize(("offset", "idle"), [(5, {("comparisons", 0)}), (6, set()), (OFFSET_INVALID, set())])
def test_an_input_whose_end_is_not_known_is_not_idle(
    offset: int, idle: set[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, offset)
    one = Idle(SETTINGS, {"comparisons": NAME})
    one.known({("comparisons", 0): 5}, 100.0)  # asks
    assert one.known({("comparisons", 0): 5}, 100.0) == idle
