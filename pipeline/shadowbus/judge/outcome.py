"""What is written when a comparison meets a label."""

import orjson

from shadowbus.compare import Comparator, Scores
from shadowbus.judge.entry import Kept, Label
from shadowbus.judge.frames import Frame
from shadowbus.records import VERSION
from shadowbus.topology import MAX_OUTPUT_BYTES

_Values = list[float] | bytes | None


def outcome(
    key: bytes, frame: Frame, one: Kept, label: Label, comparator: Comparator, *, retracts: bool = False
) -> bytes:
    """The outcome's bytes, the same whenever they are made of the same.

    Args:
        key: The request id.
        frame: What stands around the comparison's answers.
        one: The comparison.
        label: What really happened.
        comparator: Says who was right.
        retracts: Whether an outcome that is otherwise the same is taken back.
    """
    truth = orjson.loads(label.value)
    answers = orjson.loads(one.live), orjson.loads(one.shadow)
    scores = _scores(frame.live_names, one.live_scores), _scores(frame.shadow_names, one.shadow_scores)
    live, shadow = (comparator.judge(truth, answer, known) for answer, known in zip(answers, scores, strict=True))
    comparable = live.measure == shadow.measure  # losses of different kinds must not meet
    found: dict[str, object] = {
        "v": VERSION,
        "request_id": key.decode("utf-8", "replace"),
        "timestamp_ms": label.timestamp_ms,
        "trial": frame.trial,
        "label": orjson.Fragment(label.value),
        "live_correct": live.correct,
        "shadow_correct": shadow.correct,
        "live_loss": live.loss if comparable else None,
        "shadow_loss": shadow.loss if comparable else None,
        "weight": frame.weight if label.probability is None else frame.weight / label.probability,
        "segments": orjson.Fragment(frame.segments),
        "agree": one.agree,
        "live": {"prediction": orjson.Fragment(one.live), "scores": scores[0]},
        "shadow": {"prediction": orjson.Fragment(one.shadow), "scores": scores[1]},
        "retracts": retracts,
    }
    if frame.trained_on:
        found["trained_on"] = True
    if frame.before_bundle:
        found["before_bundle"] = True
    value = orjson.dumps(found)
    if len(value) <= MAX_OUTPUT_BYTES - len(key):
        return value
    # Answers and labels that replay and the judge let in are smaller; these are of a release that let in more.
    return orjson.dumps({**found, "label": None, "live": None, "shadow": None})


def _scores(names: tuple[str, ...] | None, values: _Values) -> Scores | None:
    if isinstance(values, bytes):
        found: Scores = orjson.loads(values)
        return found
    return values if names is None or values is None else dict(zip(names, values, strict=True))
