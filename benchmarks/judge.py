"""The judge with millions of comparisons waiting: how fast they are taken back, and how fast they meet their labels.

The comparisons are in Kafka, and committed; the worker's folder is empty, as on a new machine. So the worker first
takes all of them back. Labels of comparisons drawn at random then become visible at once, as one transaction: first
alone, then with as many new comparisons, which is how it goes on day after day.
"""

import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from bench import Bench
from confluent_kafka import Consumer, TopicPartition
from judge_records import agreeing, chosen, comparison, label
from measure import Measurement, Watched, watched
from outputs import Outputs, WrongOutputError
from processes import CandidateFailedError, last_words, say
from stream import Stream, open_stream
from workload import make_producer, send

from shadowbus.settings import load_settings

RESTORE_SECONDS = 1_800.0
JOIN_SECONDS = 300.0
RESTORED = re.compile(r"judge restored (\d+) records in ([\d.]+) s")


@dataclass(frozen=True)
class Restored:
    """How many records the worker took back, in how many seconds, and the processor time of it."""

    records: int
    seconds: float
    cpu_s: float


def judge(bench: Bench, *, waiting: int, joins: int) -> dict[str, object]:
    """Measure one worker.

    Args:
        bench: Where.
        waiting: How many comparisons wait for a label.
        joins: How many labels come, in each of two measurements; twice as many have to wait.
    """
    say(f"judge with {waiting:,} comparisons waiting: producing")
    stream = open_stream(bench.bootstrap, bench.name("judge"), bench.bundle)
    producer = make_producer(bench.bootstrap)
    for number in range(waiting):
        send(producer, stream.topic("comparisons"), *comparison(number))
    producer.flush()
    _commit_all(stream)
    folder = load_settings(stream.config).state_dir / "judge"
    log = bench.folder / f"{stream.namespace}.log"
    outputs = Outputs(bench.bootstrap, [stream.topic("outcomes")])
    command = [sys.executable, "-m", "shadowbus", "--config", str(stream.config), "judge"]
    with watched([command], outputs, log) as worker:
        restored = _restored(worker, log)
        say(f"    {restored.records / restored.seconds:,.0f} records/s taken back")
        stored = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        asked = list(chosen(waiting, joins))
        alone = _met(stream, worker, asked[0], ())
        beside = _met(stream, worker, asked[1], range(waiting, waiting + joins))
        _check(outputs, stream, [*asked[0], *asked[1]])
    stream.delete()
    return {
        "waiting": waiting,
        "bytes_per_entry": stored / waiting,
        "restored": restored.records,
        "restored_per_s": restored.records / restored.seconds,
        "restore_cpu_us": restored.cpu_s / restored.records * 1e6,
        "labels_alone": _figures(alone, joins),
        "labels_and_comparisons": _figures(beside, joins),
    }


def _commit_all(stream: Stream) -> None:
    """Say in the judge's name that it has read all there is."""
    settings = {"bootstrap.servers": stream.bootstrap, "group.id": stream.topic("judge"), "log_level": 0}
    consumer = Consumer(settings)
    ends = []
    for name in ("comparisons", "labels"):
        for partition in range(stream.partitions):
            tp = TopicPartition(stream.topic(name), partition)
            ends.append(TopicPartition(tp.topic, partition, consumer.get_watermark_offsets(tp, timeout=30)[1]))
    consumer.commit(offsets=ends, asynchronous=False)
    consumer.close()


def _restored(worker: Watched, log: Path) -> Restored:
    """Wait until the worker says how long it took."""
    deadline = time.monotonic() + RESTORE_SECONDS
    while (said := RESTORED.search(log.read_text(errors="replace"))) is None:
        worker.look()
        if time.monotonic() > deadline:
            raise CandidateFailedError(f"The judge did not take back its state in time. {last_words(log)}")
        time.sleep(0.2)
    return Restored(int(said[1]), float(said[2]), worker.look().cpu_s)


def _met(stream: Stream, worker: Watched, labels: list[int], comparisons: Iterable[int]) -> Measurement:
    """Let labels, and comparisons beside them, be there all at once; follow the outcomes."""
    say(f"  {len(labels):,} labels{' and as many new comparisons' if comparisons else ''}")
    producer = make_producer(stream.bootstrap, **{"transactional.id": stream.namespace})
    producer.init_transactions(30)
    producer.begin_transaction()
    told = ((stream.topic("labels"), *label(number)) for number in labels)
    new = ((stream.topic("comparisons"), *comparison(number)) for number in comparisons)
    for topic, key, value in chain(told, new):
        send(producer, topic, key, value)
    producer.commit_transaction(60)
    measured = worker.follow(len(labels), JOIN_SECONDS)
    say(f"    {measured.pairs_per_s:,.0f} joins/s, {measured.cpu_us_per_pair:.1f} µs of processor time each")
    return measured


def _check(outputs: Outputs, stream: Stream, numbers: list[int]) -> None:
    """One outcome for each label, and those of the right comparisons."""
    count, wanted = outputs.count(stream.topic("outcomes"), len(numbers)), agreeing(numbers)
    if count.agreeing != wanted:
        raise WrongOutputError(f"both models agree in {count.agreeing} of {len(numbers)} outcomes, not in {wanted}")


def _figures(measured: Measurement, joins: int) -> dict[str, object]:
    return {
        "joins": joins,
        "joins_per_s": measured.pairs_per_s,
        "cpu_us_per_join": measured.cpu_us_per_pair,
        "broker_us_per_join": measured.broker_us_per_pair,
        "peak_mib": measured.peak_mib,
    }
