"""Slices and labels of a real topic: only its newest records are read, and nobody's group is joined."""

import json
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from confluent_kafka import Producer

from shadowbus.cli.program import run
from shadowbus.clock import Deadline
from shadowbus.kafka.read.topic import read_tail
from shadowbus.kafka.topics import create_topics
from shadowbus.settings import Settings, load_settings
from shadowbus.topology import COMPARISONS
from traffic import admin

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

TRIAL = "champion@3~challenger@4"


@pytest.fixture
def config(bootstrap: str, namespace: str, tmp_path: Path) -> Path:
    path = tmp_path / "shadow.toml"
    path.write_text(
        f'namespace = "{namespace}"\npartitions = 2\n[kafka]\n"bootstrap.servers" = "{bootstrap}"\n'
        '[[shadow]]\nname = "challenger"\nmodel = "built/4"\n'
    )
    create_topics(load_settings(path))
    return path


@pytest.fixture
def settings(config: Path) -> Settings:
    return load_settings(config)


def produce(settings: Settings, topic: str, records: Mapping[str, object]) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka["bootstrap.servers"]})
    for key, record in records.items():
        producer.produce(f"{settings.namespace}.{topic}", json.dumps(record).encode(), key.encode())
    assert producer.flush(30) == 0


def comparisons(count: int) -> dict[str, dict[str, object]]:
    """The shadow disagrees in 4 of 10 requests from DE, and in one of 50 others."""
    dice, found = random.Random(7), dict[str, dict[str, object]]()
    for number in range(count):
        country = dice.choice(["DE", "FR", "AT"])
        agree = dice.random() > (0.4 if country == "DE" else 0.02)
        record = {"request_id": f"r{number}", "timestamp_ms": number, "trial": TRIAL, "status": "compared"}
        side = {"model": "m@1", "prediction": "yes"}
        other = {"model": "m@2", "prediction": "yes" if agree else "no"}
        found[f"r{number}"] = {
            **record, "agree": agree, "live": side, "shadow": other, "features": {"country": country}
        }  # fmt: skip
    return found


def outcome(record: Mapping[str, object]) -> dict[str, object]:
    given = {key: record[key] for key in ("request_id", "timestamp_ms", "trial", "agree")}
    return {**given, "label": "yes", "live_correct": True, "shadow_correct": record["agree"]}


def call(config: Path, *arguments: str) -> int:
    try:
        return run(["--config", str(config), *arguments])
    except SystemExit as left:
        return int(left.code or 0)


@pytest.mark.parametrize("by", ["disagreement", "harm"])
def test_a_slice_is_found_in_the_topics(
    by: str, config: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    records = comparisons(2_000)
    produce(settings, "comparisons", records)
    produce(settings, "outcomes", {key: outcome(record) for key, record in records.items()})
    asking = admin(str(settings.kafka["bootstrap.servers"]))  # kept: one that is let go of answers nobody
    before = {group.group_id for group in asking.list_consumer_groups().result(30).valid}
    assert call(config, "slices", "--shadow", "challenger", "--measure", by, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["trial"], found["found_on"] + found["tested_on"]) == (TRIAL, 2_000)
    assert (found["slices"][0]["rule"], found["slices"][0]["shown"]) == ("country = DE", True)
    after = {group.group_id for group in asking.list_consumer_groups().result(30).valid}
    assert before == after


def test_only_the_newest_records_are_read(settings: Settings) -> None:
    produce(settings, "comparisons", {f"r{number}": {"number": number} for number in range(1_000)})
    values = list(read_tail(settings, COMPARISONS, 100, Deadline.after(30)))
    numbers = [json.loads(value)["number"] for value in values]
    assert 95 <= len(numbers) <= 105
    assert min(numbers) > 700


def test_what_to_label_is_chosen_from_the_topics(
    config: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    records = comparisons(500)
    produce(settings, "comparisons", records)
    differ = [key for key, record in records.items() if not record["agree"]]
    produce(settings, "labels", {key: {"request_id": key, "timestamp_ms": 1, "label": "yes"} for key in differ[:5]})
    assert call(config, "label-queue", "--shadow", "challenger", "--count", "20", "--json") == 0
    queue = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    chosen = [one["request_id"] for one in queue if not one["agree"]]
    assert len(chosen) == 18
    assert set(chosen) <= set(differ[5:])
    assert {one["probability"] for one in queue} == {18 / (len(differ) - 5), 2 / (500 - len(differ))}
    back = {one["request_id"]: {**one, "timestamp_ms": 2, "label": "no"} for one in queue[:1]}
    produce(settings, "labels", back)
    assert call(config, "label-queue", "--shadow", "challenger", "--count", "20") == 1
    assert "earlier queue" in capsys.readouterr().err
