"""Aggregate and agents on a real broker: what is published equals what a plain loop over the comparisons counts."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from shadowbus.kafka.topics import create_topics
from shadowbus.partitioners import partition_of
from shadowbus.settings import load_settings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

PARTITIONS = 4
TRIAL = "live@1~new@2"
RUN = {
    "aggregate": "from shadowbus.aggregate.worker import run_aggregate as run; stop = threading.Event();"
    "signal.signal(signal.SIGTERM, lambda *_: stop.set()); run(settings, stop, 'a')",
    "decide": "from shadowbus.decide.worker import run_decide as run; stop = threading.Event();"
    "signal.signal(signal.SIGTERM, lambda *_: stop.set()); run(settings, stop, 'c')",
    "agents": "from shadowbus.agents.agents import run_agents as run; run(settings, worker_id='b')",
}
SEGMENTS = ("DE", "FR", "PL")
NONE_YET: dict[str, Any] = {"totals": {"statuses": {}}}


class Flow:
    """One namespace: a plain producer of comparisons, worker processes, and a plain reader of what they publish."""

    def __init__(self, bootstrap: str, namespace: str, folder: Path) -> None:
        self.bootstrap, self.namespace, self.folder = bootstrap, namespace, folder
        (folder / "shadow.toml").write_text(
            f'namespace = "{namespace}"\npartitions = {PARTITIONS}\n[kafka]\n"bootstrap.servers" = "{bootstrap}"\n'
            "[gate]\nmin_requests = 100\nmax_error_rate = 0.5\n[aggregate]\npublish_seconds = 0.25\n"
        )
        create_topics(load_settings(folder / "shadow.toml"))
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
        self.sent: list[dict[str, Any]] = []
        self.rng = random.Random(5)

    def send(self, count: int) -> None:
        """Produce random comparisons, and keep them."""
        for _ in range(count):
            record = self.comparison(len(self.sent))
            self.sent.append(record)
            self.put("comparisons", record["partition"], record)
        self.producer.flush(20)

    def comparison(self, number: int) -> dict[str, Any]:
        """A random one."""
        failed = self.rng.random() < 0.1
        side = {"model": "m@1", "prediction": 1, "scores": None, "latency_ms": self.rng.random() * 9, "error": None}
        return {
            "request_id": f"r{number}",
            "timestamp_ms": 1_700_000_000_000 + number,
            "trial": TRIAL,
            "status": "shadow_error" if failed else "compared",
            "live": side,
            "shadow": {**side, "error": "boom" if failed else None, "latency_ms": None},
            "agree": None if failed else self.rng.random() < 0.8,
            "distance": None,
            "segments": {"country": self.rng.choice(SEGMENTS)},
            "missing_features": [],
            "partition": self.rng.randrange(PARTITIONS),
        }

    def put(self, topic: str, partition: int, value: object, key: bytes = b"k") -> None:
        """Produce one record: bytes as they are, anything else as JSON."""
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.producer.produce(f"{self.namespace}.{topic}", raw, key, partition)

    def report_books(self) -> None:
        """Produce vitals as replay would: for each partition what was sent to it, all accounted for."""
        for partition in range(PARTITIONS):
            statuses = Counter(record["status"] for record in self.sent if record["partition"] == partition)
            page = {"read": statuses.total(), "duplicates": 0, "dead_lettered": 0, "waiting": 0}
            books = {"requests": page, "predictions": page, "comparisons": {TRIAL: statuses}}
            names = {"stage": "replay", "shadow": "new", "worker": "w", "partition": partition}
            self.put("vitals", partition, {**names, "timestamp_ms": 1, "books": books})
        self.producer.flush(20)

    def expected(self, segment: str) -> dict[str, Any]:
        """What has to be counted, from what was sent."""
        records = [r for r in self.sent if segment in ("all", f"country={r['segments']['country']}")]
        return {
            "statuses": dict(Counter(record["status"] for record in records)),
            "agreed": sum(record["agree"] is True for record in records),
            "disagreed": sum(record["agree"] is False for record in records),
            "first_ms": min(record["timestamp_ms"] for record in records),
            "last_ms": max(record["timestamp_ms"] for record in records),
        }

    @contextmanager
    def worker(self, stage: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker process, ended at the end."""
        process = self.start(stage)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def start(self, stage: str) -> subprocess.Popen[bytes]:
        """Start a worker process; the caller ends it."""
        code = (
            "import logging, signal, threading; from pathlib import Path; from shadowbus.settings import load_settings;"
            f"logging.basicConfig(level='INFO'); settings = load_settings(Path('shadow.toml')); {RUN[stage]}"
        )
        with (self.folder / f"{stage}.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-c", code], cwd=self.folder, stdout=log, stderr=log)

    def newest(self, topic: str) -> dict[str, Any]:
        """The newest value of each key, as a committed reader sees the whole topic now."""
        return {key: values[-1] for key, values in self.history(topic).items()}

    def history(self, topic: str) -> dict[str, list[Any]]:
        """All values of each key."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"reader-{time.time_ns()}",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe([f"{self.namespace}.{topic}"])
        found: dict[str, list[Any]] = {}
        ends: set[int | None] = set()
        while len(ends) < PARTITIONS:
            for message in consumer.consume(1000, 0.5):
                if message.error() is not None:
                    ends.add(message.partition())
                    continue
                key, value = message.key(), message.value()
                assert key is not None
                found.setdefault(key.decode(), []).append(None if value is None else json.loads(value))
        consumer.close()
        return found

    def vitals(self) -> list[dict[str, Any]]:
        """The newest vitals among the partials, one for each source partition."""
        return [value for key, value in self.newest("partials").items() if "|vitals|" in key]

    def until_counted(self) -> dict[str, Any]:
        """Wait until every segment's aggregate of the whole trial counts as many as were sent; all aggregates then."""
        segments = ("all", *(f"country={name}" for name in SEGMENTS))

        def counted() -> bool:
            aggregates = self.newest("aggregates")
            return all(
                sum(aggregates.get(f"{TRIAL}|{segment}|all", NONE_YET)["totals"]["statuses"].values())
                >= sum(self.expected(segment)["statuses"].values())
                for segment in segments
            )

        wait_for(counted)
        return self.newest("aggregates")


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true in {seconds} s"
        time.sleep(0.1)


