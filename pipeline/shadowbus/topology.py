"""Every topic and every stage, as data.

Topic creation and checks, the workers, `shadowbus topology`, the README's picture and a test all read these two tables;
nothing else names a topic.
"""

from dataclasses import dataclass
from typing import Literal

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""The largest record any topic takes: a request of 5 MB must go through, and its bytes into a dead letter."""

KEPT_WITH_BYTES = 64 * 1024
"""What a changelog may keep with a record of another topic."""

BATCH_BYTES = 1024
"""What Kafka itself adds to a record that is alone in its batch, which counts against the largest record."""

MAX_OUTPUT_BYTES = MAX_RECORD_BYTES - BATCH_BYTES
"""The largest key and value together that a stage may write: it caps them, or writes a dead letter in their place. One
that is larger ends the worker, which names it (`kafka/worker/output.py`). A changelog takes a little more."""

COMPACTING = {
    "segment.bytes": str(4 * MAX_RECORD_BYTES),
    "segment.ms": str(10 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.2",
}
"""Kafka compacts closed segments only, and closes them at 1 GB or after a week: far too late for state that is read
back at every start."""

DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: `name` without the namespace, what is in it, and how Kafka keeps it.

    `elsewhere` is the whole name of a topic that is not this project's, which is only ever read.
    """

    name: str
    holds: str
    cleanup: Literal["delete", "compact"] = "delete"
    retention_ms: int = 7 * DAY_MS
    per_shadow: bool = False
    elsewhere: str = ""

    def full_name(self, namespace: str, shadow: str = "") -> str:
        """The topic's name in Kafka."""
        if self.elsewhere:
            return self.elsewhere
        return f"{namespace}.{shadow}.{self.name}" if self.per_shadow else f"{namespace}.{self.name}"

    def config(self) -> dict[str, str]:
        """The topic's settings in Kafka, as far as they matter here."""
        kept = {"retention.ms": str(self.retention_ms)} if self.cleanup == "delete" else COMPACTING
        return {"cleanup.policy": self.cleanup, "max.message.bytes": str(self.max_bytes), **kept}

    @property
    def max_bytes(self) -> int:
        """The largest record: a changelog keeps whole records of other topics, and a few bytes with each."""
        return MAX_RECORD_BYTES + (KEPT_WITH_BYTES if self.cleanup == "compact" else 0)

    @property
    def max_output_bytes(self) -> int:
        """The largest key and value together that a stage may write here."""
        return self.max_bytes - BATCH_BYTES


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: what it reads, what it writes, where it keeps its state, and what it promises.

    `reads_back` is what it has written itself and reads at a start. `measures` are topics of which it asks where they
    end. `outside` is what it takes from outside of the
    namespace. An `opt_in` one runs where the settings ask for it.
    """

    name: str
    does: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    state: str
    engine: str
    guarantee: str
    reads_back: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    per_shadow: bool = False
    outside: str = ""
    opt_in: bool = False

    @property
    def transactional(self) -> bool:
        """Whether its workers write in transactions, each under an id that begins with the group and a hyphen."""
        return self.engine == TRANSACTIONS

    @property
    def outputs(self) -> tuple[Topic, ...]:
        """The topics that it writes."""
        return tuple(topic for topic in TOPICS if topic.name in self.writes)

    def group(self, namespace: str, shadow: str = "") -> str:
        """The consumer group of its workers."""
        return ".".join(part for part in (namespace, shadow, self.name) if part)


REQUESTS = Topic("requests", "what production was asked")
PREDICTIONS = Topic("predictions", "what production answered")
LABELS = Topic("labels", "what really happened, later", retention_ms=30 * DAY_MS)
COMPARISONS = Topic("comparisons", "both answers to one request", retention_ms=30 * DAY_MS)
VITALS = Topic("vitals", "how each worker is, and its account books")
OUTCOMES = Topic("outcomes", "a comparison with its label: who was right", retention_ms=30 * DAY_MS)
PARTIALS = Topic("partials", "running totals of one source partition", cleanup="compact")
AGGREGATES = Topic("aggregates", "partials merged", cleanup="compact")
VERDICTS = Topic("verdicts", "PROMOTE, SEND BACK or KEEP WATCHING", cleanup="compact")
DEAD_LETTERS = Topic("dead-letters", "records that could not be used, and why", retention_ms=30 * DAY_MS)
REPLAY_CHANGELOG = Topic(
    "replay-changelog", "records that wait for their counterpart", cleanup="compact", per_shadow=True
)
JUDGE_BOOKS = Topic("judge-changelog", "the judge's account books", cleanup="compact")

TOPICS = (
    REQUESTS,
    PREDICTIONS,
    LABELS,
    COMPARISONS,
    VITALS,
    OUTCOMES,
    PARTIALS,
    AGGREGATES,
    VERDICTS,
    DEAD_LETTERS,
    REPLAY_CHANGELOG,
    JUDGE_BOOKS,
)

TRANSACTIONS = "confluent-kafka transactions"

CAPTURE = Stage(
    name="capture",
    does="publishes what production was asked and answered",
    reads=(),
    writes=("requests", "predictions", "labels"),
    state="a bounded buffer",
    engine="confluent-kafka producer",
    guarantee="never raises, never blocks; counts what it drops",
    outside="inside your service",
)
REKEY = Stage(
    name="rekey",
    does="moves records to where their request id belongs",
    reads=(),
    writes=("requests", "predictions", "labels", "dead-letters"),
    state="none",
    engine=TRANSACTIONS,
    guarantee="exactly once",
    outside="topics keyed otherwise",
    opt_in=True,
)
REPLAY = Stage(
    name="replay",
    does="asks the shadow the same, and joins the two answers",
    reads=("requests", "predictions"),
    writes=("comparisons", "vitals", "dead-letters"),
    state="records that wait for their counterpart",
    engine=TRANSACTIONS,
    guarantee="exactly once",
    reads_back=("replay-changelog",),
    per_shadow=True,
)
JUDGE = Stage(
    name="judge",
    does="joins comparisons with their labels",
    reads=("comparisons", "labels"),
    writes=("outcomes", "vitals", "dead-letters"),
    state="comparisons waiting for a label, in RocksDB",
    engine=TRANSACTIONS,
    guarantee="exactly once",
    reads_back=("judge-changelog",),
)
AGGREGATE = Stage(
    name="aggregate",
    does="folds them into running totals",
    reads=("comparisons", "outcomes", "vitals"),
    writes=("partials", "dead-letters"),
    state="running totals per trial, segment and window",
    engine=TRANSACTIONS,
    guarantee="exactly once",
    reads_back=("partials",),
)
DECIDE = Stage(
    name="decide",
    does="decides on each trial",
    reads=("partials",),
    writes=("verdicts", "dead-letters"),
    state="the newest partials, and the verdicts",
    engine=TRANSACTIONS,
    guarantee="exactly once",
    reads_back=("partials", "verdicts"),
    measures=("requests", "predictions", "comparisons", "outcomes", "vitals"),
)
AGENTS = Stage(
    name="agents",
    does="merges partitions for people and dashboards",
    reads=("partials",),
    writes=("aggregates",),
    state="the newest partial of each source partition",
    engine="Faust",
    guarantee="at least once over idempotent partials",
    reads_back=("partials",),
    measures=("requests", "predictions", "comparisons", "outcomes", "vitals"),
)

STAGES = (CAPTURE, REKEY, REPLAY, JUDGE, AGGREGATE, DECIDE, AGENTS)


def topic_names(namespace: str, shadows: tuple[str, ...]) -> dict[str, Topic]:
    """Every topic of one namespace by its full name; topics kept per shadow come once for each."""
    names: dict[str, Topic] = {}
    for topic in TOPICS:
        for shadow in shadows if topic.per_shadow else ("",):
            names[topic.full_name(namespace, shadow)] = topic
    return names


def mermaid() -> str:
    """The flow as a Mermaid diagram: one line per stage, with an arrow from what it reads and to what it writes."""
    drawn = {"dead-letters"}

    def topics(names: tuple[str, ...]) -> str:
        """Topics side by side; the first mention of each draws its shape."""
        shown = [name if name in drawn else f"{name}[({name})]" for name in names if name != "dead-letters"]
        drawn.update(names)
        return " & ".join(shown)

    lines = ["flowchart LR"]
    for stage in STAGES:
        source = topics(stage.reads) or f"{stage.name}-source([{stage.outside or 'production service'}])"
        box = f'{stage.name}["<b>{stage.name}</b><br/>{stage.does}"]'
        arrow = "-.->" if stage.opt_in else "-->"
        lines.append(f"    {source} {arrow} {box} {arrow} {topics(stage.writes)}")
    strays = [stage.name for stage in STAGES if "dead-letters" in stage.writes]
    lines.append(f"    {' & '.join(strays)} -.-> dead-letters[(dead-letters)]")
    lines.append("    aggregates & verdicts --> people([status · tail · verdict · your own agents])")
    return "\n".join(lines) + "\n"
