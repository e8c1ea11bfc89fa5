"""Runs a program of yours: no shell, the verdict's record on its standard input, the rest in its environment."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from shadowbus.promotion.order import Done, NotDone, Order
from shadowbus.records import encode

LAST_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Command:
    """`[promotion] command`: it has to give the same result when it runs again with the same key.

    Args:
        arguments: The program and what it is given.
        folder: Where it runs.
        timeout_s: After how long it is killed, with all that it started.
    """

    arguments: tuple[str, ...]
    folder: Path
    timeout_s: float

    def plan(self, order: Order) -> Done:
        """Say what would run."""
        return Done(f"Runs {self.arguments[0]} with {len(self.arguments) - 1} arguments, in {self.folder}.")

    def act(self, order: Order) -> Done:
        """Run it.

        Raises:
            NotDone: It is not there, failed, or took too long.
        """
        try:
            process = subprocess.Popen(
                self.arguments,
                cwd=self.folder,
                env={**os.environ, **environment(order)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise NotDone(f"{self.arguments[0]} cannot be run: {error.strerror}.") from error
        try:
            said, _ = process.communicate(encode(order.verdict), self.timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise NotDone(f"{self.arguments[0]} was killed, as it took longer than {self.timeout_s:g} s.") from None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        last = said.decode(errors="replace")[-LAST_CHARACTERS:]
        if process.returncode:
            raise NotDone(f"{self.arguments[0]} ended with {process.returncode}: {' '.join(last.split())}")
        return Done(f"{self.arguments[0]} ended with 0.", {"exit_code": 0, "said": last})


def environment(order: Order) -> dict[str, str]:
    """What the program finds in its environment, beside what is there."""
    return {
        "SHADOWBUS_ACTION": order.action,
        "SHADOWBUS_TRIAL": order.trial,
        "SHADOWBUS_CHAMPION": order.champion,
        "SHADOWBUS_MODEL": order.model,
        "SHADOWBUS_VERDICT": order.verdict.verdict,
        "SHADOWBUS_REASON": order.reason,
        "SHADOWBUS_BY": order.by,
        "SHADOWBUS_KEY": order.key,
        "SHADOWBUS_REPORT": str(order.report or ""),
    }
