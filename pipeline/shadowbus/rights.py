"""What each stage and each verb has to be allowed to do in Kafka, as data. Pure.

The tables in docs/operations.md, `shadowbus rights`, the doctor, and the sentence of a worker that Kafka refuses all
come from here; `tests/kafka/test_rights.py` runs each on exactly these, and without each of them. Kafka lets whoever
may READ or WRITE something DESCRIBE it too, so DESCRIBE stands only where it is needed alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from shadowbus.settings import Settings
from shadowbus.topology import REKEY, STAGES, TOPICS, Stage

Operation = Literal["CREATE", "DESCRIBE", "DESCRIBE_CONFIGS", "READ", "WRITE"]
Kind = Literal["CLUSTER", "GROUP", "TOPIC", "TRANSACTIONAL_ID"]

CLUSTER = "kafka-cluster"
NOTIFY_GROUP = "notify"
_FLAGS: dict[str, str] = {"TOPIC": "--topic", "GROUP": "--group", "TRANSACTIONAL_ID": "--transactional-id"}
_WORDS: dict[str, str] = {"TOPIC": "topic", "GROUP": "group", "TRANSACTIONAL_ID": "transactional id"}


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One operation on one resource, or on all whose names begin so."""

    kind: Kind
    name: str
    operation: Operation
    prefixed: bool = False

    def __str__(self) -> str:
        """In words, such as `READ topic churn.requests`."""
        if self.kind == "CLUSTER":
            return f"{self.operation} the cluster"
        return f"{self.operation} {_WORDS[self.kind]} {self.name}{'*' if self.prefixed else ''}"


@dataclass(frozen=True, slots=True)
class Use:
    """What a verb does in Kafka, with topics by their names in the topology.

    Attributes:
        stages: It needs what these stages need.
        reads: The topics it reads.
        writes: The topics it writes.
        every: What it does to every topic of the namespace.
        group: The group it joins, without the namespace.
        groups: Whether it looks at how far the group of every stage is, in what `[rekey]` names too.
        cluster: What it does to the cluster.
    """

    stages: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    every: tuple[Operation, ...] = ()
    group: str = ""
    groups: bool = False
    cluster: tuple[Operation, ...] = ()


_RUN = tuple(stage.name for stage in STAGES if stage.name != "capture")
_STANDING = ("verdicts", "aggregates")
_EVIDENCE = ("comparisons", "outcomes", "vitals")
_ACTING = Use(reads=(*_STANDING, *_EVIDENCE), writes=("verdicts",))

USES: dict[str, Use] = {
    **{stage.name: Use(stages=(stage.name,)) for stage in STAGES},
    "replay": Use(stages=("replay",), reads=("verdicts",)),
    "notify": Use(reads=("verdicts",), writes=("verdicts",), group=NOTIFY_GROUP),
    "up": Use(stages=_RUN, group=NOTIFY_GROUP),
    "topics --create": Use(every=("CREATE", "DESCRIBE", "DESCRIBE_CONFIGS")),
    "topics --check": Use(every=("DESCRIBE", "DESCRIBE_CONFIGS")),
    "status": Use(reads=(*_STANDING, "partials"), every=("DESCRIBE", "DESCRIBE_CONFIGS"), groups=True),
    "doctor": Use(
        stages=_RUN, reads=(*_STANDING, "dead-letters"), every=("DESCRIBE_CONFIGS",), cluster=("DESCRIBE_CONFIGS",)
    ),
    "tail": Use(reads=("comparisons",)),
    "verdict": Use(reads=_STANDING),
    "verdict --verify": Use(reads=(*_STANDING, *_EVIDENCE)),
    "report": Use(reads=_STANDING),
    "dashboard": Use(reads=(*_STANDING, "comparisons", "outcomes")),
    "slices": Use(reads=("comparisons",)),
    "slices --measure harm": Use(reads=("comparisons", "outcomes")),
    "label-queue": Use(reads=("comparisons", "labels")),
    "promote": _ACTING,
    "send-back": _ACTING,
    "approve": _ACTING,
    **{f"export --topic {topic.name}": Use(reads=(topic.name,)) for topic in TOPICS},
}
"""By the verb, with the flags that matter: whoever says more of them may need more."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the rights are about: a namespace, its shadows, and the topics that `[rekey]` names, by their targets."""

    namespace: str
    shadows: tuple[str, ...]
    sources: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> "Names":
        """Those of the settings."""
        shadows = tuple(shadow.name for shadow in settings.shadow)
        return cls(settings.namespace, shadows, settings.rekey.sources)


