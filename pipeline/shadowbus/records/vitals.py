"""What replay and judge write of themselves."""

from dataclasses import dataclass, field

from shadowbus.records.codec import VERSION


@dataclass(frozen=True, slots=True)
class Vitals:
    """How one worker is, and its account books for one source partition. Topic `vitals`."""

    stage: str
    shadow: str
    worker: str
    partition: int
    timestamp_ms: int
    books: dict[str, object]
    model: dict[str, object] = field(default_factory=dict)
    lag: int | None = None
    share: float | None = None
    v: int = VERSION
