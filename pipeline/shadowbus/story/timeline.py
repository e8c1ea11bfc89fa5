"""How rates and latencies went over time, from the windows of a trial."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from shadowbus.records import Aggregate
from shadowbus.story.fields import count, number, section

RECENT = 12
FEW = 2
LEAST_REQUESTS = 20
"""Of fewer requests a share is not worth a point of its own."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One window: when it began, and what was seen in it; shares from 0 to 1, latencies in ms.

    `low` and `high` are what is still possible of a share.
    """

    start_ms: int
    requests: int
    labels: int
    agreement: float | None
    agreement_low: float | None
    agreement_high: float | None
    errors: float | None
    errors_low: float | None
    errors_high: float | None
    accuracy: float | None
    live_p50: float | None
    live_p95: float | None
    live_p99: float | None
    shadow_p50: float | None
    shadow_p95: float | None
    shadow_p99: float | None


def timeline(aggregates: Iterable[Aggregate], segment: str = "all") -> tuple[Moment, ...]:
    """The windows of one segment of a trial, the oldest first."""
    found = [one for one in aggregates if one.segment == segment and one.window.isdecimal()]
    return tuple(sorted((_moment(one) for one in found), key=lambda moment: moment.start_ms))


def thick(moments: Iterable[Moment]) -> tuple[Moment, ...]:
    """The same with thin windows put together, so that each speaks of `LEAST_REQUESTS` at least.

    Shares are those of all their requests; what is possible of them is then not known. Latencies are the first one's.
    A last window that has just begun is left out.
    """
    found: list[Moment] = []
    group: list[Moment] = []
    for one in moments:
        group.append(one)
        if sum(each.requests for each in group) >= LEAST_REQUESTS:
            found.append(_joined(group))
            group = []
    if group:
        found.append(_joined(group))
    begun = len(found) > FEW and found[-1].requests < found[-2].requests / 3
    return tuple(found[:-1] if begun else found)


def _joined(group: list[Moment]) -> Moment:
    if len(group) == 1:
        return group[0]

    def mean(of: Callable[[Moment], float | None]) -> float | None:
        seen = [(value, one.requests) for one in group if (value := of(one)) is not None]
        weight = sum(requests for _, requests in seen)
        return sum(value * requests for value, requests in seen) / weight if weight else None

    return replace(
        group[0],
        requests=sum(one.requests for one in group),
        labels=sum(one.labels for one in group),
        agreement=mean(lambda one: one.agreement),
        errors=mean(lambda one: one.errors),
        accuracy=mean(lambda one: one.accuracy),
        agreement_low=None,
        agreement_high=None,
        errors_low=None,
        errors_high=None,
    )


def per_second(aggregates: Iterable[Aggregate]) -> tuple[float, float]:
    """How many requests and labels come in a second lately, by the newest windows; 0 where that is not known."""
    windows = [one for one in aggregates if one.segment == "all" and one.window.isdecimal()]
    newest = sorted(windows, key=lambda one: int(one.window))[-RECENT:]
    firsts = [first for one in newest if (first := number(one.totals, "first_ms")) is not None]
    lasts = [last for one in newest if (last := number(one.totals, "last_ms")) is not None]
    seconds = (max(lasts) - min(firsts)) / 1000 if firsts and lasts else 0.0
    if seconds <= 0:
        return 0.0, 0.0
    requests = sum(count(one.summary, "requests") for one in newest)
    return requests / seconds, sum(count(one.summary, "labels") for one in newest) / seconds


def _moment(one: Aggregate) -> Moment:
    summary = one.summary
    live, shadow = section(summary, "live_latency_ms"), section(summary, "shadow_latency_ms")
    shares = [
        number(section(summary, name), end) for name in ("agreement", "errors") for end in ("value", "low", "high")
    ]
    latencies = [number(side, rank) for side in (live, shadow) for rank in ("p50", "p95", "p99")]
    accuracy = number(section(summary, "accuracy"), "difference")
    counts = count(summary, "requests"), count(summary, "labels")
    return Moment(int(one.window), *counts, *[*shares, accuracy, *latencies])
