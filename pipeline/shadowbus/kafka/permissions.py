"""Which right is missing: Kafka says that something is not allowed, seldom which operation on what.

In: what Kafka refused, and the rights that were needed (`rights.py`). Out: those that this user does not have, as a
sentence. Asked for at the start of a worker, which may not need some of them for days, and after a refusal.
"""

import shlex
from collections.abc import Iterable, Sequence

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import make_admin, make_consumer
from shadowbus.kafka.cluster import Rights, group_rights, rights_of
from shadowbus.rights import Kind, Names, Right, needed_for, use_of
from shadowbus.settings import Settings

KINDS: dict[int, Kind] = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "TOPIC",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "GROUP",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "TRANSACTIONAL_ID",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "CLUSTER",
}
"""On what kind of resource a right is missing, by Kafka's code."""

ASK_SECONDS = 5.0
START_SECONDS = 3.0
"""A worker that starts while Kafka is away waits no longer for this; it waits for Kafka by itself."""


def refused_kind(error: BaseException | None) -> Kind | None:
    """On what kind of resource a right was missing, if that is why this was raised."""
    while error is not None:
        inner = error.args[0] if isinstance(error, KafkaException) and error.args else None
        if isinstance(inner, KafkaError) and inner.code() in KINDS:
            return KINDS[inner.code()]
        error = error.__cause__ or error.__context__
    return None


def explained(error: BaseException, settings: Settings, words: Sequence[str]) -> str:
    """What an error says; where a right was missing, which, and what grants it.

    Args:
        error: What was raised.
        settings: How to reach Kafka.
        words: The command line from the verb on.
    """
    kind = refused_kind(error)
    return _refusal(settings, words, kind) if kind else str(error)


def _refusal(settings: Settings, words: Sequence[str], kind: Kind) -> str:
    verb = use_of(words)
    wanted = needed(settings, words)
    found = lacking(settings, wanted, Deadline.after(ASK_SECONDS))
    denied = [right for right, has in found.items() if has is False]
    # Kafka does not say of everything what is allowed there; what it refused is then one of these.
    unknown = [right for right, has in found.items() if has is None and right.kind == kind]
    return _sentence(settings, verb, denied or unknown)


def check_start(settings: Settings, words: Sequence[str]) -> None:
    """Find out whether a worker may do to its topics what it will have to do some day.

    Raises:
        BrokerError: A right is missing; a person has to act. Nothing is raised where Kafka does not answer.
    """
    deadline = Deadline.after(START_SECONDS)
    topics = [right for right in needed(settings, words) if right.kind == "TOPIC"]
    if denied := [right for right, has in lacking(settings, topics, deadline).items() if has is False]:
        raise BrokerError(_sentence(settings, use_of(words), denied))


def check_group(settings: Settings, words: Sequence[str]) -> None:
    """Find out whether a worker may know of its group, which Faust waits for without a word where it may not.

    Raises:
        BrokerError: It may not; a person has to act. Nothing is raised where Kafka does not answer.
    """
    groups = [right for right in needed(settings, words) if right.kind == "GROUP"]
    for right in groups:
        consumer = make_consumer(settings, **{"group.id": right.name})
        try:
            consumer.committed([TopicPartition(right.name, 0)], timeout=START_SECONDS)
        except KafkaException:  # it says that it timed out; the reason comes as a message
            said = consumer.poll(0.0)
            error = said.error() if said is not None else None
            if error is not None and KINDS.get(error.code()) == "GROUP":
                raise BrokerError(_sentence(settings, use_of(words), [right])) from KafkaException(error)
        finally:
            consumer.close()


def needed(settings: Settings, words: Sequence[str]) -> list[Right]:
    """What the verb on this command line needs; of shadows, those that it names."""
    names, key = Names.of(settings), use_of(words)
    named = tuple(shadow for shadow in names.shadows if shadow in words)
    return needed_for(key, Names(names.namespace, named or names.shadows, names.sources)) if key else []


def lacking(settings: Settings, wanted: Iterable[Right], deadline: Deadline) -> dict[Right, bool | None]:
    """Whether this user has each right; None where Kafka does not say."""
    admin, wanted = make_admin(settings), list(wanted)
    granted: dict[tuple[str, str], Rights] = {}
    try:
        granted |= _topics(admin, [right.name for right in wanted if right.kind == "TOPIC"], deadline)
        groups = {right.name for right in wanted if right.kind == "GROUP"}
        granted |= {("GROUP", name): has for name, has in group_rights(admin, sorted(groups), deadline).items()}
        if any(right.kind == "CLUSTER" for right in wanted):
            one = admin.describe_cluster(
                include_authorized_operations=True, request_timeout=max(1.0, deadline.remaining())
            )
            granted |= {("CLUSTER", right.name): rights_of(one.result()) for right in wanted if right.kind == "CLUSTER"}
    except (KafkaException, BrokerError):
        pass  # it does not answer: nothing is known of the rest
    return {right: has_right(right.operation, granted.get((right.kind, right.name))) for right in wanted}


def has_right(operation: str, granted: Rights) -> bool | None:
    """Whether an operation is among those that are granted; None where Kafka did not say.

    >>> has_right("WRITE", frozenset({"READ"})), has_right("READ", frozenset({"ALL"})), has_right("READ", None)
    (False, True, None)
    """
    return None if granted is None else bool({operation, "ALL"} & granted)


def _topics(admin: AdminClient, names: Iterable[str], deadline: Deadline) -> dict[tuple[str, str], Rights]:
    asked = admin.describe_topics(
        TopicCollection(sorted(set(names))),
        include_authorized_operations=True,
        request_timeout=max(1.0, deadline.remaining()),
    )
    found: dict[tuple[str, str], Rights] = {}
    for name, future in asked.items():
        try:
            found["TOPIC", name] = rights_of(future.result())
        except KafkaException as error:
            refused = error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
            found["TOPIC", name] = frozenset() if refused else None
    return found


def _sentence(settings: Settings, verb: str, missing: Iterable[Right]) -> str:
    user = settings.kafka.get("sasl.username", "NAME")
    what = ", ".join(map(str, missing)) or "do what it was asked for"
    grant = f"shadowbus rights {shlex.quote(verb)} --principal User:{user}"
    return f"Kafka does not let this user {what}: `{grant}` prints the commands that grant it."
