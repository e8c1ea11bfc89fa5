"""A model process without the process: answers at once, with the real code that parses and predicts."""

from collections.abc import Sequence

from shadowbus.models.model import Predictions, Row
from shadowbus.replay.model.child.predictor import Predictor
from shadowbus.replay.model.child.single_rows import SingleRowSampler
from shadowbus.replay.model.client import Chunk
from shadowbus.replay.model.messages import pack_question


class Doubler:
    """Predicts twice the feature `x`; raises for a row without it."""

    model = "doubler@1"
    feature_names: tuple[str, ...] | None = ("x",)

    def predict(self, rows: Sequence[Row]) -> Predictions:
        return Predictions([row["x"] * 2 for row in rows], None)  # type: ignore[call-overload,operator]

    def missing(self, rows: Sequence[Row]) -> list[tuple[str, ...]] | None:
        return [() if "x" in row else ("x",) for row in rows]


class InstantModel:
    """The interface of `ModelProcess`; `hold` keeps answers back until it is cleared, as a slow model would."""

    model = Doubler.model

    def __init__(self) -> None:
        self.waiting: list[Chunk] = []
        self.hold = False
        self.answering = Predictor(Doubler(), SingleRowSampler(0.0))

    @property
    def in_flight(self) -> int:
        return len(self.waiting)

    def chunk_rows(self, most: int) -> int:
        return min(most, 7)

    def ask(self, chunk: Chunk) -> None:
        self.waiting.append(chunk)

    def pump(self) -> None:
        """Nothing is ever under way."""

    def collect(self, *, wait: bool) -> None:
        if self.hold and not wait:
            return
        while self.waiting:
            chunk = self.waiting.pop(0)
            chunk.answers = self.answering.answer(pack_question(chunk.keys, chunk.values))
            if wait and self.hold:
                return

    def report(self) -> dict[str, object]:
        return {"name": self.model}
