"""The records of the verdicts topic: verdicts, promotions, and what receivers of notifications were sent."""

from dataclasses import dataclass, field

from shadowbus.records.codec import VERSION


@dataclass(frozen=True, slots=True)
class PreviousVerdict:
    """The verdict before, and since when it held."""

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
