"""What the judge writes: a comparison that met its label. `judge/outcome.py` writes the bytes."""

from dataclasses import dataclass, field

from msgspec import Struct

from shadowbus.records.codec import VERSION


@dataclass(frozen=True, slots=True)
class Answered:
    """What an outcome says of one model's answer."""

    prediction: object
    scores: dict[str, object] | list[object] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A comparison that met its label: who was right. Topic `outcomes`.

    `agree`, `trained_on`, `before_bundle` are the comparison's. One with `retracts` takes back an earlier one that is
    otherwise the same, because the label was corrected; so whoever adds outcomes up adds the plain ones and subtracts
    those.
    """

    request_id: str
    timestamp_ms: int
    trial: str
    label: object
    live_correct: bool | None
    shadow_correct: bool | None
    live_loss: float | None
    shadow_loss: float | None
    weight: float = 1.0
    segments: dict[str, object] = field(default_factory=dict)
    agree: bool | None = None
    live: Answered | None = None
    shadow: Answered | None = None
    retracts: bool = False
    trained_on: bool = False
    before_bundle: bool = False
    v: int = VERSION


class OutcomeToSearch(Struct):
    """What the search for slices reads of an outcome."""

    request_id: str
    trial: str
    live_correct: bool | None = None
    shadow_correct: bool | None = None
    weight: float = 1.0
    retracts: bool = False
