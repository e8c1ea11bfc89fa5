"""Halves that wait, on a real broker: in bounded memory, across kills and rebalances, by the times of their records."""

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shadowbus.kafka.worker.loop import READ_AHEAD
from traffic import Reader, Stream, end, prediction, request

pytestmark = pytest.mark.kafka

PARTITIONS = 4
MOST, FETCH = 2_000, 250
BOUND = MOST // PARTITIONS + (1 + READ_AHEAD) * FETCH
"""Of one partition: its share of what may wait, and what was read before it was paused."""
BOUNDED = f"[replay]\nmax_pending = {MOST}\njoin_window_ms = %d\n"
BOUNDED += f"[worker]\nfetch_records = {FETCH}\nvitals_seconds = 0.2\n"
HOUR_MS = 3_600_000
SIDES = {"requests": request, "predictions": prediction}


@pytest.fixture
def make(bootstrap: str, namespace: str, tmp_path: Path) -> Callable[[str], Stream]:
    return lambda extra: Stream(bootstrap, namespace, tmp_path, extra=extra)


@pytest.fixture
def read(bootstrap: str, namespace: str) -> Iterator[Callable[[str], Reader]]:
    readers: list[Reader] = []

    def open_reader(topic: str) -> Reader:
        readers.append(Reader(bootstrap, f"{namespace}.{topic}"))
        return readers[-1]

    yield open_reader
    for reader in readers:
        reader.close()


def ids(count: int, first: int = 0) -> list[str]:
    return [f"request-{number:06d}" for number in range(first, first + count)]


def send(stream: Stream, side: str, wanted: Iterable[str], stamp_ms: int = 0, step_ms: float = 0.0) -> None:
    """Produce one half for each id; the first is stamped `stamp_ms`, each `step_ms` later. 0 is now."""
    for number, request_id in enumerate(wanted):
        value = json.dumps(SIDES[side](request_id))
        stamp = int(stamp_ms + step_ms * number) if stamp_ms else int(time.time() * 1000)
        while True:
            try:
                stream.producer.produce(stream.topic(side), value=value, key=request_id, timestamp=stamp)
            except BufferError:
                stream.producer.poll(0.1)
            else:
                break
    stream.producer.flush()


def start(stream: Stream, worker: str = "one") -> Any:
    return stream.start("replay", "--shadow", "challenger", "--worker-id", worker)


def waiting(vitals: Reader) -> list[tuple[int, int, int]]:
    """Partition, and how many requests and predictions wait, of every account that replay gave."""
    books = [(value["partition"], value["books"]) for value in vitals.values if value["stage"] == "replay"]
    return [(number, page["requests"]["waiting"], page["predictions"]["waiting"]) for number, page in books]


