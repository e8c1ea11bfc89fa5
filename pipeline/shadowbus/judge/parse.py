"""Parses comparisons and labels.

In: the bytes of a record. Out: the parts that the judge needs, or `Malformed`. Every comparison passes here, and again
when local state is restored, so the fields are decoded straight into typed objects. What does not fit is read once more
with care before it is called malformed.
"""

from typing import Annotated, Any

import msgspec
import orjson

from shadowbus.errors import Malformed
from shadowbus.judge.dictionary import FieldDictionary, SharedFields
from shadowbus.judge.entry import KeptComparison, KeptLabel
from shadowbus.limits import LEAST_PROBABILITY, MAX_LABEL_BYTES, is_time_ms, no_time
from shadowbus.records import parse_object
from shadowbus.records.codec import UNREADABLE
from shadowbus.records.comparison import AnswerToJudge, ComparisonToJudge

_PLAIN = ("status", "trial", "agree", "weight", "trained_on", "before_bundle", "segments")
_Probability = Annotated[float, msgspec.Meta(ge=LEAST_PROBABILITY, le=1)]
_Values = list[float] | bytes | None


class _Label(msgspec.Struct):
    timestamp_ms: int
    label: msgspec.Raw
    probability: _Probability | None = None
    request_id: str | None = None


_comparison = msgspec.json.Decoder(ComparisonToJudge).decode
_label = msgspec.json.Decoder(_Label).decode


def read_comparison(value: bytes | None, hour: int, dictionary: FieldDictionary) -> KeptComparison | None:
    """A comparison as it is kept; None if not both models answered.

    Args:
        value: The value of the record.
        hour: The hour of the record, as the entry counts hours.
        dictionary: The numbers of shared fields.

    Raises:
        Malformed: It is no comparison.
    """
    try:
        read = _comparison(value or b"")
    except UNREADABLE:
        read = _with_care(value)
    if read.status != "compared":
        return None
    if read.live is None or read.shadow is None or read.trial is None:
        raise Malformed("a comparison needs the fields 'live', 'shadow' and 'trial'")
    live_names, live_scores = _apart(read.live.scores)
    shadow_names, shadow_scores = _apart(read.shadow.scores)
    segments = bytes(read.segments)
    if segments == b"null":
        segments = b"{}"
    try:
        marks = read.trained_on, read.before_bundle
        shared = SharedFields(read.trial, segments, live_names, shadow_names, read.weight, *marks)
        number = dictionary.number_of(shared)
    except (ValueError, TypeError) as error:
        raise Malformed(f"a comparison that cannot be judged: {error}") from None
    live, shadow = _json(read.live.prediction), _json(read.shadow.prediction)
    return KeptComparison(hour, number, read.agree, live, live_scores, shadow, shadow_scores)


def read_label(key: bytes, value: bytes | None, hour: int) -> KeptLabel:
    """A label as it is kept; `hour` is that of its record, as the entry counts hours.

    Labels enter here: no later stage refuses one that passes.

    Raises:
        Malformed: It is no label.
    """
    try:
        read = _label(value or b"")
    except UNREADABLE as error:
        parse_object(value)
        raise Malformed(
            "a label needs the fields 'label' and 'timestamp_ms', an integer; 'probability' has to be at least "
            f"{LEAST_PROBABILITY:g} and at most 1, or null ({error})"
        ) from None
    if not is_time_ms(read.timestamp_ms):
        raise Malformed(no_time("timestamp_ms", read.timestamp_ms))
    if read.request_id is not None and read.request_id.encode() != key:
        raise Malformed("the field 'request_id' has to be the same as the record's key")
    label = _json(read.label)
    if len(label) > MAX_LABEL_BYTES:
        raise Malformed(f"the label has more than {MAX_LABEL_BYTES:,} bytes")
    return KeptLabel(hour, label, read.timestamp_ms, read.probability)


def _json(raw: msgspec.Raw) -> bytes:
    text = bytes(raw)
    try:
        found = orjson.loads(text)  # a value that is passed over is not checked
        if found.__class__ in (list, dict):
            orjson.dumps(found)
    except (orjson.JSONDecodeError, TypeError) as error:  # the second: nested too deep to be written again
        raise Malformed(f"not JSON: {error}") from None
    return text


def _apart(scores: Any) -> tuple[tuple[str, ...] | None, _Values]:
    """Names, which are the same in all comparisons of a trial, and values."""
    return (tuple(scores), [*scores.values()]) if isinstance(scores, dict) else (None, scores)


def _with_care(value: bytes | None) -> ComparisonToJudge:
    """A comparison that is odd somewhere: in a part that is not needed, or in scores that are not numbers."""
    parsed = parse_object(value)
    if parsed.get("status") != "compared":
        return ComparisonToJudge()
    try:
        kept = {name: parsed[name] for name in _PLAIN if name in parsed}
        found = _comparison(orjson.dumps(kept))
        found.live, found.shadow = _loose_answer(parsed.get("live")), _loose_answer(parsed.get("shadow"))
    except (msgspec.MsgspecError, TypeError) as error:  # the second: nested too deep to be written again
        raise Malformed(f"a comparison whose fields have other types: {error}") from None
    return found


def _loose_answer(answer: object) -> AnswerToJudge | None:
    if not isinstance(answer, dict):
        return None
    scores: Any = answer.get("scores")
    prediction = msgspec.Raw(orjson.dumps(answer.get("prediction")))
    return AnswerToJudge(prediction, None if scores is None else orjson.dumps(scores))  # type: ignore[arg-type]
