"""A compacted topic as a table: the newest value of each key, read once to its end."""

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError, Retry
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.read.changelog import read_back
from shadowbus.kafka.read.offsets import bounds
from shadowbus.settings import Settings
from shadowbus.stage import Input, RecordBatch
from shadowbus.topology import Topic


def read_table(settings: Settings, topic: Topic, deadline: Deadline) -> dict[bytes, bytes]:
    """The newest committed value of each key, as of the moment of the call; deleted keys are not in it.

    Args:
        settings: How to reach Kafka.
        topic: A topic that keeps the newest value per key. All its keys have to stay in one partition each.
        deadline: By when it has to be read.

    Raises:
        BrokerError: The topic is missing, or could not be read in time.
    """
    name = topic.full_name(settings.namespace)
    found = bounds(make_admin(settings), [name], deadline)
    ranges: dict[Input, tuple[int, int]] = {
        (topic.name, partition): (limits.first, limits.committed_end) for (_, partition), limits in found.items()
    }
    newest: dict[bytes, bytes] = {}

    def take(piece: RecordBatch) -> None:
        for key, value in zip(piece.keys, piece.values, strict=True):
            if key is not None and value is None:
                newest.pop(key, None)
            elif key is not None and value is not None:
                newest[key] = value

    try:
        read_back(settings, {topic.name: name}, ranges, take, deadline.remaining())
    except Retry as error:
        raise BrokerError(f"The topic {name} could not be read to its end in time: {error}") from error
    return newest
