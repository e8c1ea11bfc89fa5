"""A backtest gives what Kafka gives: the same records through both, compared record by record."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shadowbus.cli.program import run
from traffic import Reader, Stream, prediction, request

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

ROWS = 3_000
SETTINGS = (
    "[replay]\njoin_window_ms = 2000\n[aggregate]\npublish_seconds = 0.25\n"
    "[gate]\nmin_requests = 100\nmax_error_rate = 0.05\nmin_agreement = 0.2\naccuracy_margin = 0.3\n"
)
ALONE = {"latency_rows", "over_budget"}
"""Totals of what is measured anew each time."""

SUMMED = (
    *("requests", "labels", "agreement", "errors", "failures", "live_errors", "right", "accuracy", "coverage"),
    *("confusion", "truth", "predictions", "f1", "trained_on"),
)
"""Fields of the summary that are made of counts."""

Sent = list[tuple[str, str, bytes, int]]


def records() -> Sent:
    """Topic, key, value and time: pairs, halves, duplicates, errors, labels late, twice, corrected or never."""
    start, made = int(time.time() * 1000) - 3_600_000, Sent()

    def add(topic: str, key: str, record: dict[str, Any], at_ms: int) -> None:
        made.append((topic, key, json.dumps({**record, "timestamp_ms": at_ms}).encode(), at_ms))

    for number in range(ROWS):
        key, at_ms = f"id-{number}", start + number * 20
        asked = request(key, segments={"country": ("DE", "FR", "PL")[number % 3]})
        answered = prediction(key, prediction=number % 3 == 0, error="down" if number % 60 == 4 else None)
        if number % 50 != 1:
            add("requests", key, asked, at_ms)
        if number % 50 != 2:
            add("predictions", key, answered, at_ms + 3)
        if number % 90 == 5:
            add("requests", key, asked, at_ms)
        if number % 300 == 7:
            add("requests", f"shapeless-{number}", {**asked, "request_id": f"shapeless-{number}", "features": 7}, at_ms)
        if number % 4:
            add("labels", key, {"request_id": key, "label": number % 2 == 0}, at_ms + 40_000)
        if number % 40 == 1:
            add("labels", key, {"request_id": key, "label": number % 2 == 1}, at_ms + 45_000)
    return sorted(made, key=lambda one: one[3])


def test_it_equals_what_kafka_gives_on_the_same_records(bootstrap: str, namespace: str, tmp_path: Path) -> None:
    stream, sent = Stream(bootstrap, namespace, tmp_path, extra=SETTINGS), records()
    cutoff_ms = trained_until(stream.folder / "bundle", sent[0][3] + 20 * ROWS // 4)
    for topic in ("requests", "predictions", "labels"):
        values = [value for of, _, value, _ in sent if of == topic]
        (tmp_path / f"{topic}.jsonl").write_bytes(b"\n".join(values) + b"\n")
    files = [f"--{topic}={tmp_path / topic}.jsonl" for topic in ("requests", "predictions", "labels")]
    shared = ["--config", str(tmp_path / "shadow.toml"), "backtest", "--shadow", "challenger"]
    with pytest.raises(SystemExit, match="0"):
        run([*shared, *files, "--out", str(tmp_path / "out")])
    (verdict,) = written(tmp_path, "verdicts")
    labels = verdict["labels"] + verdict["training"]["labels_before"]
    for topic, key, value, at_ms in sent:
        stream.producer.produce(stream.topic(topic), value=value, key=key, timestamp=at_ms)
    stream.producer.flush()
    with stream.worker("up"):
        found = until(stream, "verdicts", lambda one: told(one) == told(verdict) and one["books"]["settled"])
        comparisons = Reader(bootstrap, stream.topic("comparisons")).until(ROWS)
        outcomes = Reader(bootstrap, stream.topic("outcomes")).until(labels)
        aggregates = until(stream, "aggregates", lambda one: one["books"].get("settled") and not waiting(one))
        letters = Reader(bootstrap, stream.topic("dead-letters")).until(1)

    assert by_id(comparisons.values) == by_id(written(tmp_path, "comparisons"))
    assert len(comparisons.values) == len(written(tmp_path, "comparisons")) == sum(comparisons.keys.values())
    statuses = Counter(one["status"] for one in comparisons.values)
    assert {"compared", "live_missing", "request_missing", "live_error"} == set(statuses)
    stands = net(outcomes.values)
    assert stands == net(written(tmp_path, "outcomes"))
    assert sum(stands.values()) == labels
    assert (
        sum(count for one, count in stands.items() if "trained_on" in one) == verdict["training"]["labels_before"] > 0
    )
    for one in comparisons.values:
        asked = one["status"] != "request_missing"
        assert one.get("trained_on", False) == (asked and one["timestamp_ms"] < cutoff_ms), one
    assert found["training"] == verdict["training"]
    reasons = Counter((one["key"], one["reason"]) for one in letters.values)
    assert reasons == Counter((one["key"], one["reason"]) for one in written(tmp_path, "dead-letters"))
    assert len(reasons) == ROWS // 300 + len(range(5, ROWS, 90))

    assert (found["trial"], found["verdict"]) == (verdict["trial"], verdict["verdict"])
    assert criteria(found) == criteria(verdict)
    assert {"requests", "error_rate", "agreement", "accuracy", "accuracy:country=DE"} <= set(criteria(found))
    whole = next(one for one in written(tmp_path, "aggregates") if one["segment"] == one["window"] == "all")
    assert counted(aggregates["totals"]) == counted(whole["totals"])
    for name in SUMMED:
        assert rounded(aggregates["summary"][name]) == rounded(whole["summary"][name]), name
    for side in ("requests", "predictions"):
        assert aggregates["books"][side] == whole["books"][side]
    assert whole["books"]["closes"]
    assert aggregates["books"]["by_status"] == whole["books"]["by_status"]


def trained_until(bundle: Path, at_ms: int) -> int:
    """Let the model be trained on what is from before."""
    path = bundle / "manifest.json"
    said = {"trained_until_ms": at_ms, "trained_until_from": "flag"}
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **said}), "utf-8")
    return at_ms


def written(folder: Path, topic: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / f"{topic}.jsonl").read_text("utf-8").splitlines()]


def until(stream: Stream, topic: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The newest record of the whole trial, once it is as wanted."""
    reader, deadline = Reader(stream.bootstrap, stream.topic(topic)), time.monotonic() + 150
    newest: dict[str, Any] | None = None
    try:
        while newest is None or not wanted(newest):
            assert time.monotonic() < deadline, (newest, stream.logs()[-3000:])
            reader.read()
            whole = [one for one in reader.values if one and one.get("segment", "all") == one.get("window", "all")]
            newest = whole[-1] if whole else None
    finally:
        reader.close()
    return newest


