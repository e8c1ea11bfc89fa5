"""What a record's fields may hold, and that what says so stays light enough for a production service."""

import doctest
import re
from pathlib import Path

import pytest

from shadowbus import limits
from shadowbus.records import dead_letters
from shadowbus.topology import MAX_RECORD_BYTES

NOW_MS = 1_760_000_000_000


def test_the_examples_of_the_limits_hold() -> None:
    assert doctest.testmod(limits).failed == 0
    assert doctest.testmod(dead_letters).failed == 0


@pytest.mark.parametrize("factor", [0.001, 1_000, 1_000_000])
@pytest.mark.parametrize("moment_ms", [1_000_000_000_000, NOW_MS, 4_000_000_000_000])
def test_a_moment_in_another_unit_is_no_time(factor: float, moment_ms: int) -> None:
    assert limits.is_time_ms(moment_ms)
    assert not limits.is_time_ms(int(moment_ms * factor))


@pytest.mark.parametrize("odd", [None, True, 1.5, float(NOW_MS), str(NOW_MS), -1, 1 << 62, 1 << 80, limits.LATEST_MS])
def test_what_is_no_integer_of_this_century_is_no_time(odd: object) -> None:
    assert not limits.is_time_ms(odd)


@pytest.mark.parametrize(("factor", "unit"), [(0.001, "seconds"), (1_000, "microseconds"), (1_000_000, "nanoseconds")])
def test_a_time_in_another_unit_is_named_so(factor: float, unit: str) -> None:
    assert limits.no_time("timestamp_ms", int(NOW_MS * factor)).endswith(f"looks like {unit}")


@pytest.mark.parametrize("odd", [None, True, 1.5, "now", -1, 1 << 99])
def test_whatever_is_no_time_has_a_short_reason(odd: object) -> None:
    assert len(limits.no_time("timestamp_ms", odd)) < 200


@pytest.mark.parametrize(
    "limit",
    [
        *(limits.MAX_ID_BYTES, limits.MAX_SEGMENTS_BYTES, limits.MAX_SEGMENT_CHARACTERS, limits.MAX_MODEL_CHARACTERS),
        *(limits.MAX_LATENCY_MS, limits.MAX_ANSWER_BYTES, limits.MAX_ERROR_CHARACTERS, limits.MAX_LABEL_BYTES),
        *(limits.MAX_LIVE_MODELS, limits.LEAST_PROBABILITY, MAX_RECORD_BYTES, dead_letters.KEPT_BYTES),
    ],
)
def test_every_limit_is_in_the_documented_table(limit: float) -> None:
    text = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("## What a record may hold")[2].partition("\n## ")[0]
    shown = f"{limit:,.0f}" if limit >= 1 else f"{limit:f}"
    assert shown in re.findall(r"[\d,.]*\d", table)
