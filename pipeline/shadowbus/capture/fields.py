"""Numbers that a service gives beside answers and labels: checked where they enter, as later stages count on them."""

from shadowbus.capture.plain import plain
from shadowbus.limits import LATEST_MS, LEAST_PROBABILITY, MAX_LATENCY_MS, is_time_ms

_MOST_BYTES = 100


class InvalidFieldError(ValueError):
    """A time or a chance that no stage would take."""


def time_ms(given: object) -> int:
    """Milliseconds since the epoch, however the whole number is held.

    Raises:
        InvalidFieldError: It is none, or a time in another unit.
    """
    number = _number(given)
    if number != number or abs(number) >= LATEST_MS or number != int(number) or not is_time_ms(int(number)):
        raise InvalidFieldError
    return int(number)


def chance_of(given: object) -> float:
    """The probability with which a request was chosen to be labelled.

    Raises:
        InvalidFieldError: It is none, or so small that one label would stand for all others.
    """
    chance = _number(given)
    if not LEAST_PROBABILITY <= chance <= 1:
        raise InvalidFieldError
    return float(chance)


def duration_ms(given: object) -> float | None:
    """A duration in milliseconds; None where this is none."""
    try:
        number = _number(given)
    except InvalidFieldError:
        return None
    return float(number) if 0 <= number <= MAX_LATENCY_MS else None


def _number(given: object) -> float:
    try:
        found = plain(given, _MOST_BYTES)
    except (TypeError, ValueError):
        raise InvalidFieldError from None
    if type(found) is int or type(found) is float:
        return found
    raise InvalidFieldError
