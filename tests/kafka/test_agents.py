"""Aggregate and agents on a real broker: what is published equals what a plain loop over the comparisons counts."""

import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from flow import PARTITIONS, RUN, SEGMENTS, TRIAL, Flow, wait_for
from shadowbus.partitioners import partition_of

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


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
