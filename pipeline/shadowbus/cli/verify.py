"""`shadowbus verdict --verify`: work a verdict out again from the topics, and compare the bytes."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from shadowbus.errors import Malformed, ShadowbusError
from shadowbus.records import Verdict, encode
from shadowbus.settings import Settings
from shadowbus.stage import Slice
from shadowbus.trials import shadow_of

TABLES = {
    "gate": "[gate]",
    "cost": "[[cost]]",
    "segment": "[[segment]]",
    "shadow": "the [[shadow]] itself",
    "controls": "which [[shadow]] is the control",
}
"""What the hashes of a verdict's settings are of, as a person finds it in the settings file."""


class CannotVerify(ShadowbusError):
    """It cannot be worked out again from what is there now; that does not say that it is wrong."""


def verify(settings: Settings, record: Verdict, value: bytes) -> str:
    """Work a verdict out again.

    Args:
        settings: As they are now.
        record: The verdict.
        value: The very bytes it was read from.

    Returns:
        What was found, in one sentence: that it is the same.

    Raises:
        CannotVerify: The settings of today are others, or it carries no evidence.
        ShadowbusError: It is not the same, or cannot be worked out again; the message says why.
    """
    from shadowbus.aggregate.difference import DIGITS, first_difference, same_as_shown
    from shadowbus.aggregate.recount import Recount
    from shadowbus.kafka.stretches import read_stretches
    from shadowbus.topology import COMPARISONS, OUTCOMES, VITALS

    if record.fault:
        raise ShadowbusError(f"{record.trial} could not be decided: {record.fault}")
    if not record.evidence:
        raise CannotVerify(f"The verdict on {record.trial} carries no evidence: an older release has written it.")
    _check_settings(settings, record)
    try:
        again = Recount(record, settings)
        topics = {topic.name: topic for topic in (COMPARISONS, OUTCOMES, VITALS)}
        total = sum(after - first for first, after in again.ranges.values())
        with _progress(total) as advance:

            def give(piece: Slice) -> None:
                again.take(piece)
                advance(sum(again.taken.values()))

            read_stretches(settings, topics, again.ranges, give)
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


def _check_settings(settings: Settings, record: Verdict) -> None:
    from shadowbus.aggregate.digests import digests

    said, now = record.evidence.get("settings"), digests(settings, shadow_of(record.trial))
    if not isinstance(said, dict):
        raise ShadowbusError(f"The verdict on {record.trial} does not say from which settings it follows.")
    changed = [TABLES.get(name, name) for name in {**said, **now} if said.get(name) != now.get(name)]
    if changed:
        told = ", ".join(changed) + f" changed{_limits(record) if '[gate]' in changed else ''}."
        raise CannotVerify(
            f"{settings.source} is not as it was for the verdict on {record.trial}: {told} "
            "Start `shadowbus agents` (or `shadowbus up`) again, and with the next records there is a verdict by the "
            "settings of today; or put them back as they were."
        )


def _limits(record: Verdict) -> str:
    """The limits that the verdict was decided by."""
    limits = [one for one in record.criteria if isinstance(one, dict) and ":" not in str(one.get("name"))]
    told = ", ".join(f"{one.get('name')} {one.get('limit')}" for one in limits)
    return f" (its limits were: {told})" if told else ""


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
