"""One frozen record per topic, and how each is read from and written to bytes.

Values are JSON; keys are the request id's UTF-8 bytes, or `|`-joined parts for the folded topics. Unknown fields are
ignored and never fail, so that a newer writer and an older reader go together; `v` is the schema version.
Times are integer milliseconds since the epoch; `latency_ms` is a float duration.

The high-rate stages do not build these objects for every record (`replay/model/messages.py` writes the bytes at once);
`tests/unit/test_records.py` holds both to the same shape.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import orjson

from shadowbus.errors import Malformed

VERSION = 1

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


@dataclass(frozen=True, slots=True)
class PreviousVerdict:
    """A verdict that stood, and since when."""

    verdict: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """May the shadow replace the champion? Topic `verdicts`.

    `shown` is what the evidence says by itself. What the verdict becomes follows from that and from what stood before
    it (`previous`, null in a trial's first record), by the table in `verdict/states.py`; `note` explains a move, or why
    one that was shown did not happen. `since_ms` is the `decided_ms` of the record in which the verdict became what it
    is. `evidence` is what it takes to work the record out again (`decide/decision.py`).

    `fault` says why the trial could not be decided; empty where it was. A record with a fault says KEEP_WATCHING, has
    no criteria, and is never acted on; `previous` is what stood before it, from which the next one follows.

    `control` says that the shadow is the live model itself: such a record never says PROMOTE and is not acted on.

    `training` says until when the model was trained (`until_ms`, `from`) and what is from before (`requests_before`, of
    the `requests`; `labels_before`, which are not among the `labels`); empty where that is not known.

    `obstacles` say what is in the way of any verdict, such as that the shadow cannot run: each `{"name", "count", "of",
    "reasons": [{"text", "count"}], "told"}`, where `told` is a sentence.

    `gate` is the one that it belongs to: its `hash` and `settings`, and where it has changed while the trial ran, the
    number of the `span`, since when (`changed_ms`), what `changed`, and the verdict `before` it (`totals/span.py`).
    """

    trial: str
    verdict: str
    criteria: list[object]
    requests: int
    labels: int
    needed: dict[str, object]
    decided_ms: int
    books: dict[str, object] = field(default_factory=dict)
    shown: str = ""
    since_ms: int = 0
    previous: PreviousVerdict | None = None
    note: str = ""
    evidence: dict[str, object] = field(default_factory=dict)
    fault: str = ""
    control: bool = False
    training: dict[str, object] = field(default_factory=dict)
    obstacles: list[object] = field(default_factory=list)
    gate: dict[str, object] = field(default_factory=dict)
    v: int = VERSION


@dataclass(frozen=True, slots=True)
class Promotion:
    """How far it has come with acting on a verdict. Topic `verdicts`, key `trial|promotion`.

    `action` is `promote` or `send_back`, `step` is `requested`, `approved`, `begun`, `done` or `failed`. `binding` is a
    digest of the very verdict, `key` is the same for each try to do this. `told` says in words what was found and done,
    `detail` the same for programs. `history` has earlier steps too: `{"action", "step", "by", "at_ms"}`.
    """

    trial: str
    action: str
    step: str
    by: str
    at_ms: int
    binding: str
    key: str
    means: str = ""
    approved_by: str = ""
    told: str = ""
    detail: dict[str, object] = field(default_factory=dict)
    history: list[object] = field(default_factory=list)
    v: int = VERSION


@dataclass(frozen=True, slots=True)
class Told:
    """What a receiver of notifications knows of a trial. Topic `verdicts`, key `trial|told|receiver`.

    `count` grows by one with each change; `sent` says whether this one was posted, or is one the receiver leaves out.
    `obstacles` are the names of what was in the way then.
    """

    trial: str
    receiver: str
    verdict: str
    count: int
    sent: bool
    told_ms: int
    obstacles: list[object] = field(default_factory=list)
    v: int = VERSION


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be used, whole, with where it came from and why. Topic `dead-letters`.

    `bytes` is the value in base64 (null for a null value); where `truncated`, its first part.
    """

    topic: str
    partition: int
    offset: int
    reason: str
    timestamp_ms: int
    key: str | None
    bytes: str | None
    truncated: bool = False
    v: int = VERSION


Record = (
    Request
    | Prediction
    | Label
    | Comparison
    | Outcome
    | Vitals
    | Partial
    | Aggregate
    | Verdict
    | Promotion
    | Told
    | DeadLetter
)
Kind = typing.TypeVar("Kind")


def encode(record: Record) -> bytes:
    """The record's JSON bytes."""
    return orjson.dumps(record, option=orjson.OPT_NON_STR_KEYS)


def decode(kind: type[Kind], value: bytes | None) -> Kind:
    """Read one record from its bytes.

    Raises:
        Malformed: It is not JSON, not an object, or a field is missing or of a wrong type; the message says which.
    """
    return from_object(kind, parse_object(value))


def parse_object(value: bytes | memoryview | None) -> dict[str, typing.Any]:
    """Read bytes that have to be one JSON object.

    Raises:
        Malformed: They are not.
    """
    if value is None:
        raise Malformed("the value is null")
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise Malformed(f"a JSON object is needed, not {type(parsed).__name__}")
    return parsed


def from_object(kind: type[Kind], parsed: Mapping[str, object]) -> Kind:
    """Build a record from a parsed JSON object, checking each field's type.

    Raises:
        Malformed: A field is missing or of a wrong type.
    """
    values: dict[str, object] = {}
    for name, wanted, nested, required in _fields(typing.cast(typing.Hashable, kind)):
        if name not in parsed:
            if required:
                raise Malformed(f"the field '{name}' is missing")
            continue
        value = parsed[name]
        if nested is not None and isinstance(value, dict):
            value = from_object(nested, value)
        elif not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted and object not in wanted):
            names = " or ".join(sorted(arm.__name__ for arm in wanted)).replace("NoneType", "null")
            raise Malformed(f"the field '{name}' has to be {names}, not {type(value).__name__}")
        values[name] = value
    return kind(**values)


@cache
def _fields(kind: typing.Hashable) -> tuple[tuple[str, tuple[type, ...], typing.Any, bool], ...]:
    hints = typing.get_type_hints(typing.cast(type, kind))
    specs: list[tuple[str, tuple[type, ...], typing.Any, bool]] = []
    for f in dataclasses.fields(typing.cast(typing.Any, kind)):
        hint = hints[f.name]
        union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        arms = typing.get_args(hint) if union else (hint,)
        nested = next((arm for arm in arms if dataclasses.is_dataclass(arm)), None)
        wanted = tuple(typing.get_origin(arm) or arm for arm in arms)
        if float in wanted:
            wanted = (*wanted, int)
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        specs.append((f.name, wanted, nested, required))
    return tuple(specs)
