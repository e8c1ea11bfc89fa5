"""One batch of input on its way through the model, and what it will change once that has answered."""

from collections import Counter
from dataclasses import dataclass, field

from shadowbus.replay.books import Entry
from shadowbus.replay.join import Half
from shadowbus.replay.live import Live
from shadowbus.replay.model_process import Chunk
from shadowbus.replay.pairs import Pairs
from shadowbus.stage import Outputs


@dataclass(slots=True)
class Unit:
    """Outputs and positions, the chunks that are under way, and by partition counts and changes of what waits.

    `unpaired` are live answers whose request never came: partition, id, answer, since when it waited.
    """

    outputs: Outputs
    unpaired: list[tuple[int, bytes, Live, int]] = field(default_factory=list)
    chunks: list[tuple[Chunk, Pairs]] = field(default_factory=list)
    books: dict[int, Counter[Entry]] = field(default_factory=dict)
    changes: dict[int, tuple[dict[bytes, Half | None], list[bytes]]] = field(default_factory=dict)
    waiting: dict[int, tuple[int, int]] = field(default_factory=dict)

    def count(self, partition: int, *entry: str, by: int = 1) -> None:
        """So many more of something."""
        self.books.setdefault(partition, Counter())[entry] += by

    def leave_out(self, pairs: Pairs) -> None:
        """Count pairs that are not replayed: their requests, and the predictions of those that have one."""
        for partition, live in zip(pairs.partitions, pairs.lives, strict=True):
            self.count(partition, "requests", "sampled_out")
            if live is not None:
                self.count(partition, "predictions", "sampled_out")
