"""Gathers the evidence: looks at Kafka, twice where movement matters, and at the bundles. Changes nothing."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any, TypeVar

from shadowbus.clock import Deadline, monotonic, now_ms
from shadowbus.doctor.evidence import Attempt, BundleFacts, Evidence, GroupFacts, TopicFacts
from shadowbus.doctor.look import Look, held_up, stands_still
from shadowbus.doctor.sample import KINDS, Sample, sample_of
from shadowbus.doctor.trials import going, unmet
from shadowbus.errors import BrokerError, BundleError
from shadowbus.freshness import STALE_SAMPLE, stale_trials
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.cluster import Rights, broker_config, describe_topics, group_rights, topic_configs
from shadowbus.kafka.groups import GroupState, group_states
from shadowbus.kafka.read.offsets import Bounds, Partition, bounds
from shadowbus.kafka.read.topic import read_table, read_tail, sample_tails
from shadowbus.kafka.transaction_probe import try_transaction
from shadowbus.models.bundle import read_bundle
from shadowbus.models.configured import configured
from shadowbus.models.load import check_loadable
from shadowbus.records import Verdict
from shadowbus.settings import Settings, ShadowSettings
from shadowbus.topology import AGGREGATES, PARTIALS, REKEY, STAGES, VERDICTS, topic_names

LOOK_SECONDS = 60.0
"""By when Kafka has to have answered it all."""

SAMPLE_SECONDS = 15.0
TRY_SECONDS = 10.0

WATCH_SECONDS = 5.0
"""How long something has to stand still before it is called stuck: many commits of a worker that is well."""

PAUSE_SECONDS = 0.25
Answer = TypeVar("Answer")


class Gathering:
    """One visit. What Kafka does not show becomes a sentence in `blind`, and the visit goes on."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.admin = make_admin(settings)
        self.deadline = Deadline.after(LOOK_SECONDS)
        self.blind: list[str] = []
        self.reads = groups_of(settings)

    def evidence(self, bundles: tuple[BundleFacts, ...]) -> Evidence:
        """All of it.

        Raises:
            BrokerError: Kafka does not answer at all.
        """
        wanted = topic_names(self.settings.namespace, tuple(shadow.name for shadow in self.settings.shadow))
        names = [*wanted, *self.settings.rekey.sources.values()]
        described, forbidden = describe_topics(self.admin, names, self.deadline)
        first = self._look(described)
        configs: dict[str, dict[str, str]] = self._or(
            lambda: topic_configs(self.admin, wanted.keys() & described.keys(), self.deadline), {}
        )
        samples: dict[str, Sample] = self._or(lambda: self._samples(first), {})
        attempts = tuple(self._attempts())
        rights: dict[str, Rights] = self._or(lambda: group_rights(self.admin, self.reads, self.deadline), {})
        second = self._second(first, described)
        stale: dict[str, float] = self._or(lambda: self._stale(described), {})
        nothing_said: tuple[tuple[Verdict, ...], dict[str, str]] = ((), {})
        verdicts, labels = self._or(lambda: self._trials(described), nothing_said)
        return Evidence(
            settings=self.settings,
            now_ms=now_ms(),
            bundles=bundles,
            topics={
                name: TopicFacts(count, configs.get(name, {}), granted, second.records(name))
                for name, (count, granted) in described.items()
            },
            forbidden=forbidden,
            samples=samples,
            groups=self._groups(first, second),
            joining=rights,
            held_up=held_up(first, second),
            attempts=attempts,
            broker=self._or(lambda: broker_config(self.admin, self.deadline), {}),
            blind=tuple(dict.fromkeys(self.blind)),
            stale=stale,
            verdicts=verdicts,
            unmet=labels,
        )

    def _or(self, ask: Callable[[], Answer], otherwise: Answer) -> Answer:
        try:
            return ask()
        except BrokerError as error:
            self.blind.append(str(error))
            return otherwise

    def _look(self, topics: Iterable[str]) -> Look:
        present = set(topics)
        limits: dict[Partition, Bounds] = self._or(lambda: bounds(self.admin, present, self.deadline), {})
        reads = {group: [name for name in names if name in present] for group, (_, names) in self.reads.items()}
        nothing: tuple[dict[str, GroupState], dict[str, int]] = ({}, {})
        groups, ends = self._or(lambda: group_states(self.settings, reads, self.deadline), nothing)
        return Look(monotonic(), limits, groups, ends)

    def _second(self, first: Look, topics: Iterable[str]) -> Look:
        """Look again: at once if all is well, else until it moves or has stood still for long enough."""
        pause, until = threading.Event(), first.at + WATCH_SECONDS
        while True:
            second = self._look(topics)
            still = stands_still(first, second) or held_up(first, second)
            if not still or second.at >= until:
                return second
            pause.wait(PAUSE_SECONDS)

    def _samples(self, look: Look) -> dict[str, Sample]:
        names = {f"{self.settings.namespace}.{name}": name for name in KINDS}
        limits = {one: limit for one, limit in look.limits.items() if one[0] in names}
        found = sample_tails(self.settings, limits, Deadline.after(SAMPLE_SECONDS))
        counts = {full: sum(1 for topic, _ in limits if topic == full) for full in found}
        return {names[full]: sample_of(names[full], counts[full], slices) for full, slices in found.items()}

    def _stale(self, topics: Iterable[str]) -> dict[str, float]:
        if not {topic.full_name(self.settings.namespace) for topic in (PARTIALS, AGGREGATES)} <= set(topics):
            return {}
        partials = list(read_tail(self.settings, PARTIALS, STALE_SAMPLE, Deadline.after(SAMPLE_SECONDS)))
        published = read_table(self.settings, AGGREGATES, self.deadline)
        return stale_trials(partials, published.values(), now_ms())

    def _trials(self, topics: Iterable[str]) -> tuple[tuple[Verdict, ...], dict[str, str]]:
        if not {topic.full_name(self.settings.namespace) for topic in (VERDICTS, AGGREGATES)} <= set(topics):
            return (), {}
        decided, aggregates = (read_table(self.settings, topic, self.deadline) for topic in (VERDICTS, AGGREGATES))
        return going(decided, aggregates, configured(self.settings)), unmet(aggregates)

    def _attempts(self) -> Iterable[Attempt]:
        for group, (verb, _) in self.reads.items():
            if verb == "agents":  # they write without transactions
                continue
            attempt = Attempt(f"{group}-doctor", *try_transaction(self.settings, f"{group}-doctor", TRY_SECONDS))
            yield attempt
            if attempt.code == "_TIMED_OUT":
                return  # the others would be as slow

    def _groups(self, first: Look, second: Look) -> dict[str, GroupFacts]:
        return {
            name: GroupFacts(
                verb=self.reads[name][0],
                state=group.state,
                members=group.members,
                behind=sum(group.lag.values()),
                leftover=second.leftover(name),
                moved=second.taken(name) - first.taken(name) if name in first.groups else 0,
                seconds=second.at - first.at,
                ever=group.ever,
            )
            for name, group in second.groups.items()
        }


