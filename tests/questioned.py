"""One question to a model that answers twice the feature, and what every answer to it has to be."""

from collections.abc import Sequence

import orjson

from shadowbus.replay.model.child.predictor import Predictor
from shadowbus.replay.model.messages import Answers, pack_question


def asked(answering: Predictor, values: Sequence[float]) -> Answers:
    """Ask for these values of the feature; all that did not fail are answered, and rightly."""
    keys = [b"r%d" % number for number in range(len(values))]
    requests = [
        orjson.dumps({"request_id": key.decode(), "timestamp_ms": 1, "features": {"x": value}})
        for key, value in zip(keys, values, strict=True)
    ]
    answers = answering.answer(pack_question(keys, requests))
    good = [row for row in range(len(values)) if row not in answers.failed]
    assert answers.predictions == [2 * values[row] for row in good]
    assert len(answers.scores) == len(good)
    return answers
