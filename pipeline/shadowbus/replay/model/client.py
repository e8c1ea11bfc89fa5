"""Whoever answers for the shadow: its model in a process of its own, or what it answered before."""

from typing import Protocol

from shadowbus.replay.model.process import Chunk


class ModelClient(Protocol):
    """Takes chunks and answers them in the order in which they were asked."""

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
        """Hand over a chunk. Collect answers when more than `IN_FLIGHT` are under way."""
        ...

    def attend(self) -> None:
        """Pass on what is under way in either direction."""
        ...

    def collect(self, *, wait: bool) -> None:
        """Take in answers: all that are there, and with `wait` at least one."""
        ...

    def report(self) -> dict[str, object]:
        """The model's part of a vitals record."""
        ...
