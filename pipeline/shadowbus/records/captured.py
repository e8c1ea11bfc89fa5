"""What a service writes: requests, predictions and labels."""

from dataclasses import dataclass, field

from shadowbus.records.codec import VERSION


@dataclass(frozen=True, slots=True)
class Request:
    """What production was asked. Topic `requests`."""

    request_id: str
    timestamp_ms: int
    features: dict[str, object] | list[object]
    segments: dict[str, object] = field(default_factory=dict)
    context: dict[str, object] = field(default_factory=dict)
    v: int = VERSION


@dataclass(frozen=True, slots=True)
class Prediction:
    """What production answered. Topic `predictions`.

    `timed` says what `latency_ms` is of, one of `TIMED`; null where that is not known.
    """

    request_id: str
    timestamp_ms: int
    model: str
    prediction: object
    scores: dict[str, object] | list[object] | None = None
    latency_ms: float | None = None
    error: str | None = None
    timed: str | None = None
    v: int = VERSION


@dataclass(frozen=True, slots=True)
class Label:
    """What really happened; a later one of the same id corrects it. Topic `labels`.

    `probability` is that with which the request was chosen to be labelled (0 < p <= 1), where labelling is by choice:
    what was seldom chosen stands for many, so the weight of its outcomes is divided by it.
    """

    request_id: str
    timestamp_ms: int
    label: object
    probability: float | None = None
    v: int = VERSION
