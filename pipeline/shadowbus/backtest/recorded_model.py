"""Recorded predictions in place of a model.

In: chunks of rows, and predictions by request id. Out: answers, at once.
"""

from collections.abc import Mapping
from pathlib import Path

from shadowbus.backtest.files.table import BadRow
from shadowbus.backtest.log import Account, Log
from shadowbus.errors import Malformed, ShadowbusError
from shadowbus.replay.live import Live, read_live, read_lives
from shadowbus.replay.model.client import Chunk
from shadowbus.replay.model.messages import Answers
from shadowbus.replay.model.requests import RequestReader
from shadowbus.settings.backtest import BacktestSettings
from shadowbus.stage import RecordBatch

ABSENT = "shadow_unavailable", "there is no prediction for it in the file"
ROWS = 10_000


class RecordedModel:
    """Answers with recorded predictions.

    A request that has no prediction ends as `shadow_unavailable`, one whose prediction is an error as `shadow_error`.
    Which features a request lacks is not known here.

    Args:
        model: The model's name.
        predictions: Predictions in the wire format, by request id.
        timed: What their latencies are of, where they do not say.
    """

    def __init__(self, model: str, predictions: Mapping[bytes, bytes], timed: str = "") -> None:
        self.model, self.predictions, self.timed = model, predictions, timed
        self.in_flight = self.rows = 0
        self._reader = RequestReader()

    def chunk_rows(self, most: int) -> int:
        """As many as may be."""
        return most

    def ask(self, chunk: Chunk) -> None:
        """Answer at once."""
        found = self._reader.read(chunk.keys, chunk.values)
        answers = chunk.answers = Answers(tails=found.tails, malformed=found.malformed)
        kinds = set[str | None]()
        self.rows += len(chunk.keys)
        for row in found.rows:
            key = chunk.keys[row]
            value = self.predictions.get(key)
            made = None if value is None else read_live(key, value, self.timed)
            if made is None:
                answers.failed[row] = ABSENT
            elif made.error is not None:
                answers.failed[row] = "shadow_error", made.error
            else:
                if made.latency_ms is not None:
                    answers.latencies[len(answers.predictions)] = float(made.latency_ms)
                    kinds.add(made.timed or None)
                answers.predictions.append(made.prediction)
                answers.scores.append(made.scores)
        answers.timed = kinds.pop() if len(kinds) == 1 else None

    def pump(self) -> None:
        """Nothing is ever under way."""

    def collect(self, *, wait: bool) -> None:
        """Nothing is ever under way."""

    def report(self) -> dict[str, object]:
        """Its name and rows; what they cost is not known."""
        return {"name": self.model, "rows": self.rows}

    def close(self) -> None:
        """There is nothing to release."""


def read_recorded(
    path: Path, columns: BacktestSettings, shadow: str, account: Account, timed: str = ""
) -> RecordedModel:
    """A shadow's predictions from a file. The first of an id counts, as it does in replay.

    Args:
        path: The file.
        columns: Which column is what.
        shadow: The shadow's name; the model's where the file does not say.
        account: Told of rows, good and bad.
        timed: What their latencies are of, where they do not say.

    Raises:
        ShadowbusError: The file cannot be read, or there is no prediction in it.
    """
    log = Log(path, ("predictions",), columns, shadow=f"{shadow}@recorded")
    kept: dict[bytes, bytes] = {}
    model = ""
    try:
        while slices := log.take(ROWS, account, 0):
            for piece in slices:
                for row, live in enumerate(_lives(piece)):
                    key, value, line = piece.keys[row] or b"", piece.values[row] or b"", piece.offsets[row]
                    model = model or (live.model if isinstance(live, Live) else "")
                    if problem := _problem(live, model, known=key in kept):
                        account.set_aside(path, "predictions", BadRow(line, problem, value, key))
                    else:
                        kept[key] = value
    finally:
        log.close()
    if not kept:
        raise ShadowbusError(f"{path} holds no prediction that can be used{account.commonest()}.")
    return RecordedModel(model, kept, timed)


def _problem(live: Live | str, model: str, *, known: bool) -> str:
    if isinstance(live, str):
        return live
    if live.model != model:
        return f"of model {live.model}, where the first one is of {model}"
    return "duplicate" if known else ""


def _lives(piece: RecordBatch) -> list[Live | str]:
    """What n records say, or why they cannot be read."""
    keys, values = [key or b"" for key in piece.keys], [value or b"" for value in piece.values]
    try:
        return list(read_lives(keys, values))
    except Malformed:
        return [_live(key, value) for key, value in zip(keys, values, strict=True)]


def _live(key: bytes, value: bytes) -> Live | str:
    try:
        if not key:
            raise Malformed("the key is not a request id")
        return read_live(key, value)
    except Malformed as error:
        return str(error)