def wait_for(stream: Stream, reader: Reader, found: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"{len(reader.keys)} keys: {stream.logs()}"
        reader.read()


def statuses(comparisons: Reader) -> dict[str, str]:
    assert set(comparisons.keys.values()) <= {1}, "an id was compared twice"
    return {value["request_id"]: value["status"] for value in comparisons.values}


def kill(process: Any) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_an_input_an_hour_ahead_is_held_in_bounded_memory_across_a_kill(
    make: Callable[[str], Stream], read: Callable[[str], Reader]
) -> None:
    stream, wanted = make(BOUNDED % (3 * HOUR_MS)), ids(50_000)
    send(stream, "predictions", wanted, int(time.time() * 1000) - HOUR_MS, step_ms=50)
    vitals, comparisons = read("vitals"), read("comparisons")
    process = start(stream)
    try:
        wait_for(
            stream, vitals, lambda: len({number for number, _, some in waiting(vitals) if some > 400}) == PARTITIONS
        )
        kill(process)
        process = start(stream)
        before = len(vitals.raw)
        wait_for(stream, vitals, lambda: len(vitals.raw) > before + 4 * PARTITIONS)
        kill(process)
        send(stream, "requests", wanted, int(time.time() * 1000) - HOUR_MS, step_ms=50)
        process = start(stream)
        comparisons.until(len(wanted), 240)
    finally:
        end(process)
    assert statuses(comparisons) == dict.fromkeys(wanted, "compared")
    vitals.until(0)
    most = max(max(requests, predictions) for _, requests, predictions in waiting(vitals))
    assert MOST // PARTITIONS < most <= BOUND


def test_lone_halves_do_not_block_what_comes_behind_them(
    make: Callable[[str], Stream], read: Callable[[str], Reader]
) -> None:
    stream = make(BOUNDED % 3_000)
    lone, pairs = ids(20_000), ids(500, 50_000)
    send(stream, "predictions", lone)
    send(stream, "predictions", pairs)
    send(stream, "requests", pairs)
    vitals, comparisons = read("vitals"), read("comparisons")
    process = start(stream)
    try:
        comparisons.until(len(lone) + len(pairs), 120)
    finally:
        end(process)
    expected = {**dict.fromkeys(lone, "request_missing"), **dict.fromkeys(pairs, "compared")}
    assert statuses(comparisons) == expected
    vitals.until(0)
    assert max(max(counts) for _, *counts in waiting(vitals)) <= BOUND


def test_an_input_that_is_behind_by_the_clock_is_in_time_by_its_records(
    make: Callable[[str], Stream], read: Callable[[str], Reader]
) -> None:
    """Everything is an hour old. What decides is how far apart the two halves of an id are."""
    window_ms, began = 10_000, int(time.time() * 1000) - HOUR_MS
    stream = make(f"[replay]\njoin_window_ms = {window_ms}\n")
    pairs, lone = ids(2_000, 100_000), ids(30_000)
    send(stream, "predictions", lone, began, step_ms=1)
    send(stream, "predictions", pairs, began + 60_000, step_ms=10)
    send(stream, "requests", pairs, began + 60_500, step_ms=10)
    comparisons = read("comparisons")
    process = start(stream)
    try:
        comparisons.until(len(pairs) + len(lone), 120)
    finally:
        end(process)
    expected = {**dict.fromkeys(lone, "request_missing"), **dict.fromkeys(pairs, "compared")}
    assert statuses(comparisons) == expected


def test_late_early_and_double_halves_across_restarts(
    make: Callable[[str], Stream], read: Callable[[str], Reader]
) -> None:
    stream = make("[replay]\njoin_window_ms = 15000\n[worker]\nvitals_seconds = 0.2\n")
    early, late, double = ids(50), ids(50, 100), ids(50, 200)
    changelog = read("challenger.replay-changelog")
    comparisons, letters, vitals = read("comparisons"), read("dead-letters"), read("vitals")
    process = start(stream)
    try:
        send(stream, "requests", double)
        send(stream, "predictions", double)
        wait_for(stream, comparisons, lambda: len(comparisons.keys) == 50)  # so it runs
        send(stream, "predictions", early)  # before their requests
        send(stream, "requests", late)  # whose predictions come after the window
        wait_for(stream, changelog, lambda: Counter((key or b"")[:1] for key in changelog.keys)[b"p"] >= 50)
        send(stream, "requests", early)
        wait_for(stream, comparisons, lambda: len(comparisons.keys) == 150)
        kill(process)
        process = start(stream)
        send(stream, "predictions", late)
        send(stream, "requests", double)
        send(stream, "predictions", double)
        wait_for(stream, letters, lambda: len(letters.raw) == 150)
    finally:
        end(process)
    comparisons.until(150)
    expected = {**dict.fromkeys(early + double, "compared"), **dict.fromkeys(late, "live_missing")}
    assert statuses(comparisons) == expected
    assert Counter(letter["reason"] for letter in letters.values) == {"duplicate": 150}
    vitals.until(0)
    books = {value["partition"]: value["books"] for value in vitals.values}
    for side in SIDES:
        page = Counter({name: sum(book[side][name] for book in books.values()) for name in ("read", "waiting")})
        assert (page["read"], page["waiting"]) == (200, 0)


def test_halves_wait_while_workers_come_and_go(make: Callable[[str], Stream], read: Callable[[str], Reader]) -> None:
    stream, wanted = make(f"[replay]\njoin_window_ms = {HOUR_MS}\n"), ids(2_000)
    send(stream, "requests", wanted)
    changelog, comparisons = read("challenger.replay-changelog"), read("comparisons")
    first = start(stream, "one")
    second = None
    try:
        wait_for(stream, changelog, lambda: sum((key or b"")[:1] == b"r" for key in changelog.keys) == len(wanted))
        second = start(stream, "two")
        wait_for(stream, changelog, lambda: stream.logs().count("holds partitions") >= 3)
        send(stream, "predictions", wanted[:700])
        comparisons.until(700)
        kill(first)
        send(stream, "predictions", wanted[700:1400])
        comparisons.until(1400)
        first = start(stream, "three")
        send(stream, "predictions", wanted[1400:])
        comparisons.until(2000)
    finally:
        end(first)
        if second is not None:
            end(second)
    assert statuses(comparisons) == dict.fromkeys(wanted, "compared")


def test_a_hundred_thousand_waiting_halves_are_back_at_once(
    make: Callable[[str], Stream], read: Callable[[str], Reader]
) -> None:
    stream, wanted = make(f"[replay]\njoin_window_ms = {HOUR_MS}\n"), ids(100_000)
    send(stream, "requests", wanted)
    changelog, comparisons = read("challenger.replay-changelog"), read("comparisons")
    process = start(stream)
    try:
        wait_for(stream, changelog, lambda: sum((key or b"")[:1] == b"r" for key in changelog.keys) == len(wanted), 120)
        kill(process)
        send(stream, "predictions", wanted[:1_000])
        process = start(stream)
        began = time.monotonic()
        comparisons.until(1, 60)
        took = time.monotonic() - began
    finally:
        end(process)
    counts = [int(count) for count in re.findall(r"restored (\d+) records", stream.logs())]
    assert max(counts) >= len(wanted)
    assert took < 30, f"{took:.1f} s: {stream.logs()}"  # 10 s on a machine that does nothing else
    assert set(statuses(comparisons).values()) == {"compared"}
