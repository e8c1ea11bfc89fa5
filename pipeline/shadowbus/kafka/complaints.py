"""What Kafka complains about, as what to do next."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError, Fenced, Retry
from shadowbus.kafka.clients import plainly

Result = TypeVar("Result")

PASSING = {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._RESOLVE}
"""Codes of a consumer that mend themselves: librdkafka goes on trying."""

HARMLESS_IN_NO_GROUP = {*PASSING, KafkaError.GROUP_AUTHORIZATION_FAILED}
"""The same of one that is in no group: librdkafka looks for the coordinator of a group that it never joins."""

_OPERATOR = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
}
_FENCED = {
    KafkaError._FENCED,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
}
_SOON = {KafkaError.UNSTABLE_OFFSET_COMMIT, KafkaError.NOT_LEADER_FOR_PARTITION}


@contextlib.contextmanager
def as_next_action(worker: str) -> Iterator[None]:
    """Turn what Kafka raises inside the block into an error whose type says what to do.

    Raises:
        BrokerError: A person has to act.
        Fenced: Another worker has taken over.
        Retry: Starting again from what is committed may help.
    """
    try:
        yield
    except KafkaException as error:
        code = error.args[0].code() if error.args and isinstance(error.args[0], KafkaError) else None
        if code in _OPERATOR:
            raise BrokerError(
                f"Kafka refuses {worker}: {plainly(error)}. "
                "Check the topics with `shadowbus topics --check` and this user's rights."
            ) from error
        if code in _FENCED:
            raise Fenced(f"another worker has taken over ({plainly(error)})") from error
        raise Retry(plainly(error)) from error


def again(step: Callable[[float], Result], deadline: Deadline) -> Result:
    """Call `step` with the seconds left until it goes through, as long as Kafka says that trying again may help."""
    while True:
        try:
            return step(max(0.1, deadline.remaining()))
        except KafkaException as error:
            reason = error.args[0]
            if deadline.passed or not (reason.retriable() or reason.code() in _SOON):
                raise
