"""Whether the halves of one request can meet: each producer's partitioner, found out from where its keys lie."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from shadowbus.doctor.evidence import Evidence
from shadowbus.doctor.finding import Finding, problem, warning
from shadowbus.doctor.sample import Sample
from shadowbus.partitioners import PARTITIONERS

MIN_KEYS = 20
"""With fewer keys a partitioner could fit by chance: among two partitions, 20 keys do so once in a million."""

MIN_MIXED_KEYS = 50
"""The same for two partitioners together, of which one or the other fits three keys in four by chance."""

USED_BY = {
    "murmur2": "murmur2 (Java, Faust, aiokafka, Tap)",
    "CRC32": "CRC32 (librdkafka's default)",
    "FNV-1a": "FNV-1a (Sarama's default)",
}
CHANGE = {
    "CRC32": "set partitioner=murmur2_random in the librdkafka producer of {topic}",
    "FNV-1a": "give the producer of {topic} a murmur2 partitioner (librdkafka: partitioner=murmur2_random)",
    "": "make the producer of {topic} partition by key with murmur2",
}
REKEY_INSTEAD = "or let it write to a topic of its own and re-key that: `[rekey]`, docs/rekeying.md"


@dataclass(frozen=True, slots=True)
class Layout:
    """How the keys of one topic are spread.

    Attributes:
        topic: Its name in the topology.
        keys: How many keys were looked at.
        names: The partitioners that explain every key: one, none when it is no known one, two for a mixture.
        shares: With a mixture, how many keys only the one or only the other explains.
    """

    topic: str
    keys: int
    names: tuple[str, ...] = ()
    shares: tuple[int, ...] = ()

    def told(self) -> str:
        """In words."""
        if len(self.names) == 2:
            parts = (
                f"{share} keys only by {USED_BY[name]}" for name, share in zip(self.names, self.shares, strict=True)
            )
            return f"{self.topic}: a mixture ({', '.join(parts)})"
        return f"{self.topic}: {USED_BY[self.names[0]] if self.names else 'no partitioner known here'}"


def layout_of(sample: Sample) -> Layout | None:
    """How the keys of a topic are spread; None where that cannot be told: one partition, or few keys.

    >>> from shadowbus.doctor.sample import Sampled
    >>> keys = [b"id-%d" % number for number in range(100)]
    >>> crc32 = PARTITIONERS["CRC32"]
    >>> layout_of(Sample("labels", 3, tuple(Sampled(crc32(key, 3), 0, key, 0, {}) for key in keys))).names
    ('CRC32',)
    """
    places = {(key, partition) for key, found in sample.places().items() for partition in found}
    if sample.partitions < 2 or len(places) < MIN_KEYS:
        return None
    fits = {
        name: {place for place in places if partition_of(place[0], sample.partitions) == place[1]}
        for name, partition_of in PARTITIONERS.items()
    }
    whole = [name for name, fitting in fits.items() if fitting == places]
    if whole:
        return Layout(sample.topic, len(places), (whole[0],))
    if len(places) >= MIN_MIXED_KEYS:
        for one, other in combinations(fits, 2):
            if fits[one] | fits[other] == places:
                shares = (len(fits[one] - fits[other]), len(fits[other] - fits[one]))
                return Layout(sample.topic, len(places), (one, other), shares)
    return Layout(sample.topic, len(places))


def check_partitioning(evidence: Evidence) -> Iterator[Finding]:
    """Halves that can never meet."""
    samples = [sample for sample in evidence.inputs() if _keyed_by_id(sample)]
    layouts = [layout for sample in samples if (layout := layout_of(sample)) is not None]
    apart = [proof for pair in combinations(samples, 2) if (proof := _apart(*pair))]
    seen = "; ".join([*(layout.told() for layout in layouts), *apart])
    kinds = {layout.names for layout in layouts}
    if len(kinds) > 1 or any(len(layout.names) == 2 for layout in layouts):
        yield problem("Halves can never meet: one id lies in different partitions.", seen, _fix(layouts))
    elif kinds == {()} and apart and _same_counts(samples):
        yield problem("Halves can never meet: keys are not partitioned by a hash known here.", seen, _fix(layouts))
    elif kinds == {()} and not apart:
        yield warning(
            "Whether halves can meet cannot be told: no partitioner known here explains where keys lie.",
            seen,
            "Check that every producer partitions by key, all of them by the same hash (murmur2 is the usual one).",
        )


def _keyed_by_id(sample: Sample) -> bool:
    """Whether the keys are the ids; where they are not, that is a finding of its own."""
    both = [(one.key, one.request_id) for one in sample.records if one.key is not None and one.request_id is not None]
    return sum(key == identity for key, identity in both) * 2 > len(both)


def _same_counts(samples: list[Sample]) -> bool:
    return len({sample.partitions for sample in samples}) == 1


def _apart(one: Sample, other: Sample) -> str:
    """The proof that ids lie in different partitions; empty where none was seen to."""
    here, there = one.places(), other.places()
    both = here.keys() & there.keys()
    count = sum(1 for key in both if not here[key] & there[key])
    return f"{count} of {len(both)} ids seen in both {one.topic} and {other.topic} lie apart" if count else ""


def _fix(layouts: list[Layout]) -> str:
    wrong = [layout for layout in layouts if layout.names != ("murmur2",)]
    steps = []
    for layout in wrong:
        name = next((name for name in layout.names if name != "murmur2"), "")
        steps.append(CHANGE[name].format(topic=layout.topic))
    sentence = f"{'; '.join(steps)}; {REKEY_INSTEAD}."
    return sentence[0].upper() + sentence[1:]
