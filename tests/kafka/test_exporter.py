"""What real workers show to Prometheus: the numbers that were sent, and an answer to every query of the dashboards."""

import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from patiently import eventually
from promql import PROMTOOL, Sample, alerts, asked_of, dashboard_queries, filled, labels_of, samples_of, unanswered
from shadowbus.clock import now_ms
from traffic import Stream, end

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

COUNT, TRIAL = 120, "champion@1~linear@2"
WORKERS = ("replay", "judge", "aggregate", "decide", "agents")
SETTINGS = """
[gate]
min_requests = 10
min_labels = 10
max_error_rate = 0.5
latency_budget_ms = 50.0
max_over_budget = 0.5
accuracy_margin = 0.5
[[cost]]
label = true
prediction = false
cost = 1.0
[aggregate]
publish_seconds = 0.25
[worker]
vitals_seconds = 0.5
"""
SELDOM = {"shadowbus_model_restarts_total", "shadowbus_control_noise_ratio"}
"""What comes when a model dies, and where there is a control; tests/unit/test_monitoring.py has both."""
VARIABLES = {"segment": "all", "criterion": ".+", "stage": ".+", "__rate_interval": "1m"}


def free_ports(count: int) -> int:
    """The first of so many ports that follow each other and are free now."""
    for first in range(20_000, 60_000, 37):
        try:
            for port in range(first, first + count):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no ports are free")


def scrape(first: int) -> list[Sample]:
    """What all workers show now; nothing where one is not there yet."""
    samples: list[Sample] = []
    for number, stage in enumerate(WORKERS):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{first + number}/metrics", timeout=10) as answer:
                samples += samples_of(answer.read().decode(), f"{stage}:9400")
        except (urllib.error.URLError, ConnectionError):
            return []
    return samples


def total(samples: list[Sample], name: str, **labels: str) -> float:
    return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


def test_workers_show_what_they_did_and_every_query_is_answered(bootstrap: str, namespace: str, tmp_path: Path) -> None:
    stream = Stream(bootstrap, namespace, tmp_path, extra=SETTINGS)
    first, ids = free_ports(len(WORKERS)), [f"request-{number:03d}" for number in range(COUNT)]
    up = stream.start("up", "--metrics-port", str(first))
    try:
        stream.send_pairs(ids)
        stream.send("predictions", "broken", b"\xff no JSON")
        for key in ids:
            stream.send("labels", key, {"v": 1, "request_id": key, "timestamp_ms": now_ms(), "label": True})
        stream.producer.flush()
        samples: list[Sample] = []

        def done() -> bool:
            samples[:] = scrape(first)
            labelled = total(samples, "shadowbus_trial_labels", segment="all")
            settled = total(samples, "shadowbus_books_settled"), total(samples, "shadowbus_lag_records")
            apart = any(  # aggregates of segments come with the agents' next look, after the verdict
                one.name == "shadowbus_accuracy_difference" and one.labels["segment"] != "all" for one in samples
            )
            return apart and (labelled, *settled) == (COUNT, 1, 0)

        eventually(done, 90)
    finally:
        assert end(up) == 0, stream.logs()
    for number, stage in enumerate(("replay-challenger-0", "judge-0", "aggregate-0", "decide-0", "agents-0")):
        assert f"metrics of {stage}: http://127.0.0.1:{first + number}/metrics" in stream.logs()
    read = {topic: total(samples, "shadowbus_records_read_total", topic=topic) for topic in ("requests", "predictions")}
    assert read == {"requests": COUNT, "predictions": COUNT + 1}
    assert total(samples, "shadowbus_records_written_total", topic="comparisons") == COUNT
    assert total(samples, "shadowbus_dead_letters_total") == 1
    assert total(samples, "shadowbus_model_rows_total") == COUNT
    assert total(samples, "shadowbus_trial_comparisons_total", status="compared") == COUNT
    assert total(samples, "shadowbus_partitions_held") == 4 * len(WORKERS)
    assert total(samples, "shadowbus_commit_seconds_count", stage="replay") >= 1

    (trial,) = {one.labels["trial"] for one in samples if one.name == "shadowbus_verdict"}
    queries = {name: filled(query, {**VARIABLES, "trial": trial}) for name, query in dashboard_queries()}
    exported = labels_of(samples)
    for query in (*queries.values(), *(rule["expr"] for rule in alerts())):
        for name, labels in asked_of(query)[0].items():
            assert name in {*exported, *SELDOM, "up"}, query
            assert labels <= exported.get(name, labels), query
    if PROMTOOL is not None:
        wanted = {name: query for name, query in queries.items() if not asked_of(query)[0].keys() & SELDOM}
        assert unanswered(wanted, samples, tmp_path) == {}
