"""`shadowbus verdict --verify`: work a verdict out again from the topics, and compare the bytes."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from shadowbus.errors import Malformed, ShadowbusError
from shadowbus.records import Verdict, encode
from shadowbus.settings import Settings


class CannotVerify(ShadowbusError):
    """It cannot be worked out again from what is there now; that does not say that it is wrong."""


def verify(settings: Settings, record: Verdict, value: bytes) -> str:
    """Work a verdict out again.

    Args:
        settings: As they are now; the gate is the one that the verdict belongs to.
        record: The verdict.
        value: The very bytes it was read from.

    Returns:
        What was found, in one sentence: that it is the same.

    Raises:
        CannotVerify: It does not carry what it takes, as an older release has written it.
        ShadowbusError: It is not the same, or cannot be worked out again; the message says why.
    """
    from shadowbus.decide.difference import DIGITS, first_difference, same_as_shown
    from shadowbus.decide.verify import Recount
    from shadowbus.kafka.read.ranges import read_ranges
    from shadowbus.topology import COMPARISONS, OUTCOMES, VITALS

    if record.fault:
        raise ShadowbusError(f"{record.trial} could not be decided: {record.fault}")
    if not record.evidence:
        raise CannotVerify(f"The verdict on {record.trial} carries no evidence: an older release has written it.")
    if not record.gate:
        raise CannotVerify(
            f"The verdict on {record.trial} does not say by which gate: an older release has written it. With the next "
            "records, `shadowbus aggregate` and `shadowbus decide` of this release write one that does."
        )
    try:
        again = Recount(record, settings)
        topics = {topic.name: topic for topic in (COMPARISONS, OUTCOMES, VITALS)}
        total = sum(after - first for first, after in again.ranges.values())
        with _progress(total) as advance:
            for batch in read_ranges(settings, topics, again.ranges):
                again.take(batch)
                advance(sum(again.taken.values()))
        result = encode(again.result())
    except Malformed as error:
        raise ShadowbusError(f"The verdict on {record.trial} cannot be worked out again: {error}.") from error
    counted = " and ".join(f"{again.taken[name]:,} {name}" for name in ("comparisons", "outcomes"))
    if result != value and same_as_shown(value, result):
        return (
            f"Read again {counted}: the verdict is the same to {DIGITS} digits; in what comes after them processors "
            "and builds of numpy differ."
        )
    if result != value:
        raise ShadowbusError(
            f"The verdict on {record.trial} is not what follows from the {counted} it names: "
            f"{first_difference(value, result)}."
        )
    return f"Read again {counted}: the verdict is the same, byte for byte."


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, on terminals only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} offsets"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=total)
        yield lambda done: shown.update(task, completed=done)
