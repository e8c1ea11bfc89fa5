"""Watching several topics with one consumer: all of some, the end of others, whatever else comes."""

import threading
from pathlib import Path

import pytest
from confluent_kafka import Producer

from shadowbus.clock import Deadline, monotonic
from shadowbus.errors import BrokerError
from shadowbus.kafka.read.live import BATCH, News, Wanted, watch
from shadowbus.kafka.topics import create_topics
from shadowbus.settings import Settings, parse_settings
from shadowbus.topology import COMPARISONS, VERDICTS

pytestmark = pytest.mark.kafka

SECONDS = 60.0
NEWEST = 500
MANY = 20_000


@pytest.fixture
def settings(bootstrap: str, namespace: str, tmp_path: Path) -> Settings:
    document = {"namespace": namespace, "partitions": 1, "kafka": {"bootstrap.servers": bootstrap}}
    return parse_settings(document, tmp_path / "shadow.toml", {})


def send(settings: Settings, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka["bootstrap.servers"], "log_level": 0})
    for value in values:
        producer.produce(f"{settings.namespace}.{topic}", value=value, key=b"k")
        producer.poll(0)
    assert producer.flush(SECONDS) == 0


def values_of(news: News, topic: str) -> list[bytes]:
    return [value for piece in news.batches if piece.topic == topic for value in piece.values if value is not None]


def test_of_a_busy_topic_only_the_end_is_read_and_never_more_than_so_many_a_second(settings: Settings) -> None:
    create_topics(settings)
    verdicts = [b"v%d" % number for number in range(1_000)]
    send(settings, "verdicts", verdicts)
    send(settings, "comparisons", [b"before%d" % number for number in range(5_000)])
    stop, seen, told = threading.Event(), list[bytes](), list[bytes]()
    started, burst, complete = monotonic(), False, False
    deadline = Deadline.after(SECONDS)
    for news in watch(settings, [Wanted(VERDICTS), Wanted(COMPARISONS, NEWEST)], stop, deadline):
        assert not deadline.passed
        assert news.connected
        told += values_of(news, "verdicts")
        seen += values_of(news, "comparisons")
        complete = complete or news.complete
        if complete and not burst:
            assert told == verdicts
            assert b"before4999" in seen
            assert b"before0" not in seen
            send(settings, "comparisons", [b"after%d" % number for number in range(MANY)])
            burst = True
        if b"after%d" % (MANY - 1) in seen:
            stop.set()
    seconds = monotonic() - started
    assert len(seen) <= (NEWEST + BATCH) * (seconds + 2)
    assert seen == sorted(seen, key=lambda value: (value.startswith(b"after"), int(value.lstrip(b"beforafter"))))


def test_a_topic_that_is_missing_is_named(settings: Settings) -> None:
    with pytest.raises(BrokerError, match=r"comparisons is missing"):
        next(watch(settings, [Wanted(COMPARISONS)], threading.Event(), Deadline.after(SECONDS)))
