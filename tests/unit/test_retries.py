"""One retry policy: pauses that grow, with jitter, until a deadline, and never none."""

import doctest
from itertools import pairwise

import pytest

from shadowbus import retries
from shadowbus.clock import Deadline


class Flaky:
    """Fails so many times; keeps the pauses it was given."""

    def __init__(self, times: int) -> None:
        self.left, self.calls = times, 0
        self.pauses: list[float] = []

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.left:
            raise ConnectionError(f"no {self.calls}")
        return self.calls


def passes(error: BaseException) -> bool:
    return isinstance(error, ConnectionError)


def test_the_examples_are_true() -> None:
    assert doctest.testmod(retries).failed == 0


def test_pauses_grow_to_a_bound_and_are_not_all_the_same() -> None:
    flaky = Flaky(9)
    assert retries.again(flaky, Deadline.after(1_000), passes=passes, sleep=flaky.pauses.append) == 10
    assert len(flaky.pauses) == 9
    assert all(0 < before < 2.2 * after + 0.1 for before, after in pairwise(flaky.pauses))
    assert flaky.pauses[0] < 0.2
    assert 1.0 <= max(flaky.pauses) <= retries.MOST_S + retries.FIRST_S
    assert len({retries.pause_s(8) for _ in range(20)}) > 1


def test_a_step_that_always_fails_is_called_a_few_times_and_not_thousands() -> None:
    flaky = Flaky(10**9)
    with pytest.raises(ConnectionError, match="no"):
        retries.again(flaky, Deadline.after(0.5), passes=passes)
    assert 2 <= flaky.calls <= 8


def test_what_does_not_pass_is_raised_at_once() -> None:
    flaky = Flaky(5)
    with pytest.raises(ConnectionError, match="no 1"):
        retries.again(flaky, Deadline.after(60))
    assert flaky.calls == 1


def test_a_result_that_is_not_settled_is_asked_for_again_and_given_when_time_is_over() -> None:
    values = iter(range(1_000))
    nothing = [0.0]
    assert retries.again(lambda: next(values), Deadline.after(60), settled=lambda n: n >= 3, sleep=nothing.append) == 3
    assert retries.again(lambda: -1, Deadline.after(0), settled=lambda n: n >= 3) == -1
