"""Logs stay short whatever happens, and the line that matters is in them."""

import logging
import re
from collections.abc import Iterator

import pytest

from shadowbus.throttle import KINDS, Allowance, Throttle, throttle


def record(words: str, at: float, level: int = logging.ERROR, name: str = "aiokafka.client") -> logging.LogRecord:
    made = logging.LogRecord(name, level, "here.py", 1, words, None, None)
    made.created = at
    return made


def shown(records: Iterator[logging.LogRecord], by: Throttle) -> list[str]:
    return [one.getMessage() for one in records if by.filter(one)]


def test_an_allowance_is_so_many_at_once_and_then_one_at_a_time() -> None:
    allowance = Allowance(2, 10.0)
    assert [allowance.take(at) for at in (0.0, 0.0, 0.0, 5.0, 10.0, 10.0)] == [True, True, False, False, True, False]
    assert allowance.owed(12.0) == (3, 12.0)
    assert allowance.owed(12.0) == (0, 0.0)


def test_a_clock_that_steps_back_silences_nobody() -> None:
    allowance = Allowance(1, 1.0)
    assert allowance.take(1_000.0)
    assert not allowance.take(10.0)
    assert allowance.take(11.0)


@pytest.mark.parametrize(
    ("flood", "kinds"),
    [
        (["Unable connect to node with id {n}: [Errno 111] Connect call failed ('127.0.0.1', {n})"], 1),
        (["Failed fetch messages from {n}: NodeNotReadyError", "Unable to update metadata from [{n}]"], 2),
        (["Topic churn.{word} is not available during auto-create initialization"], 10_000),
    ],
)
def test_a_flood_of_any_kind_becomes_a_few_lines_a_second(flood: list[str], kinds: int) -> None:
    """1,300 lines a second, as a client without its topics writes them."""
    throttle = Throttle()
    lines = (
        record(flood[number % len(flood)].format(n=number, word=chr(0x4E00 + number % kinds)), number / 1_300)
        for number in range(26_000)
    )
    told = shown(lines, throttle)
    assert 1 <= len(told) < 20 * 4
    assert any("in 10 s)" in line or "left out" in line for line in told)


def test_the_line_that_matters_is_shown_in_the_middle_of_a_flood() -> None:
    throttle = Throttle()
    lines = [record("Unable connect to node with id 1", number / 100) for number in range(1_000)]
    lines.insert(700, record("Topic authorization failed", 7.0))
    assert sum("authorization" in line for line in shown(iter(lines), throttle)) == 1


def test_what_is_left_out_is_told_with_the_next_of_its_kind() -> None:
    throttle = Throttle()
    lines = [record(f"FAIL after {number} ms", number / 10) for number in range(120)]
    told = shown(iter(lines), throttle)
    assert told[:3] == ["FAIL after 0 ms", "FAIL after 1 ms", "FAIL after 2 ms"]
    assert re.fullmatch(r"FAIL after \d+ ms \(9\d more like it in 10 s\)", told[3])


def test_what_is_critical_is_always_shown() -> None:
    throttle = Throttle()
    for number in range(10_000):
        throttle.filter(record(f"noise {chr(0x4E00 + number)}", 1.0))
    assert all(throttle.filter(record("this worker ends", 1.0, logging.CRITICAL)) for _ in range(50))


def test_kinds_without_number_take_no_memory_without_bound() -> None:
    throttle = Throttle()
    for number in range(5 * KINDS):
        throttle.filter(record(f"noise {chr(0x4E00 + number)}", 1.0))
    assert len(throttle._kinds) == KINDS


def test_loggers_of_a_package_are_throttled_whoever_made_the_handlers(caplog: pytest.LogCaptureFixture) -> None:
    """Agents that run in a program of the user's own write into the user's own handlers."""
    inner, other = logging.getLogger("a_client.inner.part"), logging.getLogger("a_program")
    throttle(["a_client"])
    throttle(["a_client"])
    with caplog.at_level(logging.WARNING):
        for _ in range(1_000):
            inner.warning("away")
            other.warning("away")
    assert sum(kept.name == "a_client.inner.part" for kept in caplog.records) == 3
    assert sum(kept.name == "a_program" for kept in caplog.records) == 1_000
