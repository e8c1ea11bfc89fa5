"""Whether producers agree on what time it is, and in which unit."""

from collections.abc import Iterator
from statistics import median

from shadowbus.doctor.evidence import Evidence
from shadowbus.doctor.finding import Finding, problem, warning
from shadowbus.doctor.sample import Sample

UNITS = {"seconds": 1e-3, "microseconds": 1e3, "nanoseconds": 1e6}
"""How many of them make a millisecond."""

NEAR = 10.0
"""A time is taken for one in another unit when it is then within this factor of the present."""

AHEAD_MS = 60_000
SKEW_MS = 1_000
MIN_PAIRS = 10


def check_units(evidence: Evidence) -> Iterator[Finding]:
    """Times that are not in milliseconds."""
    for sample in evidence.inputs():
        values = [one.parsed["timestamp_ms"] for one in sample.records if type(one.parsed.get("timestamp_ms")) is int]
        for what, times, fix in (
            ("timestamp_ms", values, "Write timestamp_ms in milliseconds since the epoch."),
            (
                "the time in Kafka",
                [record.timestamp_ms for record in sample.records],
                "Give the producer times in milliseconds, or none: Kafka's client then takes the present.",
            ),
        ):
            unit = unit_of(times, evidence.now_ms)
            if unit:
                yield problem(
                    f"{evidence.full(sample.topic)}: {what} is in {unit}, not in milliseconds.",
                    f"half of {len(times)} sampled times are at or below {median(times):.0f}; "
                    f"it is {evidence.now_ms} now.",
                    fix,
                )


def unit_of(times: list[int], now_ms: int) -> str:
    """The unit that times seem to be in, if that is not milliseconds.

    >>> unit_of([1_760_000_000], 1_760_000_000_000)
    'seconds'
    >>> unit_of([1_750_000_000_000], 1_760_000_000_000)
    ''
    """
    if not times:
        return ""
    middle = median(times)
    for unit, factor in UNITS.items():
        if now_ms * factor / NEAR < middle < now_ms * factor * NEAR:
            return unit
    return ""


def check_ahead(evidence: Evidence) -> Iterator[Finding]:
    """Records from the future, by the clock of this machine."""
    for sample in evidence.inputs():
        ahead = max(record.timestamp_ms for record in sample.records) - evidence.now_ms
        if ahead > AHEAD_MS and not unit_of([record.timestamp_ms for record in sample.records], evidence.now_ms):
            yield warning(
                f"{evidence.full(sample.topic)} has records from the future.",
                f"the newest is stamped {ahead / 1000:.0f} s ahead of this machine's clock.",
                "Set the clock of the producer, or of this machine (NTP).",
            )


def check_skew(evidence: Evidence) -> Iterator[Finding]:
    """Requests and predictions whose times lie apart: they go by different clocks, or the service is slow."""
    samples = evidence.samples
    if "requests" not in samples or "predictions" not in samples:
        return
    asked, answered = (_times(samples[name]) for name in ("requests", "predictions"))
    gaps = [answered[key] - asked[key] for key in asked.keys() & answered.keys()]
    if len(gaps) < MIN_PAIRS:
        return
    middle, window = median(gaps), evidence.settings.replay.join_window_ms
    seen = f"half of {len(gaps)} predictions are stamped {abs(middle) / 1000:.1f} s or more"
    seen += f" {'after' if middle > 0 else 'before'} their request."
    if abs(middle) > window:
        yield problem(
            "Requests and predictions are stamped further apart than they wait for each other.",
            f"{seen} replay.join_window_ms is {window}.",
            "Set the producers' clocks (NTP), or raise replay.join_window_ms above that.",
        )
    elif middle < -SKEW_MS:
        yield warning(
            "The producers of requests and predictions go by different clocks.", seen, "Set their clocks (NTP)."
        )
    elif middle > window / 2:
        yield warning(
            "Predictions come late: most of the join window is used up.", seen, "Raise replay.join_window_ms."
        )


def _times(sample: Sample) -> dict[bytes, int]:
    return {record.request_id: record.timestamp_ms for record in sample.records if record.request_id}