def gather(settings: Settings) -> Evidence:
    """Everything the checks need; when Kafka does not answer, what can be told without it.

    Raises:
        SettingsError: A property in `[kafka]` is not accepted.
    """
    bundles = tuple(bundle_facts(settings, shadow) for shadow in settings.shadow)
    network = network_facts(settings)
    gathering = Gathering(settings)
    try:
        return replace(gathering.evidence(bundles), network=network)
    except BrokerError as error:
        return Evidence(settings, now_ms(), bundles, network, unreachable=str(error))


def groups_of(settings: Settings) -> dict[str, tuple[str, list[str]]]:
    """By consumer group: the verb that runs a member, and the full names of the topics it reads."""
    found: dict[str, tuple[str, list[str]]] = {}
    if settings.rekey.sources:
        found[REKEY.group(settings.namespace)] = (REKEY.name, list(settings.rekey.sources.values()))
    for stage in STAGES:
        topics = [f"{settings.namespace}.{name}" for name in stage.reads]
        for shadow in [one.name for one in settings.shadow] if stage.per_shadow else [""]:
            if topics:
                verb = f"{stage.name} --shadow {shadow}" if shadow else stage.name
                found[stage.group(settings.namespace, shadow)] = (verb, topics)
    return found


def network_facts(settings: Settings) -> str:
    """Why a model that should have no network would have it here: tried in a process that is then no more."""
    if all(shadow.network for shadow in settings.shadow):
        return ""
    command = [sys.executable, "-m", "shadowbus.replay.model.child.start", "--try"]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=TRY_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return tried.stdout.strip()


def bundle_facts(settings: Settings, shadow: ShadowSettings) -> BundleFacts:
    """One shadow's bundle, its hash checked and whether replay may load it, without opening the model."""
    folder = settings.model_path(shadow)
    try:
        bundle = read_bundle(folder)
        bundle.verify()
        check_loadable(bundle, allow_pickle=shadow.allow_pickle)
    except BundleError as error:
        return BundleFacts(shadow.name, str(folder), wrong=str(error))
    made_with = dict(bundle.manifest.libraries)
    return BundleFacts(shadow.name, str(folder), bundle.features, made_with, _installed(made_with))


def _installed(libraries: Iterable[str]) -> dict[str, str]:
    found: dict[str, Any] = {}
    for library in libraries:
        try:
            found[library] = installed_version(library)
        except PackageNotFoundError:
            continue
    return found