def use_of(words: Sequence[str]) -> str:
    """The key in `USES` that says most of what stands on a command line; empty where the verb needs no Kafka.

    >>> use_of(["verdict", "--shadow", "new", "--verify"]), use_of(["verdict", "--json"]), use_of(["settings"])
    ('verdict --verify', 'verdict', '')
    """
    said = [word for one in words for word in one.split("=", 1)]
    fitting = [key for key in USES if set(key.split()) <= set(said) and key.split()[0] == (said or [""])[0]]
    return max(fitting, key=len, default="")


def needed_for(key: str, names: Names) -> list[Right]:
    """What is needed for a verb, each once, in order.

    Args:
        key: Of `USES`.
        names: What the rights are about.
    """
    return sorted(_least(_rights(USES[key], names)))


def _rights(use: Use, names: Names) -> Iterator[Right]:
    for stage in STAGES:
        if stage.name in use.stages and (stage is not REKEY or names.sources):
            yield from _of_stage(stage, names)
    yield from _on_topics("READ", use.reads, names)
    yield from _on_topics("WRITE", use.writes, names)
    for operation in use.every:
        yield from _on_topics(operation, [topic.name for topic in TOPICS], names)
    if use.group:
        yield Right("GROUP", f"{names.namespace}.{use.group}", "READ")
    if use.groups:
        yield from (Right("GROUP", group, "DESCRIBE") for stage in STAGES for group in _groups(stage, names))
        yield from (Right("TOPIC", source, "DESCRIBE") for source in names.sources.values())
    yield from (Right("CLUSTER", CLUSTER, operation) for operation in use.cluster)


def _of_stage(stage: Stage, names: Names) -> Iterator[Right]:
    yield from _on_topics("READ", (*stage.reads, *stage.reads_back), names)
    writes = [name for name in stage.writes if stage is not REKEY or name in (*names.sources, "dead-letters")]
    yield from _on_topics("WRITE", (*writes, *stage.reads_back), names)
    yield from _on_topics("DESCRIBE", stage.measures, names)
    if stage is REKEY:
        yield from (Right("TOPIC", source, "READ") for source in names.sources.values())
    for group in _groups(stage, names):
        yield Right("GROUP", group, "READ")
        if stage.transactional:
            yield Right("TRANSACTIONAL_ID", f"{group}-", "WRITE", prefixed=True)


def _groups(stage: Stage, names: Names) -> Iterator[str]:
    if stage.reads or (stage is REKEY and names.sources):
        for shadow in names.shadows if stage.per_shadow else ("",):
            yield stage.group(names.namespace, shadow)


def _on_topics(operation: Operation, wanted: Iterable[str], names: Names) -> Iterator[Right]:
    for topic in TOPICS:
        if topic.name in wanted:
            for shadow in names.shadows if topic.per_shadow else ("",):
                yield Right("TOPIC", topic.full_name(names.namespace, shadow), operation)


def _least(rights: Iterable[Right]) -> set[Right]:
    """Without each DESCRIBE that READ or WRITE brings along."""
    found = set(rights)
    used = {(right.kind, right.name) for right in found if right.operation in ("READ", "WRITE")}
    return {right for right in found if right.operation != "DESCRIBE" or (right.kind, right.name) not in used}


def commands(rights: Iterable[Right], principal: str) -> Iterator[str]:
    """What grants these rights, as arguments of Kafka's own `kafka-acls`: one line for each resource.

    >>> wanted = [Right("TOPIC", "churn.labels", "READ"), Right("TRANSACTIONAL_ID", "churn.judge-", "WRITE", True)]
    >>> for line in commands(wanted, "User:judge"):
    ...     print(line)
    kafka-acls --add --allow-principal User:judge --operation Read --topic churn.labels
    kafka-acls --add --allow-principal User:judge --operation Write --transactional-id churn.judge- \
--resource-pattern-type prefixed
    """
    together: dict[tuple[str, str, bool], list[str]] = {}
    for right in rights:
        together.setdefault((right.kind, right.name, right.prefixed), []).append(right.operation)
    for (kind, name, prefixed), operations in together.items():
        words = [f"--operation {operation.title().replace('_', '')}" for operation in operations]
        resource = "--cluster" if kind == "CLUSTER" else f"{_FLAGS[kind]} {name}"
        pattern = ["--resource-pattern-type prefixed"] if prefixed else []
        yield " ".join(["kafka-acls --add --allow-principal", principal, *words, resource, *pattern])
