"""Runs a program of yours: no shell, the verdict's record on its standard input, the rest in its environment."""

import os
from dataclasses import dataclass
from pathlib import Path

from shadowbus.promotion.order import Done, NotDone, Order
from shadowbus.promotion.program import TooLong, run
from shadowbus.records import encode
from shadowbus.story.figures import counted

LAST_CHARACTERS = 500
MOST_CHARACTERS = 4_000
"""Of one value in the environment; the record on the standard input holds all of it."""


@dataclass(frozen=True, slots=True)
class Command:
    """`[promotion] command`: it has to give the same result when it runs again with the same key.

    Args:
        arguments: The program and what it is given.
        folder: Where it runs.
        timeout_s: After how long it is killed, with what it started.
    """

    arguments: tuple[str, ...]
    folder: Path
    timeout_s: float

    def plan(self, order: Order) -> Done:
        """Say what would run."""
        return Done(f"Runs {self.arguments[0]} with {counted(len(self.arguments) - 1, 'argument')}, in {self.folder}.")

    def act(self, order: Order) -> Done:
        """Run it.

        Raises:
            NotDone: It is not there, failed, or took too long.
        """
        try:
            ended = run(self.arguments, self.folder, environment(order), encode(order.verdict), self.timeout_s)
        except TooLong:
            raise NotDone(f"{self.arguments[0]} was killed, as it took longer than {self.timeout_s:g} s.") from None
        except OSError as error:
            raise NotDone(f"{self.arguments[0]} cannot be run: {error.strerror}.") from error
        last = ended.said.decode(errors="replace")[-LAST_CHARACTERS:]
        if ended.code:
            raise NotDone(f"{self.arguments[0]} ended with {ended.code}: {' '.join(last.split())}")
        return Done(f"{self.arguments[0]} ended with 0.", {"exit_code": 0, "said": last})


def environment(order: Order) -> dict[str, str]:
    """What the program finds in its environment, beside what is there.

    Names come out of records: what no environment can hold, or what steers a terminal, is left out, and no value is
    longer than `MOST_CHARACTERS`.
    """
    values = {
        "SHADOWBUS_ACTION": order.action,
        "SHADOWBUS_TRIAL": order.trial,
        "SHADOWBUS_CHAMPION": order.champion,
        "SHADOWBUS_MODEL": order.model,
        "SHADOWBUS_VERDICT": order.verdict.verdict,
        "SHADOWBUS_REASON": order.reason,
        "SHADOWBUS_BY": order.by,
        "SHADOWBUS_KEY": order.key,
    }
    shown = {name: "".join(filter(str.isprintable, value))[:MOST_CHARACTERS] for name, value in values.items()}
    return {**shown, "SHADOWBUS_REPORT": os.fspath(order.report) if order.report else ""}
