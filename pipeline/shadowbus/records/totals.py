"""What aggregate and the agents write: totals of one source partition, and of all of them."""

from dataclasses import dataclass, field

from shadowbus.records.codec import VERSION


@dataclass(frozen=True, slots=True)
class Partial:
    """The running totals of one source partition for one trial, segment and window. Topic `partials`.

    `totals` are cumulative and `next_offsets` only grow, so a redelivered or older partial changes nothing.
    `window` is `all` or the window's start in milliseconds. The partial of the whole trial has more: the `names` kept
    apart; the `noise`, which is what the same source partition has counted of the control; the `first_offsets`, where
    the first record is that it counts of each input; the `beginning`, empty once the shadow runs; and the `span`: by
    which gate it counts, and since when.
    """

    trial: str
    segment: str
    window: str
    partition: int
    next_offsets: dict[str, object]
    totals: dict[str, object]
    updated_ms: int
    names: dict[str, object] = field(default_factory=dict)
    noise: dict[str, object] = field(default_factory=dict)
    first_offsets: dict[str, object] = field(default_factory=dict)
    beginning: dict[str, object] = field(default_factory=dict)
    span: dict[str, object] = field(default_factory=dict)
    v: int = VERSION


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Partials of all source partitions merged. Topic `aggregates`."""

    trial: str
    segment: str
    window: str
    totals: dict[str, object]
    summary: dict[str, object]
    books: dict[str, object]
    updated_ms: int
    v: int = VERSION