@pytest.fixture
def flow(bootstrap: str, namespace: str, tmp_path: Path) -> Flow:
    return Flow(bootstrap, namespace, tmp_path)


def assert_all_is_counted(flow: Flow, aggregates: dict[str, Any]) -> None:
    for segment in ("all", *(f"country={name}" for name in SEGMENTS)):
        totals = aggregates[f"{TRIAL}|{segment}|all"]["totals"]
        expected = flow.expected(segment)
        assert {name: totals[name] for name in expected} == expected


def test_aggregates_and_verdict_equal_what_was_sent_and_workers_end_gracefully(flow: Flow) -> None:
    flow.send(3_000)
    flow.report_books()
    with flow.worker("aggregate"), flow.worker("decide"), flow.worker("agents") as agents:
        assert_all_is_counted(flow, flow.until_counted())
        wait_for(lambda: flow.newest("verdicts").get(TRIAL, {}).get("verdict") == "PROMOTE")
        verdict = flow.newest("verdicts")[TRIAL]
        assert verdict["requests"] == 3_000
        assert (verdict["books"]["closes"], verdict["books"]["settled"]) == (True, True)
        assert verdict["books"]["requests"]["read"] == verdict["books"]["counted"] == 3_000
        started = time.monotonic()
        agents.send_signal(signal.SIGTERM)
        assert agents.wait(20) == 0
        assert time.monotonic() - started < 5


