"""Whether the stages run, keep up, and nobody holds them up."""

from collections.abc import Iterator

from shadowbus import gates
from shadowbus.doctor.evidence import Evidence, GroupFacts
from shadowbus.doctor.finding import Finding, listed, problem, warning

MANY_BEHIND = 10_000


def check_arrivals(evidence: Evidence) -> Iterator[Finding]:
    """Nothing to work on."""
    names = [evidence.full(name) for name in ("requests", "predictions")]
    empty = [name for name in names if name in evidence.topics and not evidence.topics[name].records]
    if empty:
        yield warning(
            "Nothing has arrived, so nothing can be compared.",
            f"{' and '.join(empty)} {'are' if len(empty) > 1 else 'is'} empty.",
            f"Turn capture on in the service, with namespace {evidence.settings.namespace!r}: docs/capture.md.",
        )


def check_groups(evidence: Evidence) -> Iterator[Finding]:
    """Stages that do not run, or run and do not move."""
    # Starting these again would not help: what the check of bundles says comes first.
    unable = {f"replay --shadow {bundle.shadow}" for bundle in evidence.bundles if bundle.wrong}
    absent = {name: one for name, one in evidence.groups.items() if not one.members and one.verb not in unable}
    stopped = {name: group for name, group in absent.items() if group.ever and group.behind > group.leftover}
    if stopped:
        verbs = [f"`shadowbus {group.verb}`" for group in stopped.values()]
        behind = [f"{group.verb} is {group.behind} behind" for group in stopped.values()]
        yield problem(
            f"{listed(verbs)} stopped before the work was done.",
            f"no member in the group, and records are waiting: {listed(behind)}.",
            "Start what stopped again; `shadowbus up` runs all. Where that is running, its log says why they end.",
        )
    waiting = [group.verb for name, group in absent.items() if name not in stopped]
    if waiting:
        yield warning(
            "Not every stage is running.",
            f"no member in the group of {listed(waiting)}.",
            "Start them: `shadowbus up` runs all. Where that is running, its log says why they end.",
        )
    for name, group in evidence.groups.items():
        if group.members:
            yield from _running(name, group)


def check_held_up(evidence: Evidence) -> Iterator[Finding]:
    """Transactions that stay open and hold up whoever reads what is committed."""
    if evidence.held_up:
        one = max(evidence.held_up, key=lambda held: held.behind)
        limit = evidence.settings.worker.transaction_timeout_ms / 1000
        yield problem(
            "An open transaction holds up everybody who reads committed records.",
            f"{one.topic}[{one.partition}] stands at offset {one.offset}, {one.behind} records before its end, for "
            f"{one.seconds:.0f} s and more; {len(evidence.held_up)} partitions in all.",
            f"Wait {limit:.0f} s: Kafka aborts the transaction of a dead worker. If it stays, end the producer that "
            "hangs, or find it with kafka-transactions.sh find-hanging and abort it.",
        )


def check_verdicts(evidence: Evidence) -> Iterator[Finding]:
    """Aggregates that are late while everybody seems to keep up, and gates that changed."""
    if evidence.stale:
        trial, seconds = max(evidence.stale.items(), key=lambda one: one[1])
        yield problem(
            "Aggregates are late: what people and dashboards see is older than the verdicts.",
            f"new totals of {trial} have not been published for {seconds:.0f} s; {len(evidence.stale)} trials in all.",
            "Read the log of `shadowbus agents`; if it says nothing, start it again.",
        )
    for one in evidence.verdicts:
        told = (gates.sentence(one.gate), gates.differs(evidence.settings, one.trial, one.gate))
        if any(told):
            yield warning(
                f"What {one.trial} is judged by has changed.",
                " ".join(filter(None, told)),
                "Nothing, if that was meant: a verdict is by one gate, from its first request on. Else put the "
                "settings back and start `shadowbus up` again, which begins a new span too: docs/verdict.md.",
            )


def check_blind_spots(evidence: Evidence) -> Iterator[Finding]:
    """What could not be looked at."""
    for sentence in evidence.blind:
        yield warning(
            "Not everything could be looked at.",
            sentence,
            "Give this user the right to describe topics, groups and configs, or run the doctor as one who has it.",
        )


def _running(name: str, group: GroupFacts) -> Iterator[Finding]:
    if group.behind > group.leftover and not group.moved:
        yield problem(
            f"`shadowbus {group.verb}` is stuck: it has work and commits nothing.",
            f"group {name} ({group.state.lower()}, {group.members} members) is {group.behind} records behind and did "
            f"not move for {group.seconds:.0f} s.",
            "Read its log; look for an open transaction above, and for a model or a broker that does not answer.",
        )
    elif group.behind > MANY_BEHIND:
        pace = group.moved / max(group.seconds, 0.1)
        yield warning(
            f"`shadowbus {group.verb}` is behind.",
            f"{group.behind} records are waiting; it takes about {pace:.0f} a second.",
            "Let it catch up, or start more of the same, up to as many as there are partitions.",
        )
