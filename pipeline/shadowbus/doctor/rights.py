"""Whether this user may do what the workers do."""

from collections.abc import Iterator

from shadowbus.doctor.evidence import Evidence, needed_rights
from shadowbus.doctor.finding import Finding, listed, problem

GRANT = "kafka-acls.sh --add --allow-principal User:NAME {operations} {resource}"


def check_rights(evidence: Evidence) -> Iterator[Finding]:
    """Topics and groups that this user may not use."""
    namespace = evidence.settings.namespace
    lacking: dict[str, set[str]] = {}
    for name, needed in needed_rights(evidence.settings).items():
        if name in evidence.forbidden:
            lacking[name] = {*needed, "DESCRIBE"}
        elif name in evidence.topics and (lacks := missing_rights(needed, evidence.topics[name].rights)):
            lacking[name] = lacks
    if lacking:
        every = sorted(set().union(*lacking.values()))
        seen = [
            f"{one} on {listed(sorted(name for name, operations in lacking.items() if one in operations))}"
            for one in every
        ]
        operations = " ".join(f"--operation {one.title()}" for one in every)
        own = all(name.startswith(f"{namespace}.") for name in lacking)
        which = f"--topic {namespace}. --resource-pattern-type prefixed" if own else f"--topic {min(lacking)}"
        yield problem(
            "This user may not use every topic as the workers do.",
            f"it lacks {'; '.join(seen)}.",
            GRANT.format(operations=operations, resource=which),
        )
    groups = sorted(name for name, one in evidence.groups.items() if missing_rights({"READ"}, one.rights))
    if groups:
        yield problem(
            "This user may not join every group as the workers do.",
            f"it lacks READ on {listed(groups)}.",
            GRANT.format(
                operations="--operation Read", resource=f"--group {namespace}. --resource-pattern-type prefixed"
            ),
        )


def missing_rights(needed: set[str], granted: frozenset[str] | None) -> set[str]:
    """The rights that are needed and not granted; none where Kafka did not say what is granted.

    >>> missing_rights({"READ", "WRITE"}, frozenset({"READ", "DESCRIBE"}))
    {'WRITE'}
    >>> missing_rights({"READ"}, frozenset({"ALL"})), missing_rights({"READ"}, None)
    (set(), set())
    """
    return set() if granted is None or "ALL" in granted else needed - granted
