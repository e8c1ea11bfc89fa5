"""Verdicts that are older than what they rest on are noticed, and nothing else is taken for it."""

import pytest

from shadowbus.freshness import ENOUGH, stale_trials
from shadowbus.records import Aggregate, Partial, encode

NOW = 1_760_000_000_000
TRIAL = "live@1~new@2"


def partial(count: int, seconds_ago: float, source: int = 0, segment: str = "all", window: str = "all") -> bytes:
    totals: dict[str, object] = {"statuses": {"compared": count}, "labels": 0}
    return encode(Partial(TRIAL, segment, window, source, {}, totals, int(NOW - seconds_ago * 1000)))


def published(count: int, seconds_ago: float) -> list[bytes]:
    totals: dict[str, object] = {"statuses": {"compared": count}, "labels": 0}
    return [encode(Aggregate(TRIAL, "all", "all", totals, {}, {}, int(NOW - seconds_ago * 1000)))]


@pytest.mark.parametrize(
    ("partials", "aggregates"),
    [
        ([partial(10, 3600)], published(10, 3600)),
        ([partial(10, 3600), partial(11, 1)], published(10, 3600)),
        ([partial(10, 90), partial(11, 15), partial(12, 1)], published(10, 90)),
        ([partial(10, 90), partial(10, 60)], published(10, 90)),
        ([partial(10, 1)], []),
        ([], published(10, 90)),
        ([partial(99, 90, segment="country=DE"), partial(99, 90, window="1760000000000")], published(10, 100)),
        ([b"", b"no JSON", b'{"segment":"all","window":"all"}'], published(10, 90)),
    ],
    ids=["even", "one that came just now", "some seconds", "nothing new in it", "first", "none", "parts", "garbage"],
)
def test_what_is_fresh_is_let_be(partials: list[bytes], aggregates: list[bytes]) -> None:
    assert stale_trials(partials, aggregates, NOW) == {}


@pytest.mark.parametrize(
    ("partials", "aggregates", "seconds"),
    [
        ([partial(10, 200), partial(11, 95), partial(12, 1)], published(10, 200), 95),
        ([partial(10, 200, 0), partial(7, 40, 1)], published(10, 200), 40),
        ([partial(10, 50)], [], 50),
        ([partial(100 + at, 5 - at / 20) for at in range(ENOUGH)], published(10, 95), 95),
    ],
    ids=["an outage", "another source", "never published", "more has come than is looked at"],
)
def test_what_waits_too_long_is_told_with_how_long(
    partials: list[bytes], aggregates: list[bytes], seconds: float
) -> None:
    assert stale_trials(partials, aggregates, NOW) == {TRIAL: pytest.approx(seconds)}
