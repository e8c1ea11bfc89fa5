"""State that is damaged, gone or of other topics, on a real broker: a clear error or a rebuild, no wrong answer."""

import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import NewPartitions

from shadowbus.decide.reconciliation import close_books
from shadowbus.kafka.topics import create_topics
from traffic import Stream, admin, end, prediction, request

pytestmark = pytest.mark.kafka

WATCHFUL = '[kafka.consumer]\n"topic.metadata.refresh.interval.ms" = 1000\n[worker]\nvitals_seconds = 0.5\n'
WATCHFUL += "[replay]\njoin_window_ms = 3600000\n"
REPLAY = ("replay", "--shadow", "challenger", "--worker-id", "one")
CHANGELOG = "challenger.replay-changelog"


@pytest.fixture
def stream(bootstrap: str, namespace: str, tmp_path: Path) -> Stream:
    return Stream(bootstrap, namespace, tmp_path, extra=WATCHFUL)


def ids(count: int, first: int = 0) -> list[str]:
    return [f"request-{number:06d}" for number in range(first, first + count)]


def everything(stream: Stream, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
    """Partition, key and value of all that is committed in a topic now, in order within a partition."""
    settings = {"bootstrap.servers": stream.bootstrap, "group.id": "all", "enable.partition.eof": True}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest", "log_level": 0})
    partitions = consumer.list_topics(stream.topic(topic), 10).topics[stream.topic(topic)].partitions
    consumer.assign([TopicPartition(stream.topic(topic), partition, 0) for partition in partitions])
    rows: list[tuple[int, bytes | None, bytes | None]] = []
    ended = set[int]()
    deadline = time.monotonic() + 30
    while len(ended) < len(partitions):
        assert time.monotonic() < deadline
        for message in consumer.consume(10_000, 0.2):
            partition = message.partition()
            assert partition is not None
            if message.error() is None:
                rows.append((partition, message.key(), message.value()))
            else:
                ended.add(partition)
    consumer.close()
    return rows


def newest(stream: Stream, topic: str) -> dict[tuple[int, bytes | None], bytes]:
    table = {(partition, key): value for partition, key, value in everything(stream, topic)}
    return {key: value for key, value in table.items() if value is not None}


def until(found: Callable[[], bool], what: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


def run_until(stream: Stream, arguments: Sequence[str], found: Callable[[], bool], what: str) -> None:
    """Run a worker until something is so, and end it in order."""
    process = stream.start(*arguments)
    try:
        until(lambda: found() or process.poll() is not None, lambda: f"{what}: {stream.logs()}", 90)
        assert process.poll() is None, stream.logs()
    finally:
        code = end(process)
    assert code == 0, stream.logs()


def refused(stream: Stream, arguments: Sequence[str], *sentences: str) -> None:
    """A worker ends by itself, with these words as its last."""
    before = len(stream.logs()) if (stream.folder / "workers.log").exists() else 0
    process = stream.start(*arguments)
    try:
        until(lambda: process.poll() is not None, lambda: f"it goes on: {stream.logs()[before:]}", 90)
    finally:
        end(process)
    last = stream.logs()[before:].strip().splitlines()[-1]
    assert process.returncode == 1, stream.logs()[before:]
    for sentence in sentences:
        assert sentence in last, last


def compared(stream: Stream) -> Counter[bytes | None]:
    return Counter(key for _, key, _ in everything(stream, "comparisons"))


def with_state(stream: Stream) -> None:
    """Replay has compared 200 pairs, and 40 requests and 40 predictions wait."""
    stream.send_pairs(ids(200))
    for request_id in ids(40, 1000):
        stream.send("requests", request_id, request(request_id))
    for request_id in ids(40, 2000):
        stream.send("predictions", request_id, prediction(request_id))
    stream.producer.flush()

    def kept() -> bool:
        kinds = Counter((key or b"")[:1] for _, key in newest(stream, CHANGELOG))
        return len(compared(stream)) == 200 and kinds[b"r"] == kinds[b"p"] == 40

    run_until(stream, REPLAY, kept, "state was kept")


def write(stream: Stream, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
    stream.producer.produce(stream.topic(topic), value=value, key=key, partition=partition)
    stream.producer.flush()


def remake(stream: Stream, *topics: str) -> None:
    """Delete topics, and make them anew."""
    client = admin(stream.bootstrap)
    for future in client.delete_topics([stream.topic(topic) for topic in topics]).values():
        future.result(30)

    def made() -> bool:
        create_topics(stream.settings)
        return all(stream.topic(topic) in client.list_topics(timeout=10).topics for topic in topics)

    until(made, lambda: "the topics were not made")


def test_a_damaged_changelog_ends_replay_with_what_and_where_and_the_fix(stream: Stream) -> None:
    with_state(stream)
    kept = newest(stream, CHANGELOG)
    (partition, half), value = next((key, value) for key, value in kept.items() if (key[1] or b"")[:1] == b"r")
    (other, guess), answer = next((key, value) for key, value in kept.items() if (key[1] or b"")[:1] == b"p")
    books = kept[partition, b"books"]
    damages = {
        "a key of no known kind": (partition, b"x-files", b"?", ["no known kind", "x-files"]),
        "cut in its value": (partition, half, value[:-7], ["damaged", "bytes are there"]),
        "a half gone": (partition, half, None, ["requests wait, and holds", "missing"]),
        "a prediction of garbage": (other, guess, answer[:20] + b"x" * (len(answer) - 20), ["cannot be read"]),
        "ids that went missing": (partition, b"a" + bytes(8), None, ["ids that were answered"]),
    }
    for name, (where, key, damage, sentences) in damages.items():
        right = kept.get((where, key))
        write(stream, CHANGELOG, where, key, damage)
        refused(stream, REPLAY, f"{stream.topic(CHANGELOG)}[{where}]", "another name", *sentences)
        write(stream, CHANGELOG, where, key, right)
        assert newest(stream, CHANGELOG) == kept, name
    assert books == newest(stream, CHANGELOG)[partition, b"books"]
    # Put right again, nothing is lost and nothing was done twice.
    for request_id in ids(40, 1000):
        stream.send("predictions", request_id, prediction(request_id))
    for request_id in ids(40, 2000):
        stream.send("requests", request_id, request(request_id))
    stream.producer.flush()
    run_until(stream, REPLAY, lambda: len(compared(stream)) == 280, "the halves met")
    assert set(compared(stream).values()) == {1}
    assert {json.loads(value or b"")["status"] for _, _, value in everything(stream, "comparisons")} == {"compared"}


def test_a_changelog_that_was_deleted_is_an_error(stream: Stream) -> None:
    with_state(stream)
    remake(stream, CHANGELOG)
    refused(stream, REPLAY, stream.topic(CHANGELOG), "is empty", "another name")
    text = (stream.folder / "shadow.toml").read_text().replace('name = "challenger"', 'name = "again"')
    (stream.folder / "shadow.toml").write_text(text)
    again = ("topics", "--create"), ("replay", "--shadow", "again")
    assert stream.start(*again[0]).wait(60) == 0
    run_until(stream, again[1], lambda: len(everything(stream, "comparisons")) >= 400, "the fix works")


@pytest.mark.parametrize("topic", ["requests", "predictions"])
def test_an_input_that_was_made_anew_between_two_runs_is_an_error(stream: Stream, topic: str) -> None:
    with_state(stream)
    remake(stream, topic)
    stream.send_pairs(ids(2_000, 5000))  # as many as to go beyond every position of the old topic
    refused(stream, REPLAY, "deleted and recreated", "another name")
    assert len(compared(stream)) == 200


def test_an_input_that_is_made_anew_under_a_running_worker_is_an_error(stream: Stream) -> None:
    with_state(stream)
    process = stream.start(*REPLAY)
    try:
        stream.send_pairs(ids(100, 200))
        until(lambda: len(compared(stream)) == 300, stream.logs)
        remake(stream, "requests")
        stream.send_pairs(ids(2_000, 5000))
        until(lambda: process.poll() is not None, stream.logs, 120)
    finally:
        end(process)
    assert process.returncode == 1
    assert "deleted and recreated" in stream.logs().strip().splitlines()[-1]
    refused(stream, REPLAY, "deleted and recreated")
    # Where librdkafka goes on in the new topic, what it reads until the worker hears of it are requests as well.
    assert (
        {key.encode() for key in ids(300)}
        <= set(compared(stream))
        <= {key.encode() for key in [*ids(300), *ids(2_000, 5000)]}
    )


def test_a_topic_that_is_deleted_under_a_running_worker_is_an_error(stream: Stream) -> None:
    with_state(stream)
    process = stream.start(*REPLAY)
    try:
        stream.send_pairs(ids(100, 200))
        until(lambda: len(compared(stream)) == 300, stream.logs)
        client = admin(stream.bootstrap)
        for future in client.delete_topics([stream.topic("predictions")]).values():
            future.result(30)
        until(lambda: process.poll() is not None, stream.logs, 120)
    finally:
        end(process)
    assert process.returncode == 1
    assert stream.topic("predictions") in stream.logs().strip().splitlines()[-1]


def test_another_number_of_partitions_is_an_error_before_and_under_a_running_worker(stream: Stream) -> None:
    with_state(stream)
    process = stream.start(*REPLAY)
    try:
        stream.send_pairs(ids(100, 200))
        until(lambda: len(compared(stream)) == 300, stream.logs)
        client = admin(stream.bootstrap)
        for future in client.create_partitions([NewPartitions(stream.topic("requests"), 6)]).values():
            future.result(30)
        until(lambda: process.poll() is not None, stream.logs, 120)
    finally:
        end(process)
    assert process.returncode == 1
    expected = f"{stream.topic('requests')} has 6 partitions"
    assert expected in stream.logs().strip().splitlines()[-1]
    refused(stream, REPLAY, expected, "new namespace")
    path = stream.folder / "shadow.toml"
    path.write_text(f"partitions = 6\n{path.read_text()}")
    refused(stream, REPLAY, f"{stream.topic('predictions')} has 4 partitions", "set it back")


def books_of(stream: Stream) -> dict[int, dict[str, Any]]:
    """Replay's newest books by partition."""
    found: dict[int, dict[str, Any]] = {}
    for _, _, value in everything(stream, "vitals"):
        record = json.loads(value or b"")
        if record["stage"] == "replay":
            found[record["partition"]] = {"books": record["books"]}
    return found


def never_read(stream: Stream) -> dict[str, int]:
    pages = [page["books"] for page in books_of(stream).values()]
    return {side: sum(page[side]["never_read"] for page in pages) for side in ("requests", "predictions")}


def ends(stream: Stream, topic: str) -> dict[int, int]:
    return dict(Counter(partition for partition, _, _ in everything(stream, topic)))


def test_records_that_kafka_deleted_unread_leave_a_gap_in_the_books(stream: Stream) -> None:
    stream.send_pairs(ids(200))
    run_until(stream, REPLAY, lambda: len(compared(stream)) == 200, "the first")
    read = ends(stream, "requests")
    stream.send_pairs(ids(300, 200))
    deleted = {partition: end - 5 for partition, end in ends(stream, "requests").items()}
    lost = sum(deleted.values()) - sum(read.values())
    assert lost > 200
    below = [TopicPartition(stream.topic("requests"), partition, offset) for partition, offset in deleted.items()]
    client = admin(stream.bootstrap)
    for future in client.delete_records(below).values():
        future.result(30)
    process = stream.start(*REPLAY)
    try:
        until(lambda: never_read(stream) == {"requests": lost, "predictions": 0}, stream.logs)
        os.kill(process.pid, signal.SIGKILL)  # what was counted is not counted again
    finally:
        end(process)
    stream.send_pairs(ids(10, 500))
    run_until(stream, REPLAY, lambda: ids(10, 500)[-1].encode() in compared(stream), "it goes on")
    assert never_read(stream) == {"requests": lost, "predictions": 0}
    document = close_books("champion@1~challenger@2", {}, books_of(stream))
    assert document["closes"] is False
    assert (document["requests"]["gap"], document["predictions"]["gap"]) == (lost, 0)
    assert "deleted" in document["note"]
    assert "records were deleted unread" in stream.logs()


def test_a_group_that_was_moved_by_hand_leaves_a_gap_or_is_an_error(stream: Stream) -> None:
    stream.send_pairs(ids(200))
    run_until(stream, REPLAY, lambda: len(compared(stream)) == 200, "the first")
    before = ends(stream, "requests")
    stream.send_pairs(ids(100, 200))
    move(stream, "requests", ends(stream, "requests"))
    skipped = sum(ends(stream, "requests").values()) - sum(before.values())
    assert skipped == 100
    run_until(stream, REPLAY, lambda: never_read(stream) == {"requests": 100, "predictions": 0}, "it is counted")
    move(stream, "requests", dict.fromkeys(before, 1))
    refused(stream, REPLAY, "moved back", "another name")


def move(stream: Stream, topic: str, positions: dict[int, int]) -> None:
    to = [TopicPartition(stream.topic(topic), partition, offset) for partition, offset in positions.items()]
    group = ConsumerGroupTopicPartitions(f"{stream.namespace}.challenger.replay", to)
    client = admin(stream.bootstrap)  # it has to live until its futures are done

    def moved() -> bool:
        try:
            futures = client.alter_consumer_group_offsets([group])
            return all(tp.error is None for future in futures.values() for tp in future.result(30).topic_partitions)
        except KafkaException as error:  # the group has to be empty, and Kafka notices late that it is
            if error.args[0].code() not in (KafkaError.NON_EMPTY_GROUP, KafkaError.UNKNOWN_MEMBER_ID):
                raise
            return False

    until(moved, lambda: "the group was not moved")


def comparison(request_id: str) -> dict[str, Any]:
    live = {"model": "champion@1", "prediction": 1, "scores": None, "latency_ms": 1.0, "error": None}
    base = {"v": 1, "request_id": request_id, "timestamp_ms": 1_000, "trial": "champion@1~challenger@2"}
    more: dict[str, Any] = {"agree": True, "distance": None, "weight": 1.0, "segments": {}, "missing_features": []}
    return {**base, "status": "compared", "live": live, "shadow": {**live, "model": "linear@2"}, **more}


def send_comparisons(stream: Stream, wanted: Sequence[str]) -> None:
    for request_id in wanted:
        stream.send("comparisons", request_id, comparison(request_id))
    stream.producer.flush()


def send_labels(stream: Stream, wanted: Sequence[str]) -> None:
    for request_id in wanted:
        stream.send("labels", request_id, {"v": 1, "request_id": request_id, "timestamp_ms": 2_000, "label": 1})
    stream.producer.flush()


def outcomes(stream: Stream) -> Counter[bytes | None]:
    return Counter(key for _, key, _ in everything(stream, "outcomes"))


def judged(stream: Stream) -> Counter[str]:
    """The judge's books, all partitions together."""
    sums = Counter[str]()
    for value in newest(stream, "judge-changelog").values():
        sums.update(json.loads(value)["comparisons"])
    return sums


def test_a_judge_whose_local_state_is_gone_damaged_or_of_elsewhere_reads_it_again(stream: Stream) -> None:
    folder = stream.settings.state_dir / "judge"
    send_comparisons(stream, ids(400))
    send_labels(stream, ids(50))
    run_until(stream, ("judge",), lambda: judged(stream)["waiting"] == 350, "the first")
    other = Stream(stream.bootstrap, f"{stream.namespace}x", _made(stream.folder / "other"))
    send_comparisons(other, ids(400))
    send_labels(other, ids(50))
    run_until(other, ("judge",), lambda: judged(other)["waiting"] == 350, "elsewhere")

    def without(pattern: str) -> None:
        for path in folder.glob(pattern):
            path.unlink()

    def from_elsewhere() -> None:
        shutil.rmtree(folder)
        shutil.copytree(other.settings.state_dir / "judge", folder)

    damages: list[Callable[[], None]] = [
        lambda: shutil.rmtree(folder),
        lambda: without("*/CURRENT"),
        lambda: without("*/MANIFEST-*"),
        from_elsewhere,
    ]
    for number, damage in enumerate(damages, start=1):
        damage()
        send_labels(stream, ids(50, 50 * number))
        run_until(stream, ("judge",), lambda: len(outcomes(stream)) == 50 * (number + 1), f"damage {number}")  # noqa: B023
    assert outcomes(stream) == Counter(key.encode() for key in ids(250))
    books = judged(stream)
    assert (books["read"], books["judged"], books["waiting"], books["expired"]) == (400, 250, 150, 0)
    assert "belongs to other topics" in stream.logs()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_the_judges_books_are_counted_again_or_refused(stream: Stream) -> None:
    send_comparisons(stream, ids(300))
    send_labels(stream, ids(100))
    run_until(stream, ("judge",), lambda: judged(stream)["waiting"] == 200, "the first")
    write(stream, "judge-changelog", 2, b"books", b'{"comparisons":')
    refused(stream, ("judge",), f"{stream.topic('judge-changelog')}[2]", "damaged", "topics --create")
    remake(stream, "judge-changelog")
    send_labels(stream, ids(50, 100))
    run_until(stream, ("judge",), lambda: judged(stream)["judged"] == 150, "the fix works")
    assert outcomes(stream) == Counter(key.encode() for key in ids(150))
    books = judged(stream)
    assert (books["read"], books["judged"], books["waiting"], books["expired"]) == (300, 150, 150, 0)
    remake(stream, "comparisons")
    send_comparisons(stream, ids(2_000, 5_000))
    refused(stream, ("judge",), "deleted and recreated", "new namespace")


def totals(stream: Stream) -> Counter[str]:
    """What the whole-trial partials count, all source partitions together."""
    sums = Counter[str]()
    for (_, key), value in newest(stream, "partials").items():
        if (key or b"").split(b"|")[1:3] == [b"all", b"all"]:
            record = json.loads(value)["totals"]
            sums.update({**record.get("statuses", {}), "labels": record.get("labels", 0)})
    return sums


def test_totals_that_are_not_of_these_topics_are_counted_again(stream: Stream) -> None:
    send_comparisons(stream, ids(300))
    send_labels(stream, ids(100))
    run_until(stream, ("judge",), lambda: len(outcomes(stream)) == 100, "outcomes")
    first = Counter({"compared": 300, "labels": 100})
    run_until(stream, ("aggregate",), lambda: totals(stream) == first, "the first")
    where, key = next(one for one in newest(stream, "partials") if (one[1] or b"").split(b"|")[1:3] == [b"all", b"all"])
    write(stream, "partials", where, key, b'{"next_offsets":{},"totals":{}}')
    send_comparisons(stream, ids(100, 300))
    second = Counter({"compared": 400, "labels": 100})
    run_until(stream, ("aggregate",), lambda: totals(stream) == second, "totals that cannot be read are counted again")
    assert "counted again from its first record" in stream.logs()
    remake(stream, "comparisons")
    send_comparisons(stream, ids(2_000, 5_000))
    third = Counter({"compared": 2_000, "labels": 100})
    run_until(stream, ("aggregate",), lambda: totals(stream) == third, "what Kafka has is counted again")
    assert "which is not committed" in stream.logs()


def test_up_waits_longer_and_longer_and_says_why(stream: Stream) -> None:
    with_state(stream)
    write(stream, CHANGELOG, 0, b"x-files", b"?")
    process = stream.start("up")
    began = time.monotonic()
    try:
        until(lambda: "replay-challenger-0 has failed 3 times in a row" in stream.logs(), stream.logs, 120)
    finally:
        end(process)
    assert time.monotonic() - began > 1 + 2  # the pauses between three starts
    line = next(line for line in stream.logs().splitlines() if "has failed 3 times in a row" in line)
    assert "x-files" in line
    assert "another name" in line
