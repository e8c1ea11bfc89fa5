"""Aggregators of your own: the examples count what a plain loop counts, and the typed readers bring every record."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from confluent_kafka import Producer

from patiently import eventually
from shadowbus.kafka.topics import create_topics
from shadowbus.reading import follow, newest, read
from shadowbus.records import Comparison, Verdict
from shadowbus.settings import Settings, load_settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
COUNTRIES = ("DE", "FR")


@dataclass
class Sent:
    """Comparisons in a topic: some committed, some of a transaction that was aborted, and a value that is no record."""

    config: Path
    settings: Settings
    records: list[dict[str, Any]]

    def lines(self) -> list[str]:
        """What an example has to print."""
        agree = Counter(one["segments"]["country"] for one in self.records if one["agree"])
        every = Counter(one["segments"]["country"] for one in self.records)
        return [f"{country}: {agree[country]} of {every[country]} agree" for country in COUNTRIES]


@pytest.fixture
def sent(bootstrap: str, namespace: str, tmp_path: Path) -> Sent:
    config = tmp_path / "shadow.toml"
    config.write_text(f'namespace = "{namespace}"\npartitions = 2\n[kafka]\n"bootstrap.servers" = "{bootstrap}"\n')
    settings = load_settings(config)
    create_topics(settings)
    records = [comparison(number) for number in range(100)]
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{namespace}-test"})
    producer.init_transactions()
    for wrong, batch in ((True, [comparison(number) for number in range(50)]), (False, records)):
        producer.begin_transaction()
        for number, record in enumerate(batch):
            key = record["request_id"].encode()
            producer.produce(f"{namespace}.comparisons", json.dumps(record).encode(), key, number % 2)
        producer.flush()
        producer.abort_transaction() if wrong else producer.commit_transaction()
    return Sent(config, settings, records)


def comparison(number: int) -> dict[str, Any]:
    side = {"model": "m@1", "prediction": "yes", "scores": {"yes": 0.75}, "latency_ms": 1.5, "error": None}
    record = {"v": 1, "request_id": f"r{number}", "timestamp_ms": 1_700_000_000_000 + number, "trial": "m@1~n@2"}
    both = {"status": "compared", "live": side, "shadow": None if number % 10 == 9 else side, "distance": 0.5}
    return {**record, **both, "agree": number % 3 > 0, "segments": {"country": COUNTRIES[number % 4 > 2]}}


def example(name: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / name)]


@contextmanager
def running(sent: Sent, command: list[str]) -> Iterator[list[str]]:
    """What it prints, while it runs; its errors go to the test's."""
    environment = {**os.environ, "SHADOWBUS_CONFIG": str(sent.config), "PYTHONPATH": str(EXAMPLES.parent / "pipeline")}
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        listening = threading.Thread(target=lambda: said.extend(map(str.strip, process.stdout or ())))
        listening.start()
        try:
            yield said
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
            listening.join()


@pytest.mark.parametrize("name", ["agent_faust.py", "agent_consumer.py"])
def test_an_agent_of_your_own_counts_committed_comparisons(sent: Sent, name: str) -> None:
    with running(sent, example(name)) as said:
        eventually(lambda: said[-2:] == sent.lines(), 60)


def test_sql_over_an_export_counts_the_same(sent: Sent, tmp_path: Path) -> None:
    out = tmp_path / "comparisons.parquet"
    done = shadowbus(sent, "export", "--topic", "comparisons", "--out", str(out))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.endswith(f"100 comparisons in {out}\n")
    shown = subprocess.run([*example("agent_sql.py"), str(out)], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.splitlines() == sent.lines()
    query = "SELECT live.latency_ms, live.scores->>'$.yes', count(shadow) FROM read_parquet(?) GROUP BY ALL"
    assert duckdb.execute(query, [str(out)]).fetchall() == [(1.5, "0.75", 90)]


def test_an_export_of_lines_holds_every_record_and_is_there_whole_or_not_at_all(sent: Sent, tmp_path: Path) -> None:
    out = tmp_path / "comparisons.jsonl"
    assert shadowbus(sent, "export", "--topic", "comparisons", "--out", str(out)).returncode == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(one["request_id"] for one in lines) == sorted(one["request_id"] for one in sent.records)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["comparisons.jsonl", "shadow.toml"]
    for wrong, told in (("requests-to-be", "no topic"), ("comparisons", "has to end with")):
        done = shadowbus(sent, "export", "--topic", wrong, "--out", str(tmp_path / "x.csv"))
        assert done.returncode == 1
        assert told in done.stderr


def test_readers_bring_typed_records_without_a_group(sent: Sent, bootstrap: str, namespace: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(f"{namespace}.comparisons", b"\xff no JSON", b"k", 0)
    for decided_ms in (1, 2):
        verdict = {"trial": "m@1~n@2", "verdict": "PROMOTE", "criteria": [], "requests": 1, "labels": 1, "needed": {}}
        value = json.dumps({**verdict, "decided_ms": decided_ms}).encode()
        producer.produce(f"{namespace}.verdicts", value, b"m@1~n@2", 1)
    producer.flush()
    wanted = {one["request_id"] for one in sent.records}
    assert {record.request_id for record in read(sent.settings, Comparison)} == wanted
    assert {name: found.decided_ms for name, found in newest(sent.settings, Verdict).items()} == {"m@1~n@2": 2}
    stop, seen = threading.Event(), set[str]()
    for record in follow(sent.settings, Comparison, stop, from_beginning=True):
        seen.add(record.request_id)
        if len(seen) == len(wanted):
            stop.set()
    assert seen == wanted


def shadowbus(sent: Sent, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shadowbus", "--config", str(sent.config), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
