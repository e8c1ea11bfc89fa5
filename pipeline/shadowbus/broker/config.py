"""The settings of an embedded Kafka: quick to start, quick to notice a loss, and small."""

from collections.abc import Sequence

from shadowbus.broker.distribution import Distribution

MAX_MESSAGE = 16 * 1024 * 1024


def broker_properties(voters: Sequence[str]) -> dict[str, str]:
    """The properties that every node of a cluster shares.

    Args:
        voters: The quorum's voters, ``id@host:port`` each.
    """
    copies = str(len(voters))
    in_sync = str(max(1, len(voters) - 1))
    return {
        "controller.quorum.voters": ",".join(voters),
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        # Made on first use, while somebody waits: 50 partitions each by default.
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.num.partitions": "1",
        # Topics are made on purpose, with the partitions they need.
        "auto.create.topics.enable": "false",
        "message.max.bytes": str(MAX_MESSAGE),
        "replica.fetch.max.bytes": str(MAX_MESSAGE),
        # A group does not wait for members that might still come, and may notice a lost one in a second.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "group.consumer.min.session.timeout.ms": "1000",
        "group.consumer.session.timeout.ms": "6000",
        "group.consumer.min.heartbeat.interval.ms": "200",
        "group.consumer.heartbeat.interval.ms": "1000",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        # A killed node is missed, and may come back, after this long instead of 9 s.
        "broker.session.timeout.ms": "6000",
        "broker.heartbeat.interval.ms": "1000",
    }


def java_flags(heap_mb: int) -> list[str]:
    """How Java runs a broker: what was measured is in docs/decisions/0002-embedded-kafka.md."""
    return [
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        # The quick compiler alone: a broker mostly moves bytes, and here the other one would take the clients' cores.
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",  # it would leave a file behind after a kill
        "-Djava.awt.headless=true",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
    ]


def java_command(kafka: Distribution, heap_mb: int) -> list[str]:
    """Java with Kafka on its class path; further flags, a main class and its arguments may follow."""
    return [str(kafka.java), *java_flags(heap_mb), "-cp", kafka.class_path]
