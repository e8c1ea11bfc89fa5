"""A record that is too large is known before it goes out, and named; a queue that is full is waited for."""

import tomllib
from pathlib import Path

import pytest
from confluent_kafka import Producer

from shadowbus.errors import Retry, ShadowbusError, TooLarge
from shadowbus.kafka.clients import make_producer
from shadowbus.kafka.worker.job import Job
from shadowbus.kafka.worker.output import OutputWriter
from shadowbus.settings import Settings, parse_settings
from shadowbus.stage import Outputs, Stage
from shadowbus.topology import COMPARISONS, MAX_OUTPUT_BYTES, REPLAY_CHANGELOG, REQUESTS, Topic

WORKER = "[worker]\noperation_seconds = 0.2\n"


def settings(kafka: str = "") -> Settings:
    text = f'namespace = "t"\n[kafka]\n"bootstrap.servers" = "127.0.0.1:1"\n{kafka}{WORKER}'
    return parse_settings(tomllib.loads(text), Path("shadow.toml"), {})


def no_stage(_: frozenset[int]) -> Stage:
    raise AssertionError("nobody asks for one")


def hand_over(topic: Topic, value: bytes, *, stamped: bool, kafka: str = "") -> Producer:
    job = Job("replay", (REQUESTS,), (COMPARISONS,), no_stage, shadow="one", changelog=REPLAY_CHANGELOG)
    outputs = Outputs()
    if stamped:
        outputs.stamped[topic.name] = [(0, b"the-key", value, 1)]
    else:
        outputs.add(topic.name, 0, b"the-key", value)
    producer = make_producer(settings(kafka))
    OutputWriter(job, settings(kafka)).hand_over(producer, outputs)
    return producer


@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("topic", [COMPARISONS, REPLAY_CHANGELOG], ids=lambda topic: topic.name)
def test_a_record_above_its_topics_limit_is_named_and_the_largest_goes_out(topic: Topic, stamped: bool) -> None:
    largest = topic.max_output_bytes - len(b"the-key")
    assert len(hand_over(topic, b"v" * largest, stamped=stamped)) > 0
    name = rf"t\.{'one.' * topic.per_shadow}{topic.name}"
    with pytest.raises(TooLarge, match=rf"replay made a record of \d+ bytes for {name} under the key 'the-key'"):
        hand_over(topic, b"v" * (topic.max_output_bytes + 1), stamped=stamped)


def test_a_producer_that_takes_less_than_the_topic_is_the_limit() -> None:
    with pytest.raises(TooLarge, match=r"2007 bytes .*message\.max\.bytes in \[kafka\]"):
        hand_over(COMPARISONS, b"v" * 2_000, stamped=False, kafka='"message.max.bytes" = 1500\n')


def test_a_queue_that_stays_full_is_a_reason_to_start_again() -> None:
    job = Job("replay", (REQUESTS,), (COMPARISONS,), no_stage)
    producer = make_producer(settings('"queue.buffering.max.messages" = 1\n'))
    outputs = Outputs(records={"comparisons": [(0, b"1", b""), (0, b"2", b"")]})
    with pytest.raises(Retry, match="stays full"):
        OutputWriter(job, settings()).hand_over(producer, outputs)


def test_no_error_about_a_record_is_one_that_a_restart_would_mend() -> None:
    assert not issubclass(TooLarge, Retry)
    assert issubclass(TooLarge, ShadowbusError)
    assert COMPARISONS.max_bytes > MAX_OUTPUT_BYTES
