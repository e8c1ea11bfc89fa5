"""What replay writes: both answers to one request.

The grammar of a comparison's bytes, in the order in which the hot writer (`replay/comparison.py`) puts its parts:

    v, trial, status, live (an answer or null), shadow (an answer or null), agree, distance, number, weight,
    request_id, timestamp_ms, segments, missing_features, and where they are set features, trained_on, before_bundle

Readers may not rely on the order. Each reader that needs a few fields of many comparisons decodes one of the subsets
below; the aggregate, which needs most fields of all of them, has `aggregate/parse.py`. A new field is a line in
`Comparison` and in the subsets of those who read it; `tests/unit/test_records.py` holds all of them to `Comparison`.
"""

from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw, Struct

from shadowbus.records.codec import VERSION

Scores = list[float] | dict[str, float]

STATUSES = (
    "compared",
    "live_missing",
    "request_missing",
    "live_error",
    "shadow_error",
    "shadow_timeout",
    "shadow_crash",
    "shadow_unavailable",
)
"""How a request can end. Every captured request ends as exactly one comparison per shadow, with one of these."""

SHADOW_FAILURES = ("shadow_error", "shadow_timeout", "shadow_crash", "shadow_unavailable")
"""The statuses in which the shadow was asked and gave no answer."""

TIMED = ("exchange", "call", "model")
"""What a latency is of: a whole HTTP exchange, a function or a block of the service, a model that was asked one row."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One model's answer inside a comparison; `latency_ms` is null where it was not measured on its own.

    `timed` is that of the prediction; latencies are held against each other only where both sides timed the same.
    """

    model: str
    prediction: object
    scores: dict[str, object] | list[object] | None = None
    latency_ms: float | None = None
    error: str | None = None
    timed: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both answers to one request. Topic `comparisons`.

    `features` are the request's, in the share of them that the settings keep (`replay.features_share`). `number` is how
    many comparisons of this trial there are in this partition, with this one. `trained_on` says that the request is
    from before the shadow's training ended: it counts for failures and latency, and for nothing else. `before_bundle`
    says that it is from after that, as far as is known, but from before the shadow's bundle was made.
    """

    request_id: str
    timestamp_ms: int
    trial: str
    status: str
    live: Answer | None
    shadow: Answer | None
    agree: bool | None
    distance: float | None
    weight: float = 1.0
    segments: dict[str, object] = field(default_factory=dict)
    missing_features: list[object] = field(default_factory=list)
    features: dict[str, object] | list[object] | None = None
    number: int | None = None
    trained_on: bool = False
    before_bundle: bool = False
    v: int = VERSION


class AnswerToJudge(Struct):
    """What the judge reads of an answer: its prediction as the bytes that it is, and its scores."""

    prediction: Raw = Raw(b"null")
    scores: dict[str, float] | list[float] | None = None


class ComparisonToJudge(Struct):
    """What the judge reads of a comparison. All that may be missing is checked after it is read."""

    status: str = ""
    trial: str | None = None
    live: AnswerToJudge | None = None
    shadow: AnswerToJudge | None = None
    agree: bool | None = None
    weight: float = 1.0
    trained_on: bool = False
    before_bundle: bool = False
    segments: Raw = Raw(b"null")


class ComparisonToSearch(Struct):
    """What the search for slices reads of a comparison."""

    request_id: str
    timestamp_ms: int
    trial: str
    agree: bool | None = None
    weight: float = 1.0
    segments: dict[str, Any] = {}
    features: dict[str, Any] | list[Any] | None = None
    trained_on: bool = False


class AnswerToLabel(Struct):
    """What the label queue reads of an answer."""

    prediction: Any = None


class ComparisonToLabel(Struct):
    """What the label queue reads of a comparison."""

    request_id: str
    timestamp_ms: int
    trial: str
    status: str
    agree: bool | None = None
    live: AnswerToLabel | None = None
    shadow: AnswerToLabel | None = None
    trained_on: bool = False
    segments: dict[str, Any] = {}
