"""Asks MLflow's registry in a process of its own, which ends with what is asked of it: in time, and before it grows.

MLflow's client tries again by itself, reads answers of any size, and gives each of its requests a time of its own; how
long all of it takes is the registry's to say. So it runs where it can be killed and its memory is bounded.
"""

import contextlib
import os
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from shadowbus.promotion.mlflow_registry import MlflowRegistry, load
from shadowbus.promotion.order import Done, NotDone, Order
from shadowbus.promotion.program import TooLong, run
from shadowbus.records import Verdict, decode, encode

MOST_BYTES = 512 << 20
"""What answers may add to the process's memory."""

LAST_CHARACTERS = 300

ENVIRONMENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""What is set where the environment says nothing else: MLflow's own seven tries hide what is wrong for minutes."""


@dataclass(frozen=True, slots=True)
class MlflowProcess:
    """`[promotion] mlflow_uri`.

    Args:
        registry: What is asked.
        timeout_s: How long all of one question may take.
    """

    registry: MlflowRegistry
    timeout_s: float

    def plan(self, order: Order) -> Done:
        """Look where the alias points now.

        Raises:
            NotDone: The registry does not answer, or has no such version.
        """
        return self._ask("plan", order)

    def act(self, order: Order) -> Done:
        """Move the alias.

        Raises:
            NotDone: It has not moved, or the registry did not answer in time, and then nobody knows.
        """
        return self._ask("act", order)

    def _ask(self, call: str, order: Order) -> Done:
        question = orjson.dumps({"call": call, "registry": asdict(self.registry), "order": _written(order)})
        set_already = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
        try:
            ended = run([sys.executable, "-m", __name__], None, set_already, question, self.timeout_s)
        except TooLong:
            what = "" if call == "plan" else " Whether the alias has moved is not known: do it again, which is safe."
            raise NotDone(f"MLflow's registry did not answer within {self.timeout_s:g} s.{what}") from None
        answer = _last_line(ended.said)
        if "told" in answer:
            return Done(str(answer["told"]), answer["detail"])
        if "missing" in answer:
            raise ModuleNotFoundError(f"No module named {answer['missing']!r}", name=answer["missing"])
        last = " ".join(ended.said.decode(errors="replace")[-LAST_CHARACTERS:].split())
        raise NotDone(str(answer.get("not_done") or f"MLflow's client ended with {ended.code}: {last}"))


def main() -> None:
    """Answer the question on the standard input with the last line of the standard output."""
    question = orjson.loads(sys.stdin.buffer.read())
    registry, order = MlflowRegistry(**question["registry"]), _read(question["order"])
    try:
        load()  # what MLflow takes itself is not what is bounded
        _bound_memory()
        done = registry.plan(order) if question["call"] == "plan" else registry.act(order)
        answer: dict[str, Any] = {"told": done.told, "detail": done.detail}
    except NotDone as error:
        answer = {"not_done": str(error)}
    except ModuleNotFoundError as error:
        answer = {"missing": error.name or "mlflow"}
    except MemoryError:
        answer = {"not_done": f"MLflow's registry says more than the {MOST_BYTES >> 20} MiB that are read."}
    sys.stdout.buffer.write(b"\n" + orjson.dumps(answer) + b"\n")
    sys.stdout.buffer.flush()
    os._exit(0)  # whatever MLflow still has running in the background is over


def _bound_memory() -> None:
    most = psutil.Process().memory_info().vms + MOST_BYTES
    with contextlib.suppress(ValueError, OSError):  # not every system lets a process say so
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _written(order: Order) -> dict[str, Any]:
    report = str(order.report) if order.report else None
    return {
        "action": order.action,
        "verdict": encode(order.verdict).decode(),
        "key": order.key,
        "by": order.by,
        "report": report,
    }


def _read(written: dict[str, Any]) -> Order:
    report, verdict = written.pop("report"), decode(Verdict, written.pop("verdict").encode())
    return Order(verdict=verdict, report=Path(report) if report else None, **written)


def _last_line(said: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(said.rstrip().rpartition(b"\n")[2])
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


if __name__ == "__main__":
    main()
