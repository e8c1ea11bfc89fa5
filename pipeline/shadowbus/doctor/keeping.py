"""Whether topics exist, have the right number of partitions, and are kept long enough."""

from collections.abc import Iterator

from shadowbus.doctor.evidence import INPUTS, Evidence
from shadowbus.doctor.finding import Finding, listed, problem, warning
from shadowbus.topology import DAY_MS

ALTER = "kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {config}"
ENDLESS = "-1"


def check_missing(evidence: Evidence) -> Iterator[Finding]:
    """Topics that are not there."""
    known = evidence.topics.keys() | evidence.forbidden
    missing = sorted(name for name in evidence.wanted if name not in known)
    if missing:
        yield problem(
            f"{len(missing)} of {len(evidence.wanted)} topics are missing.",
            listed(missing),
            "Create them: `shadowbus topics --create`.",
        )
    for target, source in evidence.settings.rekey.sources.items():
        if source not in known:
            yield problem(
                f"The topic {source}, which [rekey] names, is missing.",
                f"rekey.{target} names it, and Kafka has no such topic.",
                f"Correct rekey.{target} in {evidence.settings.source.name}, or create the topic.",
            )


def check_counts(evidence: Evidence) -> Iterator[Finding]:
    """Topics with another number of partitions."""
    wanted = evidence.settings.partitions
    found = {name: evidence.topics[name].partitions for name in sorted(evidence.wanted) if name in evidence.topics}
    wrong = {name: count for name, count in found.items() if count != wanted}
    if not wrong:
        return
    seen = f"the settings say {wanted}; {listed([f'{name} has {count}' for name, count in wrong.items()])}."
    if len(set(found.values())) == 1:
        (count,) = set(found.values())
        fix = f"Set partitions = {count} in {evidence.settings.source.name}."
        yield problem("The settings name another number of partitions than the topics have.", seen, fix)
        return
    yield problem(
        "Topics differ in their number of partitions: what belongs together lies apart.",
        seen,
        "Begin a new namespace, or delete and create these topics again (`shadowbus topics --create`); let a producer "
        "that needs another number write to a topic of its own, and re-key that: `[rekey]`, docs/rekeying.md.",
    )


def check_cleanup(evidence: Evidence) -> Iterator[Finding]:
    """Topics that lose what they should keep, or keep what they should lose."""
    for name, topic in sorted(evidence.wanted.items()):
        policy = evidence.topics[name].config.get("cleanup.policy") if name in evidence.topics else None
        if policy is None or policy == topic.cleanup:
            continue
        harm = (
            "state is deleted while it is needed"
            if topic.cleanup == "compact"
            else "records are lost before they count"
        )
        yield problem(
            f"{name} has the wrong cleanup policy: {harm}.",
            f"cleanup.policy is {policy}, wanted {topic.cleanup}.",
            f"{ALTER.format(topic=name, config=f'cleanup.policy={topic.cleanup}')}",
        )


def check_retention(evidence: Evidence) -> Iterator[Finding]:
    """Topics that forget sooner than a stage waits."""
    settings = evidence.settings
    horizon = int(settings.judge.horizon_days * DAY_MS)
    for name, needed, why in (
        ("requests", settings.replay.join_window_ms, "replay.join_window_ms"),
        ("predictions", settings.replay.join_window_ms, "replay.join_window_ms"),
        ("labels", horizon, "judge.horizon_days"),
        ("comparisons", horizon, "judge.horizon_days"),
    ):
        full = evidence.full(name)
        config = evidence.topics[full].config if full in evidence.topics else {}
        kept = config.get("retention.ms", ENDLESS)
        if kept != ENDLESS and int(kept) < needed:
            finding = problem if name in INPUTS[:2] else warning
            yield finding(
                f"{full} is kept for less time than {why} waits."
                + ("" if name in INPUTS[:2] else " A judge that loses its disk could not read it again."),
                f"retention.ms is {kept} ({_days(int(kept))}); {why} asks for {needed} ({_days(needed)}).",
                f"{ALTER.format(topic=full, config=f'retention.ms={needed}')}",
            )
        if config.get("retention.bytes", ENDLESS) != ENDLESS:
            yield warning(
                f"{full} is deleted by size too, so it may be kept for less time than it should.",
                f"retention.bytes is {config['retention.bytes']}.",
                f"{ALTER.format(topic=full, config='retention.bytes=-1')}",
            )


def check_sizes(evidence: Evidence) -> Iterator[Finding]:
    """Topics that refuse a record which the inputs take: the worker that writes it would not come past it."""
    limits = {
        name: int(evidence.topics[name].config["max.message.bytes"])
        for name in evidence.wanted
        if name in evidence.topics and "max.message.bytes" in evidence.topics[name].config
    }
    taken = max((limits[evidence.full(name)] for name in INPUTS if evidence.full(name) in limits), default=0)
    small = {name: limit for name, limit in sorted(limits.items()) if limit < taken and _is_written(evidence, name)}
    if small:
        largest = max((record.size for sample in evidence.inputs() for record in sample.records), default=0)
        first = next(iter(small))
        yield warning(
            "A record may be too large for the topic it has to be written to, and stop the worker.",
            f"inputs take {taken} bytes; {listed([f'{name} takes {limit}' for name, limit in small.items()])}; "
            f"the largest sampled record has {largest}.",
            f"{ALTER.format(topic=first, config=f'max.message.bytes={evidence.wanted[first].max_bytes}')}"
            + (" (and so on)" if len(small) > 1 else ""),
        )


def _is_written(evidence: Evidence, name: str) -> bool:
    return evidence.wanted[name].name in ("comparisons", "dead-letters", "replay-changelog")


def _days(ms: int) -> str:
    return f"{ms / DAY_MS:.1f} days" if ms >= DAY_MS else f"{ms / 1000:.0f} s"
