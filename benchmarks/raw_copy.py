"""The limit: both inputs copied, record by record, in Kafka transactions by one Python process that does nothing else.

Usage: python benchmarks/raw_copy.py BOOTSTRAP NAMESPACE
"""

import signal
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition

COMMIT_SECONDS = 0.2


def main() -> None:
    bootstrap, namespace = sys.argv[1:]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{namespace}.raw-copy",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": 32_768,
            "fetch.message.max.bytes": 4_194_304,
            "fetch.wait.max.ms": 50,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": f"{namespace}.raw-copy",
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 500_000,
        }
    )
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    targets = {f"{namespace}.{name}": f"{namespace}.copied-{name}" for name in ("requests", "predictions")}
    producer.init_transactions()
    consumer.subscribe(list(targets))
    positions: dict[tuple[str, int], int] = {}
    commit_at = time.monotonic() + COMMIT_SECONDS
    producer.begin_transaction()
    while running:
        for message in consumer.consume(4_000, 0.05):
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if message.error() is not None or topic is None or partition is None or offset is None:
                raise SystemExit(str(message.error()))
            producer.produce(targets[topic], message.value(), message.key(), partition)
            positions[topic, partition] = offset + 1
        if time.monotonic() >= commit_at:
            if positions:
                offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in positions.items()]
                producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), 30)
                producer.commit_transaction(30)
                producer.begin_transaction()
                positions.clear()
            commit_at = time.monotonic() + COMMIT_SECONDS
    consumer.close()


if __name__ == "__main__":
    main()
