"""Records as they were found in a topic, each with what can be read from it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shadowbus.errors import Malformed
from shadowbus.records import DeadLetter, Label, Prediction, Request, from_object, parse_object
from shadowbus.stage import RecordBatch

KINDS: Mapping[str, type] = {
    "requests": Request,
    "predictions": Prediction,
    "labels": Label,
    "dead-letters": DeadLetter,
}
"""What is sampled, by the topic's name in the topology."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One record. `timestamp_ms` is its time in Kafka; `parsed` is empty where the value is no JSON object.

    `wrong` says why the record cannot be used, and is empty where it can.
    """

    partition: int
    timestamp_ms: int
    key: bytes | None
    size: int
    parsed: Mapping[str, Any]
    wrong: str = ""

    @property
    def request_id(self) -> bytes | None:
        """The id in the value, as a key would hold it; None where there is none."""
        found = self.parsed.get("request_id")
        return found.encode("utf-8", "surrogatepass") if isinstance(found, str) and found else None


@dataclass(frozen=True, slots=True)
class Sample:
    """The newest records of one topic, of each partition some. `topic` is the name in the topology."""

    topic: str
    partitions: int
    records: tuple[Sampled, ...] = ()
    digests: Counter[tuple[bytes | None, int]] = field(default_factory=Counter)  # how often a key came with a value

    def places(self) -> dict[bytes, set[int]]:
        """Where each key lies: one partition, if all is well."""
        found: dict[bytes, set[int]] = {}
        for record in self.records:
            if record.key is not None:
                found.setdefault(record.key, set()).add(record.partition)
        return found


def sample_of(topic: str, partitions: int, slices: Iterable[RecordBatch]) -> Sample:
    """Read slices of one topic."""
    records: list[Sampled] = []
    digests: Counter[tuple[bytes | None, int]] = Counter()
    for piece in slices:
        records += _read(topic, piece)
        digests.update((key, hash(value)) for key, value in zip(piece.keys, piece.values, strict=True))
    return Sample(topic, partitions, tuple(records), digests)


def _read(topic: str, piece: RecordBatch) -> Iterator[Sampled]:
    for key, value, timestamp in zip(piece.keys, piece.values, piece.timestamps, strict=True):
        parsed: Mapping[str, Any] = {}
        wrong = ""
        try:
            parsed = parse_object(value)
            from_object(KINDS[topic], parsed)
        except Malformed as error:
            wrong = str(error)
        yield Sampled(piece.partition, timestamp, key, len(key or b"") + len(value or b""), parsed, wrong)
