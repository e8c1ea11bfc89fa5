"""Find the verdict on a shadow among the records of the verdicts topic, with the bytes that it was read from."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from shadowbus.clock import Deadline
from shadowbus.errors import Malformed, ShadowbusError
from shadowbus.records import Verdict
from shadowbus.records.published import read_aggregate, read_verdict
from shadowbus.settings import Settings
from shadowbus.trials import shadow_of, verdicts_in

READ_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """A verdict, and the very bytes it was read from."""

    record: Verdict
    value: bytes


@dataclass(frozen=True, slots=True)
class Odd:
    """A record under a trial's name that is no verdict on it, and why."""

    trial: str
    why: str

    @property
    def sentence(self) -> str:
        """What is wrong, and what to do."""
        return (
            f"The verdict on {self.trial} cannot be used: {self.why}. Something else than "
            "`shadowbus decide` has written it: start that again, and it writes it anew."
        )


def verdicts(table: Mapping[bytes, bytes]) -> tuple[list[Found], list[Odd]]:
    """What lies in a verdicts topic under the names of trials: verdicts, and what is none."""
    found, odd = list[Found](), list[Odd]()
    for key, value in verdicts_in(table).items():
        try:
            found.append(Found(read_verdict(value, key), value))
        except Malformed as error:
            odd.append(Odd(key.decode(errors="replace"), str(error)))
    return found, odd


def find(settings: Settings, shadow: str, trial: str | None, deadline: Deadline) -> Found | None:
    """The verdict on a trial of a shadow, or on its newest one.

    Raises:
        BrokerError: The topics cannot be read.
        ShadowbusError: What lies there is no verdict.
    """
    from shadowbus.kafka.read.topic import read_table
    from shadowbus.topology import AGGREGATES, VERDICTS

    found, odd = verdicts(read_table(settings, VERDICTS, deadline))
    of_shadow: dict[str, Found | Odd] = {one.record.trial: one for one in found} | {one.trial: one for one in odd}
    of_shadow = {name: one for name, one in of_shadow.items() if shadow_of(name) == shadow and trial in (None, name)}
    began: dict[str, int] = {}
    if len(of_shadow) > 1:
        # Labels of an old trial still arrive: the newest is the one that began last, not the one decided last.
        began = beginnings(read_table(settings, AGGREGATES, deadline))
    newest = max(of_shadow, key=lambda name: (began.get(name, -1), _decided_ms(of_shadow[name])), default=None)
    chosen = None if newest is None else of_shadow[newest]
    if isinstance(chosen, Odd):
        raise ShadowbusError(chosen.sentence)
    return chosen


def _decided_ms(one: Found | Odd) -> int:
    return one.record.decided_ms if isinstance(one, Found) else -1


def beginnings(table: Mapping[bytes, bytes]) -> dict[str, int]:
    """The time of each trial's first record, by trial, from aggregates by their keys."""
    began: dict[str, int] = {}
    for key, value in table.items():
        if key.endswith(b"|all|all"):
            with contextlib.suppress(Malformed):
                aggregate = read_aggregate(value, key)
                if isinstance(first := aggregate.totals.get("first_ms"), int):
                    began[aggregate.trial] = first
    return began