def told(verdict: dict[str, Any]) -> tuple[int, int]:
    return verdict["requests"], verdict["labels"]


def waiting(aggregate: dict[str, Any]) -> int:
    return sum(aggregate["books"][side]["waiting"] for side in ("requests", "predictions"))


def by_id(comparisons: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By id, without the latencies and of which rows they were measured, and the number, which is by partition."""
    for one in comparisons:
        del one["number"]
        if one["shadow"] is not None:
            one["shadow"]["latency_ms"] = None
            one["shadow"].pop("timed", None)
    return {one["request_id"]: rounded(one) for one in comparisons}


def rounded(value: Any) -> Any:
    """The last digits of a score depend on how many rows were predicted together."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 9) if isinstance(value, float) else value


def net(outcomes: list[dict[str, Any]]) -> Counter[str]:
    """What stands when the retracted ones are taken out."""
    sums: Counter[str] = Counter()
    for one in outcomes:
        sign = -1 if one.pop("retracts") else 1
        sums[json.dumps(rounded(one), sort_keys=True)] += sign
    return +sums


def criteria(verdict: dict[str, Any]) -> dict[str, Any]:
    """By name: state and limit as they are, numbers to nine digits, since sums are taken in another order."""
    numbers = ("value", "low", "high")
    return {
        one["name"]: (one["state"], one["limit"], rounded([one[name] for name in numbers]))
        for one in verdict["criteria"]
    }


def counted(totals: dict[str, Any]) -> dict[str, Any]:
    """What is counted in totals, without what is measured anew."""
    return {
        name: value
        for name, value in totals.items()
        if name not in ALONE and (isinstance(value, int) or name in ("statuses", "confusion", "live_truth"))
    }
