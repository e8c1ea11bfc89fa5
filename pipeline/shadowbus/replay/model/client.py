"""What replay asks: a shadow's model in a process of its own, or answers that were recorded before."""

from dataclasses import dataclass
from typing import Protocol

from shadowbus.replay.model.messages import Answers

IN_FLIGHT = 6
"""How many chunks are with the model at once: it predicts one while the others wait, so that it never has to."""


@dataclass(slots=True)
class Chunk:
    """Rows that are asked together: their keys, their raw request values and, once answered, the answers."""

    keys: list[bytes]
    values: list[bytes]
    answers: Answers | None = None


class ModelClient(Protocol):
    """Takes chunks, and answers them in the order in which they were asked."""

    @property
    def model(self) -> str:
        """The shadow's model, `name@version`."""
        ...

    @property
    def in_flight(self) -> int:
        """How many chunks are not answered yet."""
        ...

    def chunk_rows(self, most: int) -> int:
        """How many rows to ask at once."""
        ...

    def ask(self, chunk: Chunk) -> None:
        """Hand over a chunk. Collect answers when more than `IN_FLIGHT` chunks are under way."""
        ...

    def pump(self) -> None:
        """Move bytes in both directions without waiting. Call it often: the model then never waits for a question."""
        ...

    def collect(self, *, wait: bool) -> None:
        """Take in the answers that are there, and with `wait` at least one."""
        ...

    def report(self) -> dict[str, object]:
        """The model's part of a vitals record."""
        ...
