"""What a model answered, as JSON, and small enough: the parent's side of the border to the model's process.

In: the answers to a chunk. Out: the same with those turned into failures that are too large, or that JSON cannot pass
on, and texts for the others. So no comparison is larger than Kafka takes, whatever the model answers.
"""

from dataclasses import replace
from typing import Any

from orjson import dumps

from shadowbus.limits import MAX_ANSWER_BYTES, too_large
from shadowbus.records.comparison_tail import MAX_TAIL_BYTES, shortened
from shadowbus.records.json_column import json_column
from shadowbus.replay.model.messages import Answers

Texts = tuple[list[bytes], list[bytes]]
"""Predictions and scores as JSON, of each row that has them."""


def written(answers: Answers) -> tuple[Answers, Texts]:
    """The answers that can be passed on, and their texts."""
    if answers.tails and max(map(len, answers.tails)) > MAX_TAIL_BYTES:
        answers = replace(answers, tails=list(map(shortened, answers.tails)))
    try:
        predictions, scores = json_column(answers.predictions), json_column(answers.scores)
    except TypeError:
        return _carefully(answers)
    if predictions and max(map(len, predictions)) + max(map(len, scores)) > MAX_ANSWER_BYTES:
        return _carefully(answers)
    return answers, (predictions, scores)


def _carefully(answers: Answers) -> tuple[Answers, Texts]:
    """Each answer by itself."""
    rows = [row for row in range(len(answers.predictions) + len(answers.failed)) if row not in answers.failed]
    kept, texts, failed = list[int](), (list[bytes](), list[bytes]()), dict(answers.failed)
    for position, row in enumerate(rows):
        pair = _text(answers.predictions[position]), _text(answers.scores[position])
        if None in pair:
            failed[row] = ("shadow_error", "the answer cannot be written as JSON: it is nested too deep")
        elif (size := sum(map(len, pair))) > MAX_ANSWER_BYTES:  # type: ignore[arg-type]
            failed[row] = ("shadow_error", too_large("answer", size, MAX_ANSWER_BYTES))
        else:
            kept.append(position)
            for column, text in zip(texts, pair, strict=True):
                column.append(text or b"")
    places = {position: place for place, position in enumerate(kept)}
    return replace(
        answers,
        predictions=[answers.predictions[position] for position in kept],
        scores=[answers.scores[position] for position in kept],
        latencies={places[position]: ms for position, ms in answers.latencies.items() if position in places},
        failed=failed,
    ), texts


def _text(value: Any) -> bytes | None:
    try:
        return dumps(value)
    except TypeError:
        return None
