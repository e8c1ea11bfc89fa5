"""A verdict of real workers is had again from the topics; one that was written by somebody else is not."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from shadowbus.clock import Deadline
from shadowbus.kafka.read.topic import read_table
from shadowbus.replay.single_row_share import SingleRowShare
from shadowbus.replay.worker import _attend
from shadowbus.topology import VERDICTS
from shadowbus.trials import verdicts_in
from traffic import Stream, end

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

GATE = "control = true\n[gate]\nmax_slowdown = 1.01\nmin_requests = 10\nmax_error_rate = 0.5\naccuracy_margin = 0.9\n"
PACE = "[aggregate]\npublish_seconds = 0.5\n[worker]\nvitals_seconds = 0.5\n[replay]\nsingle_row_share = 0.5\n"
IDS = [f"r{number}" for number in range(400)]


def verdict(stream: Stream) -> dict[str, Any]:
    """The newest verdict that is there, parsed; empty while there is none."""
    found = verdicts_in(read_table(stream.settings, VERDICTS, Deadline.after(20)))
    return next((json.loads(one) for key, one in found.items() if b"~challenger@" in key), {})


def eventually(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true in {seconds} s"
        time.sleep(0.2)


def asked(stream: Stream, *flags: str) -> subprocess.CompletedProcess[str]:
    """`shadowbus verdict` of the stream's shadow."""
    command = [sys.executable, "-m", "shadowbus", "--config", str(stream.folder / "shadow.toml")]
    command += ["verdict", "--shadow", "challenger", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def label(stream: Stream, ids: list[str], truth: bool) -> None:
    for name in ids:
        stream.send("labels", name, {"request_id": name, "timestamp_ms": int(time.time() * 1000), "label": truth})
    stream.producer.flush()


def settled(stream: Stream, labels: int) -> bool:
    found = verdict(stream)
    return bool(found) and found["labels"] == labels and found["books"]["settled"]


@pytest.fixture(scope="module")
def stream(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """Traffic through two replays, judge, aggregate and decide, of which two were killed on the way; all have ended."""
    folder = tmp_path_factory.mktemp("verify")
    shadows = ("challenger", "twin")
    stream = Stream(bootstrap, f"verify{time.time_ns()}", folder, shadows, extra=GATE + PACE)
    started = {verb: stream.start(verb) for verb in ("judge", "aggregate", "decide")}
    started |= {name: stream.start("replay", "--shadow", name) for name in shadows}
    try:
        for place, chunk in enumerate((IDS[:200], IDS[200:])):
            stream.send_pairs(chunk)
            label(stream, chunk[::2], place == 0)
            wanted = 100 * (place + 1)
            eventually(lambda: settled(stream, wanted))  # noqa: B023
            if not place:
                label(stream, chunk[::20], False)  # corrected
                for verb in ("aggregate", "decide"):
                    started[verb].kill()
                    started[verb].wait()
                    started[verb] = stream.start(verb)
    finally:
        for process in started.values():
            end(process)
    return stream


def test_it_is_had_again_byte_for_byte_after_workers_were_killed(stream: Stream) -> None:
    plain, again = asked(stream, "--json"), asked(stream, "--json", "--verify")
    record = json.loads(plain.stdout)
    assert (again.returncode, again.stdout) == (plain.returncode, plain.stdout)
    assert (record["requests"], record["labels"]) == (400, 200)
    said = re.search(r"Read again 800 comparisons and (\d+) outcomes: the verdict is the same, byte", again.stderr)
    assert said is not None, again.stderr
    assert int(said[1]) > 200, "with what was taken back"
    manifest = json.loads((stream.folder / "bundle" / "manifest.json").read_text())
    assert record["evidence"]["models"] == [manifest["sha256"]]
    assert "Rests on" in asked(stream).stdout
    (slower,) = [one for one in record["criteria"] if one["name"] == "slower_than_control"]
    assert slower["n"] > 0
    assert slower["low"] <= slower["value"] <= slower["high"]


def test_replay_asks_more_rows_alone_when_a_verdict_waits_for_nothing_else(stream: Stream) -> None:
    states = {one["name"]: one["state"] for one in verdict(stream)["criteria"] if ":" not in one["name"]}
    assert {name for name, state in states.items() if state != "holds"} == {"slower_than_control"}

    class Model:
        model, share = "m@1", 0.05

    for name in ("challenger", "twin"):
        model, ended = Model(), threading.Event()
        attention = SingleRowShare(stream.settings.shadow_named(name), model.share)
        following = threading.Thread(target=_attend, args=(stream.settings, attention, model, ended))
        following.start()
        try:
            eventually(lambda: model.share == 0.2)  # noqa: B023
        finally:
            ended.set()
            following.join(30)
        assert not following.is_alive()


def test_other_settings_are_named_and_it_is_had_again_by_its_own(stream: Stream) -> None:
    config = stream.folder / "shadow.toml"
    before = config.read_text()
    config.write_text(before.replace("max_error_rate = 0.5", "max_error_rate = 0.4"))
    try:
        done = asked(stream, "--verify")
    finally:
        config.write_text(before)
    assert done.returncode == asked(stream).returncode
    assert "the verdict is the same, byte for byte" in done.stderr
    assert "gate.max_error_rate: 0.5 → 0.4" in done.stderr


def test_one_that_somebody_else_has_written_fails_with_the_field_in_which_it_differs(stream: Stream) -> None:
    record = verdict(stream)
    wanted = record["verdict"]
    try:
        put(stream, {**record, "verdict": "SEND_BACK", "shown": "SEND_BACK"})
        done = asked(stream, "--verify")
        assert (done.returncode, done.stdout) == (1, "")
        assert f'\'verdict\' is "SEND_BACK" in the record and "{wanted}" by the topics' in done.stderr
        put(stream, {**record, "requests": 401})
        assert "'requests' is 401 in the record and 400 by the topics" in asked(stream, "--verify").stderr
        put(stream, {**record, "evidence": {}})
        assert "carries no evidence" in asked(stream, "--verify").stderr
    finally:
        put(stream, record)


def test_records_that_kafka_no_longer_has_are_named(stream: Stream) -> None:
    admin, name = AdminClient({"bootstrap.servers": stream.bootstrap}), stream.topic("outcomes")
    ranges = verdict(stream)["evidence"]["offsets"]["outcomes"]
    partition = next(int(number) for number, (first, after) in ranges.items() if first < after)
    admin.delete_records([TopicPartition(name, partition, ranges[str(partition)][0] + 1)])[
        TopicPartition(name, partition)
    ].result(30)
    done = asked(stream, "--verify")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Kafka no longer has all of {name}, partition {partition}" in done.stderr


def put(stream: Stream, record: dict[str, Any]) -> None:
    """A record under the trial's key, where the present one lies."""
    producer = Producer({"bootstrap.servers": stream.bootstrap, "partitioner": "murmur2_random"})
    producer.produce(stream.topic("verdicts"), orjson.dumps(record), record["trial"])
    assert producer.flush(20) == 0


def test_workers_with_a_changed_gate_begin_a_new_span_that_is_had_again(stream: Stream) -> None:
    config = stream.folder / "shadow.toml"
    config.write_text(config.read_text().replace("max_error_rate = 0.5", "max_error_rate = 0.4"))
    processes = [stream.start(verb) for verb in ("judge", "aggregate", "decide")]
    processes.append(stream.start("replay", "--shadow", "challenger"))
    try:
        stream.send_pairs([f"s{number}" for number in range(50)])
        eventually(lambda: verdict(stream).get("gate", {}).get("span") == 2 and verdict(stream)["requests"] == 50)
        eventually(lambda: bool(verdict(stream)["books"]["settled"]))
    finally:
        for process in processes:
            end(process)
    done = asked(stream, "--verify")
    assert "Read again 50 comparisons and 0 outcomes: the verdict is the same, byte for byte." in done.stderr
    assert "The gate changed at" in done.stdout
    assert verdict(stream)["books"]["counted"] == 450