def test_a_lost_comparison_is_named_while_the_traffic_goes_on(flow: Flow) -> None:
    """Comparisons keep coming, and so does what replay claims, so that neither ever stands still."""
    numbers, lost, over = Counter[int](), 0, threading.Event()

    def traffic() -> None:
        nonlocal lost
        while not over.wait(0.05):
            for _ in range(20):
                record = flow.comparison(len(flow.sent))
                flow.sent.append(record)
                numbers[record["partition"]] += 1
                if len(flow.sent) == 500:
                    lost = record["partition"]
                else:
                    flow.put("comparisons", record["partition"], {**record, "number": numbers[record["partition"]]})
            flow.report_books()

    def newest_books() -> dict[str, Any]:
        books: dict[str, Any] = flow.newest("verdicts").get(TRIAL, {}).get("books", {})
        return books

    sender = threading.Thread(target=traffic, daemon=True)
    with flow.worker("aggregate"), flow.worker("decide"), flow.worker("agents"):
        sender.start()
        try:
            wait_for(lambda: newest_books().get("gap") == 1)
            books = newest_books()
        finally:
            over.set()
            sender.join()
    assert books["note"] == f"1 comparisons of partition {lost} are not counted."
    assert books["closes"] is False


def test_windows_add_up_to_the_whole_trial(flow: Flow) -> None:
    flow.send(500)
    with flow.worker("aggregate"), flow.worker("decide"), flow.worker("agents"):
        aggregates = flow.until_counted()
    windows = [value for key, value in aggregates.items() if key.startswith(f"{TRIAL}|all|") and key[-3:] != "all"]
    assert sum(sum(window["totals"]["statuses"].values()) for window in windows) == 500


def test_after_kill_9_of_both_in_mid_stream_the_aggregates_equal_a_recomputation(flow: Flow) -> None:
    processes = {stage: flow.start(stage) for stage in RUN}
    try:
        flow.send(1_000)
        for stage in ("agents", "aggregate", "agents"):
            flow.until_counted()
            flow.send(1_000)
            os.kill(processes[stage].pid, signal.SIGKILL)
            processes[stage].wait()
            flow.send(500)
            processes[stage] = flow.start(stage)
        flow.send(500)
        assert_all_is_counted(flow, flow.until_counted())
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def test_a_restart_comes_back_soon_with_its_table(flow: Flow) -> None:
    flow.send(1_000)
    with flow.worker("aggregate"):
        with flow.worker("agents"):
            flow.until_counted()
        flow.send(10)
        started = time.monotonic()
        with flow.worker("agents"):
            assert_all_is_counted(flow, flow.until_counted())
            assert time.monotonic() - started < 30


def test_partials_of_an_aborted_transaction_are_never_seen(flow: Flow) -> None:
    flow.send(200)
    with flow.worker("aggregate"), flow.worker("decide"), flow.worker("agents"):
        before = flow.until_counted()
        partials = flow.history("partials")
        cheat = Producer({"bootstrap.servers": flow.bootstrap, "transactional.id": f"{flow.namespace}-cheat"})
        cheat.init_transactions()
        cheat.begin_transaction()
        for key, values in partials.items():
            record = values[-1]
            record["next_offsets"] = {"comparisons": 10**9}
            record["totals"]["agreed"] = 10**9
            for partition in range(PARTITIONS):
                cheat.produce(f"{flow.namespace}.partials", json.dumps(record), key, partition)
        cheat.flush()
        cheat.abort_transaction()
        flow.send(50)
        after = flow.until_counted()
    assert before.keys() <= after.keys()
    assert_all_is_counted(flow, after)


def test_garbage_among_the_partials_becomes_dead_letters_and_stops_nothing(flow: Flow) -> None:
    for number, garbage in enumerate((b"{", b"null", b'{"next_offsets": 1}', b'{"next_offsets": {}, "trial": 1}')):
        flow.put("partials", number % PARTITIONS, garbage, key=b"a|all|all|0")
    flow.put("partials", 1, b"{}", key=b"what")
    flow.send(300)
    with flow.worker("aggregate"), flow.worker("decide"), flow.worker("agents"):
        # The first one is in a partition's way before all else, the aggregate worker has nothing to do with it.
        assert_all_is_counted(flow, flow.until_counted())
        wait_for(lambda: sum(map(len, flow.history("dead-letters").values())) >= 5)
    letters = [letter for values in flow.history("dead-letters").values() for letter in values]
    assert {letter["topic"] for letter in letters} == {f"{flow.namespace}.partials"}


