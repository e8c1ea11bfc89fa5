"""Rekey: each record goes to the partition where its request id belongs, under that id.

In: topics of any key, partitioner and partition count. Out: `requests`, `predictions`, `labels` of the namespace, keyed
by request id and partitioned by murmur2, and `dead-letters`. Guaranteed, together with the loop that runs it: each
record once, with its time in Kafka; those of one id that lay in one partition keep their order. Headers are not kept.
"""

from shadowbus.errors import Malformed
from shadowbus.partitioners import partition_of
from shadowbus.records.dead_letters import dead_letter, letter_key
from shadowbus.rekey.identity import identified
from shadowbus.settings import Settings
from shadowbus.stage import Outputs, RecordBatch, Stage
from shadowbus.topology import MAX_OUTPUT_BYTES

SOURCE = "rekey-"
"""Before the name of the topic that a source is moved to: the source's name inside of this stage."""

MOST_AHEAD_MS = 30 * 60 * 1000
"""Kafka refuses a record that is stamped more than an hour ahead of its own clock."""


class RekeyStage(Stage):
    """Has no state: it writes each record, or sets it aside, in the transaction that reads it.

    Args:
        settings: The namespace, its partitions, and `[rekey]`.
    """

    def __init__(self, settings: Settings) -> None:
        self.partitions = settings.partitions
        self.path = tuple(settings.rekey.id_field.split("."))
        self.sources = {f"{SOURCE}{target}": name for target, name in settings.rekey.sources.items()}

    def process(self, batches: list[RecordBatch], now_ms: int) -> Outputs:
        """Move a batch."""
        outputs = Outputs()
        for piece in batches:
            self._move(piece, outputs, now_ms)
            outputs.positions[piece.input] = piece.next_offset
        return outputs

    def _move(self, piece: RecordBatch, outputs: Outputs, now_ms: int) -> None:
        moved = outputs.stamped.setdefault(piece.topic.removeprefix(SOURCE), [])
        for key, value, at_ms, offset in zip(piece.keys, piece.values, piece.timestamps, piece.offsets, strict=True):
            try:
                identity, record = identified(value, self.path)
                if len(identity) + len(record) > MAX_OUTPUT_BYTES:
                    raise Malformed(f"the record is larger than {MAX_OUTPUT_BYTES} bytes")
            except Malformed as error:
                where = (self.sources[piece.topic], piece.partition, offset)
                letter = dead_letter(*where, key, value, reason=str(error), now_ms=now_ms)
                outputs.add("dead-letters", piece.partition % self.partitions, letter_key(key), letter)
                continue
            stamp = at_ms if 0 <= at_ms <= now_ms + MOST_AHEAD_MS else now_ms
            moved.append((partition_of(identity, self.partitions), identity, record, stamp))
