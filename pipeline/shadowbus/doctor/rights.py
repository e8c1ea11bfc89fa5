"""Whether this user may do what the workers do."""

import shlex
from collections.abc import Iterable, Iterator

from shadowbus.doctor.evidence import Evidence
from shadowbus.doctor.finding import Finding, listed, problem
from shadowbus.rights import Names, Right, needed_for
from shadowbus.topology import STAGES


def check_rights(evidence: Evidence) -> Iterator[Finding]:
    """Topics and groups that this user may not use."""
    lacking = {stage: list(_lacking(evidence, stage)) for stage in _running(evidence)}
    stages = [stage for stage, rights in lacking.items() if rights]
    if stages:
        yield problem(
            f"This user may not do what these stages have to do: {listed(stages)}.",
            f"it may not {', '.join(map(str, sorted({right for stage in stages for right in lacking[stage]})))}.",
            grant(stages),
        )


def grant(verbs: Iterable[str]) -> str:
    """The command that prints what grants the rights that these verbs need."""
    return f"`shadowbus rights {shlex.join(verbs)} --principal User:NAME` prints the commands that grant it."


def _running(evidence: Evidence) -> list[str]:
    stages = [stage.name for stage in STAGES if stage.reads]
    more = {"rekey": evidence.settings.rekey.sources, "notify": evidence.settings.notify}
    return [*stages, *(name for name, wanted in more.items() if wanted)]


def _lacking(evidence: Evidence, stage: str) -> Iterator[Right]:
    """What Kafka has said that this user may not do; of a topic that is missing it says nothing."""
    for right in needed_for(stage, Names.of(evidence.settings)):
        if right.kind == "TOPIC" and right.name in evidence.forbidden:
            yield right
        granted = evidence.joining.get(right.name) if right.kind == "GROUP" else None
        if right.kind == "TOPIC" and right.name in evidence.topics:
            granted = evidence.topics[right.name].rights
        if granted is not None and not {right.operation, "ALL"} & granted:
            yield right
