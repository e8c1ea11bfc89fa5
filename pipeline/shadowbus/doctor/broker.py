"""Whether the broker can do what the workers need: transactions, and their time limits."""

from collections.abc import Iterator

from shadowbus.doctor.evidence import Evidence
from shadowbus.doctor.finding import Finding, listed, problem, warning
from shadowbus.doctor.rights import grant

FORBIDDEN = ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED")
LACKING = ("_UNSUPPORTED_FEATURE", "UNSUPPORTED_VERSION", "UNSUPPORTED_FOR_MESSAGE_FORMAT")


def check_transactions(evidence: Evidence) -> Iterator[Finding]:
    """Transactions that were tried and failed."""
    by_code: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    for attempt in evidence.attempts:
        if attempt.code:
            by_code.setdefault(attempt.code, []).append(attempt.transactional_id)
            words[attempt.code] = attempt.words
    for code, ids in by_code.items():
        yield problem(
            "Workers cannot write in transactions, so they do not start.",
            f"a transaction was tried as {listed(ids)}: {words[code]} ({code}).",
            _fix(code, evidence),
        )


def check_limits(evidence: Evidence) -> Iterator[Finding]:
    """Time limits of the workers that the broker does not accept."""
    worker, file = evidence.settings.worker, evidence.settings.source.name
    least = int(evidence.broker.get("group.min.session.timeout.ms", 0))
    most = int(evidence.broker.get("group.max.session.timeout.ms", worker.session_timeout_ms))
    if not least <= worker.session_timeout_ms <= most:
        yield problem(
            "The broker does not accept the workers' session timeout, so they cannot join their groups.",
            f"worker.session_timeout_ms is {worker.session_timeout_ms}; the broker takes {least} to {most}.",
            f"Set worker.session_timeout_ms between them in {file}.",
        )
    protocol = evidence.settings.kafka_for("consumer").get("group.protocol", "classic")
    offered = evidence.broker.get("group.coordinator.rebalance.protocols")
    if offered is not None and str(protocol).lower() not in offered.lower().split(","):
        yield problem(
            f"The broker does not speak the group protocol {protocol!r}.",
            f"group.coordinator.rebalance.protocols is {offered}.",
            f'Remove "group.protocol" from [kafka] in {file}, or turn that protocol on in the broker.',
        )


def check_copies(evidence: Evidence) -> Iterator[Finding]:
    """Topics in one copy, on brokers that keep their own in several."""
    asked = evidence.settings.replication
    copies = int(evidence.broker.get("default.replication.factor", 0)) if asked == -1 else asked
    theirs = int(evidence.broker.get("transaction.state.log.replication.factor", 1))
    if copies == 1 < theirs:
        said = (
            "which is the brokers' default.replication.factor" if asked == -1 else f"as {evidence.settings.source} says"
        )
        yield warning(
            "New topics get one copy: when its broker is down they stand still, and what it loses is lost.",
            f"their replication factor is 1, {said}; the brokers keep transactions in {theirs} copies.",
            f"Set replication = {theirs} in {evidence.settings.source}, and move topics that exist with "
            "kafka-reassign-partitions.sh.",
        )


def _fix(code: str, evidence: Evidence) -> str:
    if code in FORBIDDEN:
        return grant(["up"])
    if code in LACKING:
        return "Use Apache Kafka 2.5 or newer, or a service that supports transactions."
    if code == "INVALID_TRANSACTION_TIMEOUT":
        most = evidence.broker.get("transaction.max.timeout.ms", "the broker's transaction.max.timeout.ms")
        return f"Set worker.transaction_timeout_ms to at most {most} in {evidence.settings.source.name}."
    return "Look at the brokers: the topic __transaction_state needs a leader and enough replicas in sync."
