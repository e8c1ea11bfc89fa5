"""Which partitioner a producer uses, from where its keys lie; and whether halves can meet."""

import zlib
from collections.abc import Callable, Mapping

import pytest
from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]  # an independent implementation

from shadowbus.doctor.evidence import Evidence
from shadowbus.doctor.finding import Finding
from shadowbus.doctor.partitioning import check_partitioning, layout_of
from shadowbus.doctor.sample import Sample, Sampled
from shadowbus.settings import Settings

Place = Callable[[bytes, int], int]


def java(key: bytes, partitions: int) -> int:
    return (int(murmur2(key)) & 0x7FFFFFFF) % partitions


def librdkafka(key: bytes, partitions: int) -> int:
    return zlib.crc32(key) % partitions


def sarama(key: bytes, partitions: int) -> int:
    """As Sarama has it: the hash as a signed number, its remainder made positive."""
    state = 2166136261
    for byte in key:
        state = ((state ^ byte) * 16777619) % 2**32
    signed = state - 2**32 if state >= 2**31 else state
    return abs(signed) % partitions


def sample(topic: str, place: Place | Mapping[bytes, Place], *, partitions: int = 4, keys: int = 200) -> Sample:
    """Keys `id-0`… where a partitioner puts them; or each where its own does."""
    records = []
    for number in range(keys):
        key = b"id-%d" % number
        chosen = place[key] if isinstance(place, Mapping) else place
        records.append(Sampled(chosen(key, partitions), 0, key, 9, {"request_id": key.decode()}))
    return Sample(topic, partitions, tuple(records))


def findings(*samples: Sample) -> list[Finding]:
    return list(check_partitioning(Evidence(Settings("churn"), 0, samples={one.topic: one for one in samples})))


@pytest.mark.parametrize(("place", "name"), [(java, "murmur2"), (librdkafka, "CRC32"), (sarama, "FNV-1a")])
@pytest.mark.parametrize("partitions", [2, 3, 4, 12, 50])
def test_a_partitioner_is_known_by_where_its_keys_lie(place: Place, name: str, partitions: int) -> None:
    layout = layout_of(sample("requests", place, partitions=partitions))
    assert layout is not None
    assert layout.names == (name,)


def test_too_little_to_tell_is_not_told() -> None:
    assert layout_of(sample("requests", java, keys=19)) is None
    assert layout_of(sample("requests", java, partitions=1)) is None


def test_a_partitioner_nobody_knows_is_none() -> None:
    layout = layout_of(sample("requests", lambda key, partitions: sum(key) % partitions))
    assert layout is not None
    assert layout.names == ()


@pytest.mark.parametrize("place", [java, librdkafka, sarama])
def test_halves_meet_whichever_partitioner_all_producers_share(place: Place) -> None:
    assert findings(sample("requests", place), sample("predictions", place), sample("labels", place)) == []


def test_two_partitioners_are_named_with_the_proof_and_the_fix() -> None:
    (found,) = findings(sample("requests", java), sample("predictions", librdkafka))
    apart = sum(java(b"id-%d" % n, 4) != librdkafka(b"id-%d" % n, 4) for n in range(200))
    assert found.severity == "problem"
    assert "requests: murmur2" in found.evidence
    assert "predictions: CRC32 (librdkafka's default)" in found.evidence
    assert f"{apart} of 200 ids seen in both requests and predictions lie apart" in found.evidence
    assert found.fix.startswith("Set partitioner=murmur2_random in the librdkafka producer of predictions;")


def test_labels_that_go_elsewhere_are_a_problem_too() -> None:
    (found,) = findings(sample("requests", java), sample("predictions", java), sample("labels", sarama))
    assert "labels: FNV-1a (Sarama's default)" in found.evidence
    assert "the producer of labels a murmur2 partitioner" in found.fix


def test_a_mixture_is_told_apart_by_what_only_one_explains() -> None:
    mixed = {b"id-%d" % number: librdkafka if number % 3 else java for number in range(200)}
    (found,) = findings(sample("requests", java), sample("predictions", mixed))
    keys = [b"id-%d" % number for number in range(200)]
    only_java = sum(mixed[key](key, 4) == java(key, 4) != librdkafka(key, 4) for key in keys)
    only_crc32 = sum(mixed[key](key, 4) == librdkafka(key, 4) != java(key, 4) for key in keys)
    assert f"a mixture ({only_java} keys only by murmur2" in found.evidence
    assert f"{only_crc32} keys only by CRC32" in found.evidence


def test_unknown_partitioners_are_a_problem_only_where_ids_lie_apart() -> None:
    def first(key: bytes, partitions: int) -> int:
        return sum(key) % partitions

    def second(key: bytes, partitions: int) -> int:
        return (sum(key) + 1) % partitions

    assert [one.severity for one in findings(sample("requests", first), sample("predictions", first))] == ["warning"]
    (found,) = findings(sample("requests", first), sample("predictions", second))
    assert found.severity == "problem"
    assert "200 of 200 ids" in found.evidence


def test_a_topic_that_is_not_keyed_by_id_is_left_to_another_check() -> None:
    keyed_by_user = Sample(
        "predictions",
        4,
        tuple(Sampled(librdkafka(b"user", 4), 0, b"user", 9, {"request_id": f"id-{n}"}) for n in range(100)),
    )
    assert findings(sample("requests", java), keyed_by_user) == []
