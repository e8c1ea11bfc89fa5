"""Everything `shadowbus status` shows, gathered from Kafka: stages, trials, verdicts, and what is plainly wrong."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shadowbus import gates
from shadowbus.cli.read.find_verdict import verdicts
from shadowbus.clock import Deadline, now_ms
from shadowbus.cutoff import sentence
from shadowbus.errors import Malformed
from shadowbus.freshness import STALE_SAMPLE, stale_trials
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.groups import GroupState, group_states
from shadowbus.kafka.reaching import existing_topics
from shadowbus.kafka.read.topic import read_table, read_tail
from shadowbus.kafka.topics import check_topics
from shadowbus.models.configured import configured
from shadowbus.records import Aggregate, Promotion, Verdict, decode
from shadowbus.records.published import read_aggregate
from shadowbus.settings import Settings
from shadowbus.story.fields import count, number, section
from shadowbus.story.figures import counted
from shadowbus.story.figures import share as in_percent
from shadowbus.story.harness import resources
from shadowbus.story.ledger import ledger
from shadowbus.story.past import Span, past, span_of
from shadowbus.story.vocabulary import only_in_labels
from shadowbus.topology import AGGREGATES, PARTIALS, REKEY, REQUESTS, STAGES, VERDICTS, Stage
from shadowbus.trials import acts_in

SHOWN_TOPICS = 5
"""How many of the missing ones are named."""


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage that reads from Kafka; `lag` are the records it has not committed yet, by topic."""

    stage: str
    shadow: str
    group: str
    state: str = "UNKNOWN"
    members: int = 0
    lag: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrialStatus:
    """One trial: its comparisons by status, whether its books close, and what is odd about the model's processes."""

    trial: str
    statuses: Mapping[str, object]
    labels: object
    books: Mapping[str, object]
    updated_ms: int
    span: Span | None = None
    remarks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole picture of one namespace; `notes` are sentences about what is not as it should be.

    `past` says of each trial that is over why it is; `promotions` are what was done about verdicts.
    """

    namespace: str
    missing_topics: list[str]
    stages: list[StageStatus]
    trials: list[TrialStatus]
    verdicts: list[Verdict]
    promotions: list[Promotion]
    past: Mapping[str, str]
    notes: list[str]


def look(settings: Settings, deadline: Deadline) -> Overview:
    """Gather it all.

    Raises:
        BrokerError: Kafka does not answer in time.
    """
    differences = check_topics(settings)
    missing = [difference.topic for difference in differences if difference.what == "topic"]
    lost = _lost_sources(settings)
    stages = list(_running(settings))
    reads = {one.group: [name for name in one.lag if name not in (*missing, *lost)] for one in stages}
    groups, ever = group_states(settings, reads, deadline)
    seen = [_seen(one, groups[one.group]) for one in stages]
    aggregates, decided = (
        {} if topic.full_name(settings.namespace) in missing else read_table(settings, topic, deadline)
        for topic in (AGGREGATES, VERDICTS)
    )
    trials = list(_trials(aggregates))
    partials = [] if PARTIALS.full_name(settings.namespace) in missing else _newest_partials(settings, deadline)
    found, odd = verdicts(decided)
    over = past({one.trial: one.span for one in trials}, configured(settings))
    return Overview(
        namespace=settings.namespace,
        missing_topics=missing,
        stages=seen,
        trials=trials,
        verdicts=sorted((one.record for one in found), key=lambda one: one.trial),
        promotions=list(_acts(decided)),
        past=over,
        notes=[
            *(f"The topic {name}, which [rekey] names, is missing." for name in lost),
            *stale_notes(stale_trials(partials, aggregates.values(), now_ms())),
            *(one.sentence for one in odd),
            *(f"{one.record.trial} could not be decided. {one.record.fault}" for one in found if one.record.fault),
            *left_out_notes(one for one in trials if one.trial not in over),
            *(f"{one.trial}: {remark}" for one in trials if one.trial not in over for remark in one.remarks),
            *trained_on_notes(one.record for one in found if one.record.trial not in over),
            *gate_notes(settings, (one.record for one in found if one.record.trial not in over)),
            *_notes(settings, missing, len(differences) - len(missing), seen, ever),
        ],
    )


def group_name(stage: Stage, namespace: str, shadow: str = "") -> str:
    """The consumer group of a stage.

    >>> from shadowbus.topology import REPLAY
    >>> group_name(REPLAY, "churn", "challenger")
    'churn.challenger.replay'
    """
    return stage.group(namespace, shadow)


def stale_notes(stale: Mapping[str, float]) -> Iterator[str]:
    """Trials whose newest totals are not published."""
    for trial, seconds in stale.items():
        yield (
            f"{trial}: its aggregates are late; new totals have waited for {seconds:,.0f} s. Its verdict goes on. "
            "Read the log of the agents, or start `shadowbus agents` again."
        )


def _newest_partials(settings: Settings, deadline: Deadline) -> list[bytes]:
    return list(read_tail(settings, PARTIALS, STALE_SAMPLE, deadline))


def _running(settings: Settings) -> Iterator[StageStatus]:
    if sources := settings.rekey.sources.values():
        yield StageStatus(REKEY.name, "", group_name(REKEY, settings.namespace), lag=dict.fromkeys(sources, 0))
    for stage in STAGES:
        if stage.reads:
            for shadow in [one.name for one in settings.shadow] if stage.per_shadow else [""]:
                topics = {f"{settings.namespace}.{name}": 0 for name in stage.reads}
                yield StageStatus(stage.name, shadow, group_name(stage, settings.namespace, shadow), lag=topics)


def _lost_sources(settings: Settings) -> list[str]:
    sources = list(settings.rekey.sources.values())
    existing = existing_topics(make_admin(settings), sources) if sources else {}
    return [name for name in sources if name not in existing]


def _seen(stage: StageStatus, group: GroupState) -> StageStatus:
    return StageStatus(stage.stage, stage.shadow, stage.group, group.state, group.members, group.lag)


def _trials(table: Mapping[bytes, bytes]) -> Iterator[TrialStatus]:
    whole = []
    for key, value in sorted(table.items()):
        if key.endswith(b"|all|all"):
            with contextlib.suppress(Malformed):
                whole.append(read_aggregate(value, key))
    for one in whole:
        yield TrialStatus(
            one.trial,
            section(one.totals, "statuses"),
            count(one.totals, "labels"),
            one.books,
            one.updated_ms,
            span_of(one.totals),
            _remarks(one),
        )


def _remarks(one: Aggregate) -> list[str]:
    health = resources(one.summary)
    said = [*health.remarks, health.network] if health else []
    return [one for one in (*said, ledger(one.books).unmet, only_in_labels(one.summary)) if one]


def _acts(decided: Mapping[bytes, bytes]) -> Iterator[Promotion]:
    for value in acts_in(decided).values():
        with contextlib.suppress(Malformed):
            yield decode(Promotion, value)


def left_out_notes(trials: Iterable[TrialStatus]) -> Iterator[str]:
    """What replay does not take, because the settings ask for a share or because it fell behind."""
    for one in trials:
        page, share = section(one.books, "requests"), number(one.books, "share")
        left_out, read, share = count(page, "sampled_out"), count(page, "read"), 1.0 if share is None else share
        if left_out or share != 1.0:
            portion = in_percent(left_out / read if read else 0.0)
            yield (
                f"{one.trial}: {left_out:,} of {counted(read, 'request')} ({portion}) were not replayed, to keep pace; "
                f"the share that is replayed now is {in_percent(share)}."
            )


def trained_on_notes(found: Iterable[Verdict]) -> Iterator[str]:
    """Of which trials something is from before the model's training ended."""
    for one in found:
        if told := sentence(one.training, one.requests, one.labels):
            yield f"{one.trial}: {told}"


def gate_notes(settings: Settings, found: Iterable[Verdict]) -> Iterator[str]:
    """Of which trials the gate has changed, and which verdicts belong to another gate than today's."""
    for one in found:
        if told := gates.sentence(one.gate):
            yield f"{one.trial}: {told}"
        if other := gates.differs(settings, one.trial, one.gate):
            yield other


def _notes(
    settings: Settings, missing: list[str], differing: int, stages: list[StageStatus], ever: Mapping[str, int]
) -> Iterator[str]:
    if missing:
        named = ", ".join(missing[:SHOWN_TOPICS]) + (" …" if len(missing) > SHOWN_TOPICS else "")
        yield f"{len(missing)} topics are missing: create them with `shadowbus topics --create` ({named})."
    if differing:
        yield f"{differing} settings of topics are not as wanted: see `shadowbus topics --check`."
    requests = REQUESTS.full_name(settings.namespace)
    if requests not in missing and not ever.get(requests):
        yield f"Nothing has arrived in {requests} yet: is capture on in the service, with this namespace?"
    for one in stages:
        if not one.members:
            name = f"{one.stage} --shadow {one.shadow}" if one.shadow else one.stage
            yield f"{one.group} has no member: run `shadowbus {name}`, or `shadowbus up` for all."
