"""Everything the checks look at, as data: gathered once (`gather.py`), or made by hand in a test."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from shadowbus.doctor.sample import Sample
from shadowbus.records import Verdict
from shadowbus.settings import Settings
from shadowbus.topology import Topic, topic_names

INPUTS = ("requests", "predictions", "labels")
"""The topics that others write."""


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic that exists.

    Attributes:
        partitions: How many it has.
        config: Its settings in Kafka, as far as they were shown.
        rights: What this user may do with it, in Kafka's words; None where Kafka did not say.
        records: How many records it holds, about.
    """

    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    rights: frozenset[str] | None = None
    records: int = 0


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """One consumer group, looked at twice.

    Attributes:
        verb: The command that runs a member.
        state: In Kafka's words.
        members: How many are in it.
        behind: Records not committed yet, at the second look.
        leftover: By how many it may seem to be behind when it has read everything.
        moved: How many were committed between the looks.
        seconds: How long that was.
        ever: Whether it has ever committed anything.
    """

    verb: str
    state: str = "UNKNOWN"
    members: int = 0
    behind: int = 0
    leftover: int = 0
    moved: int = 0
    seconds: float = 0.0
    ever: bool = False


@dataclass(frozen=True, slots=True)
class HeldUp:
    """A partition whose committed readers stand still: an open transaction that did not end between two looks."""

    topic: str
    partition: int
    offset: int
    behind: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """A transaction that was begun and aborted, or why that failed: Kafka's code and Kafka's words."""

    transactional_id: str
    code: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """One shadow's bundle; `wrong` says why it cannot be trusted or read.

    `made_with` and `installed` are library versions; a library that is not installed is not in the second.
    """

    shadow: str
    folder: str
    features: tuple[str, ...] | None = None
    made_with: Mapping[str, str] = field(default_factory=dict)
    installed: Mapping[str, str] = field(default_factory=dict)
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it.

    Attributes:
        settings: What is wanted.
        now_ms: The time of this machine.
        bundles: Of every shadow.
        network: Why a model that should have no network has it here; empty where none should, or it can be taken.
        unreachable: Why Kafka does not answer; then all below is empty.
        topics: Those that exist, by full name.
        forbidden: Those this user may not even know of, by full name.
        samples: Of the inputs and the dead letters, by name in the topology.
        groups: By name.
        joining: What this user may do with each group, in Kafka's words; None where Kafka did not say.
        held_up: Partitions with an open transaction.
        attempts: One for each stage that writes in transactions.
        broker: The broker's settings, as far as they were shown.
        blind: What could not be looked at, as sentences.
        stale: For how many seconds new totals have waited to be published, by trial, where that is too long.
        verdicts: The newest of each trial that goes on.
        unmet: Why no label meets a request, by trial, where that is so.
    """

    settings: Settings
    now_ms: int
    bundles: tuple[BundleFacts, ...] = ()
    network: str = ""
    unreachable: str = ""
    topics: Mapping[str, TopicFacts] = field(default_factory=dict)
    forbidden: frozenset[str] = frozenset()
    samples: Mapping[str, Sample] = field(default_factory=dict)
    groups: Mapping[str, GroupFacts] = field(default_factory=dict)
    joining: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    held_up: tuple[HeldUp, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    broker: Mapping[str, str] = field(default_factory=dict)
    blind: tuple[str, ...] = ()
    stale: Mapping[str, float] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    unmet: Mapping[str, str] = field(default_factory=dict)

    @property
    def wanted(self) -> dict[str, Topic]:
        """Every topic of the namespace, by full name."""
        return topic_names(self.settings.namespace, tuple(shadow.name for shadow in self.settings.shadow))

    def full(self, name: str) -> str:
        """The full name of a topic of the namespace."""
        return f"{self.settings.namespace}.{name}"

    def inputs(self) -> Iterator[Sample]:
        """The samples of the inputs that have any record."""
        for name in INPUTS:
            if name in self.samples and self.samples[name].records:
                yield self.samples[name]
