"""Stretches of topics by their offsets: all that is committed in them, or a sentence about what Kafka no longer has."""

from collections.abc import Callable, Mapping

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError, Retry
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.read.changelog import read_back
from shadowbus.kafka.read.offsets import Bounds, bounds
from shadowbus.settings import Settings
from shadowbus.stage import Input, RecordBatch
from shadowbus.topology import Topic

ASK_SECONDS = 30.0
SILENCE_SECONDS = 30.0


def read_stretches(
    settings: Settings,
    topics: Mapping[str, Topic],
    ranges: Mapping[Input, tuple[int, int]],
    give: Callable[[RecordBatch], None],
) -> None:
    """Give every committed record of some offset ranges to `give`, in order within a partition.

    Args:
        settings: How to reach Kafka.
        topics: By their names in the topology.
        ranges: What to read, (first, next) of each partition.
        give: Called with each slice.

    Raises:
        BrokerError: Kafka no longer has all of it, never had, or stops answering.
    """
    wanted = {key: bounds for key, bounds in ranges.items() if bounds[0] < bounds[1]}
    names = {name: topics[name].full_name(settings.namespace) for name, _ in wanted}
    there = bounds(make_admin(settings), sorted(set(names.values())), Deadline.after(ASK_SECONDS)) if wanted else {}
    for (topic, partition), (first, after) in sorted(wanted.items()):
        limits = there.get((names[topic], partition), Bounds(0, 0, 0))
        if limits.first > first:
            raise BrokerError(
                f"Kafka no longer has all of {names[topic]}, partition {partition}: what is needed begins at offset "
                f"{first}, and it begins at {limits.first} (retention.ms of the topic says how long records are kept)."
            )
        if limits.end < after:
            raise BrokerError(
                f"{names[topic]}, partition {partition}, ends at offset {limits.end}, and what is needed ends at "
                f"{after}: the topic was made anew, or this is another Kafka."
            )
    try:
        read_back(settings, names, wanted, give, SILENCE_SECONDS)
    except Retry as error:
        raise BrokerError(f"The records could not be read: {error}") from error
