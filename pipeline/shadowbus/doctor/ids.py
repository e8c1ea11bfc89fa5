"""Whether records carry an id, under it, and each its own."""

from collections import Counter
from collections.abc import Iterator

from shadowbus.doctor.evidence import Evidence
from shadowbus.doctor.finding import Finding, problem, warning
from shadowbus.doctor.sample import Sample

MANY = 0.01
"""From this share of a sample on it is no accident."""

SHOWN = 40


def check_keys(evidence: Evidence) -> Iterator[Finding]:
    """Records without a key, or under one that is not their request id."""
    for sample in evidence.inputs():
        count, name = len(sample.records), evidence.full(sample.topic)
        bare = sum(record.key is None for record in sample.records)
        if bare:
            yield problem(
                f"Records of {name} have no key, so nothing can be joined to them.",
                f"{bare} of {count} sampled records have none.",
                "Give each record its request id as the key.",
            )
        both = [(one.key, one.request_id) for one in sample.records if one.key and one.request_id]
        other = [(key, identity) for key, identity in both if key != identity]
        if other:
            key, identity = (value[:SHOWN].decode("utf-8", "backslashreplace") for value in other[0])
            yield problem(
                f"{name} is keyed by something else than the request id.",
                f"{len(other)} of {len(both)} sampled keys differ from request_id: key {key!r} of id {identity!r}.",
                "Key each record by its request id; or let the producer write to a topic of its own and re-key that: "
                "`[rekey]`, docs/rekeying.md.",
            )


def check_unique(evidence: Evidence) -> Iterator[Finding]:
    """Ids that come twice."""
    for sample in evidence.inputs():
        ids = Counter(record.request_id for record in sample.records if record.request_id)
        again = sum(count - 1 for count in ids.values())
        if not again:
            continue
        twice = [key.decode("utf-8", "backslashreplace")[:SHOWN] for key, count in ids.most_common(2) if count > 1]
        same = _the_same_bytes(sample)
        finding = problem if again > MANY * len(sample.records) else warning
        yield finding(
            f"Ids of {evidence.full(sample.topic)} are not unique: later ones are set aside as duplicates.",
            f"{again} of {len(sample.records)} sampled records repeat an id, {same} of them byte for byte; "
            f"such as {', '.join(map(repr, twice))}.",
            "Turn on enable.idempotence in the producer, which sends records twice."
            if same * 2 > again
            else "Give every request an id of its own, such as a UUID.",
        )


def _the_same_bytes(sample: Sample) -> int:
    return sum(count - 1 for count in sample.digests.values())
