"""What one membership reads: where it stands in each input, how far behind, and what it leaves alone for now."""

from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from shadowbus.kafka.complaints import PASSING
from shadowbus.kafka.progress import Progress
from shadowbus.kafka.slices import slices_of
from shadowbus.stage import Input, Slice


class Intake:
    """The reading side of the loop, over one consumer.

    Args:
        consumer: A member of the group.
        names: Full topic names by their names in the topology.
    """

    def __init__(self, consumer: Consumer, names: Mapping[str, str]) -> None:
        self.consumer, self.names = consumer, names
        self.short = {full: name for name, full in names.items()}
        self.progress = Progress()
        self.paused: frozenset[Input] = frozenset()

    def begin(self, starts: Mapping[Input, int], committed: Mapping[Input, int]) -> None:
        """Stand at these offsets, and nowhere else; `committed` is before them where records were lost."""
        self.progress, self.paused = Progress.at(starts, committed), frozenset()

    def take(self, messages: Sequence[Message]) -> list[Slice]:
        """What is new in what the consumer handed out, by partition.

        Raises:
            KafkaException: The consumer reports an error that does not mend itself.
        """
        slices, ends, errors = slices_of(messages, self.short)
        for error in errors:
            if error.code() not in PASSING:
                raise KafkaException(error)
        return self.progress.take(slices, ends)

    def pause(self, wanted: frozenset[Input]) -> None:
        """Leave these inputs alone, and take the others."""
        held = {key: TopicPartition(self.names[key[0]], key[1]) for key in self.progress.next}
        if changed := [held[key] for key in wanted - self.paused if key in held]:
            self.consumer.pause(changed)
        if changed := [held[key] for key in self.paused - wanted if key in held]:
            self.consumer.resume(changed)
        self.paused = wanted

    def lags(self) -> dict[Input, int]:
        """How many records are not yet taken, by input, as far as known."""
        lags: dict[Input, int] = {}
        for key, offset in self.progress.next.items():
            if key in self.progress.ends:
                lags[key] = 0
                continue
            tp = TopicPartition(self.names[key[0]], key[1])
            _, high = self.consumer.get_watermark_offsets(tp, cached=True)
            if high >= 0:
                lags[key] = max(1, high - offset)
        return lags
