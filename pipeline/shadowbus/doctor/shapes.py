"""Whether records are what the topic promises."""

from collections import Counter
from collections.abc import Iterator

from shadowbus.doctor.evidence import Evidence
from shadowbus.doctor.finding import Finding, problem, warning
from shadowbus.doctor.ids import MANY


def check_shapes(evidence: Evidence) -> Iterator[Finding]:
    """Records that will become dead letters."""
    for sample in evidence.inputs():
        reasons = Counter(record.wrong for record in sample.records if record.wrong)
        if reasons:
            count = reasons.total()
            finding = problem if count > MANY * len(sample.records) else warning
            told = "; ".join(f"{number} times: {reason}" for reason, number in reasons.most_common(3))
            yield finding(
                f"Records of {evidence.full(sample.topic)} cannot be used and will be set aside.",
                f"{count} of {len(sample.records)} sampled records: {told}.",
                "Correct the producer; docs/capture.md shows what each record holds.",
            )


def check_dead_letters(evidence: Evidence) -> Iterator[Finding]:
    """What has been set aside already."""
    sample = evidence.samples.get("dead-letters")
    if sample is None or not sample.records:
        return
    reasons = Counter(
        (str(record.parsed.get("topic", "?")), str(record.parsed.get("reason", "?"))) for record in sample.records
    )
    held = evidence.topics[evidence.full("dead-letters")].records
    told = "; ".join(f"{count} of {topic}: {reason}" for (topic, reason), count in reasons.most_common(3))
    yield warning(
        "Records were set aside: no comparison or label counts them.",
        f"about {held} dead letters; the newest {len(sample.records)}: {told}.",
        "Correct their producers; each dead letter holds the record's bytes, to be sent again.",
    )