def test_a_verdict_is_written_again_only_when_something_changed(flow: Flow) -> None:
    flow.send(300)
    flow.report_books()
    with flow.worker("aggregate"), flow.worker("decide"), flow.worker("agents"):
        flow.until_counted()
        wait_for(lambda: flow.newest("verdicts").get(TRIAL, {}).get("books", {}).get("settled") is True)
        for _ in range(3):
            flow.report_books()  # the same books again
        wait_for(lambda: all(row["next_offsets"] == {"vitals": 4} for row in flow.vitals()))
    verdicts = flow.history("verdicts")[TRIAL]
    contents = [{**verdict, "decided_ms": 0} for verdict in verdicts]
    assert all(before != after for before, after in itertools.pairwise(contents))


def test_a_forged_partial_with_offsets_that_kafka_does_not_have_freezes_nothing(flow: Flow) -> None:
    flow.send(1_000)
    flow.report_books()
    with flow.worker("aggregate"), flow.worker("decide"), flow.worker("agents") as agents:
        flow.until_counted()
        wait_for(lambda: flow.newest("verdicts").get(TRIAL, {}).get("verdict") == "PROMOTE")
        forged = {key: value for key, value in flow.newest("partials").items() if key.startswith(f"{TRIAL}|all|all|")}
        for key, record in forged.items():
            home = partition_of(TRIAL.encode(), PARTITIONS)
            record["next_offsets"]["comparisons"] = 10**12
            record["totals"]["agreed"] += 5
            flow.put("partials", home, record, key.encode())
            flow.put("partials", home, {**record, "partition": 77}, f"{TRIAL}|all|all|77".encode())
        flow.put("partials", partition_of(TRIAL.encode(), PARTITIONS), b"{", f"{TRIAL}|all|all|1".encode())
        flow.producer.flush(20)
        letters = 2 * len(forged) + 1
        wait_for(lambda: sum(map(len, flow.history("dead-letters").values())) >= letters)
        wait_for(lambda: any(one["fault"] for one in flow.history("verdicts")[TRIAL]))
        fault = next(one for one in flow.history("verdicts")[TRIAL] if one["fault"])
        assert (fault["verdict"], fault["previous"]["verdict"]) == ("KEEP_WATCHING", "PROMOTE")
        assert "was set aside" in fault["fault"]
        flow.send(2_000)
        assert_all_is_counted(flow, flow.until_counted())
        os.kill(agents.pid, signal.SIGKILL)
        agents.wait()
        with flow.worker("agents"):  # also after its table was restored
            flow.send(500)
            flow.report_books()
            assert_all_is_counted(flow, flow.until_counted())
            wait_for(lambda: flow.newest("verdicts")[TRIAL]["requests"] == 3_500)
            wait_for(lambda: flow.newest("verdicts")[TRIAL]["fault"] == "")


def test_an_aggregate_that_is_restored_from_forged_partials_counts_again(flow: Flow) -> None:
    flow.send(500)
    with flow.worker("agents"):
        with flow.worker("aggregate"):
            flow.until_counted()
        partials = flow.newest("partials")
        for key, value in ((f"{TRIAL}|all|all|0", b"7"), (f"{TRIAL}|country=DE|all|1", b'{"next_offsets": {}}')):
            flow.put("partials", partition_of(TRIAL.encode(), PARTITIONS), value, key.encode())
        beyond = {**partials[f"{TRIAL}|country=FR|all|2"], "next_offsets": {"comparisons": 10**12}}
        flow.put("partials", partition_of(TRIAL.encode(), PARTITIONS), beyond, f"{TRIAL}|country=FR|all|2".encode())
        flow.producer.flush(20)
        with flow.worker("aggregate"):
            flow.send(500)
            assert_all_is_counted(flow, flow.until_counted())
