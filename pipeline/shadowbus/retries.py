"""The one retry policy: what may pass by itself is tried again after growing pauses with jitter, until a deadline."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_any, retry_if_exception, retry_if_result
from tenacity.wait import wait_exponential, wait_random

from shadowbus.clock import Deadline

Result = TypeVar("Result")

FIRST_S, MOST_S = 0.05, 1.0


def pause_s(tries: int, first_s: float = FIRST_S, most_s: float = MOST_S) -> float:
    """How long to wait after so many tries: `first_s`, doubled up to `most_s`, and up to `first_s` more by chance.

    >>> [int(pause_s(tries, 1.0, 5.0)) in (least, least + 1) for tries, least in ((1, 1), (2, 2), (3, 4), (99, 5))]
    [True, True, True, True]
    """
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = tries
    return _pauses(first_s, most_s)(state)


def again(
    step: Callable[[], Result],
    deadline: Deadline,
    *,
    passes: Callable[[BaseException], bool] = lambda _: False,
    settled: Callable[[Result], bool] = lambda _: True,
    sleep: Callable[[float], object] | None = None,
) -> Result:
    """Call `step` until it goes through and its result is settled.

    Args:
        step: What to try.
        deadline: By when to stop trying; a pause never goes beyond it.
        passes: Which errors may pass by themselves.
        settled: Which results need no further try.
        sleep: Waits that many seconds, in place of doing nothing.

    Returns:
        The last result, settled or not.

    Raises:
        BaseException: The last error, where it does not pass, or the deadline has.
    """
    pauses = _pauses(FIRST_S, MOST_S)

    def pause(seconds: float) -> None:
        (sleep or threading.Event().wait)(seconds)

    return Retrying(
        retry=retry_any(retry_if_exception(passes), retry_if_result(lambda result: not settled(result))),
        stop=lambda _: deadline.passed,
        wait=lambda state: min(pauses(state), deadline.remaining()),
        sleep=pause,
        retry_error_callback=_last,
    )(step)


def _pauses(first_s: float, most_s: float) -> Callable[[RetryCallState], float]:
    return wait_exponential(multiplier=first_s, max=most_s) + wait_random(0, first_s)


def _last(state: RetryCallState) -> Any:
    return state.outcome and state.outcome.result()
