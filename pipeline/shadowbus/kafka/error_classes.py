"""What Kafka complains about, as what to do next.

What Kafka or librdkafka calls retriable passes by itself, and so does what is named here. All else would come again
after every restart: it ends the worker with a sentence.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from shadowbus import retries
from shadowbus.clock import Deadline
from shadowbus.errors import Away, BrokerError, Fenced, Retry
from shadowbus.kafka.clients import plainly

Result = TypeVar("Result")

_AWAY = {
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._WAIT_COORD,
    KafkaError._WAIT_CACHE,
    KafkaError._ISR_INSUFF,
    KafkaError._NODE_UPDATE,
    KafkaError._RETRY,
    KafkaError._QUEUE_FULL,
    KafkaError._UNKNOWN_BROKER,
    KafkaError._DESTROY_BROKER,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.STALE_CTRL_EPOCH,
    KafkaError.STALE_BROKER_EPOCH,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.NOT_CONTROLLER,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.FETCH_SESSION_ID_NOT_FOUND,
    KafkaError.INVALID_FETCH_SESSION_EPOCH,
    KafkaError.LISTENER_NOT_FOUND,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.PREFERRED_LEADER_NOT_AVAILABLE,
    KafkaError.ELIGIBLE_LEADERS_NOT_AVAILABLE,
    KafkaError.REASSIGNMENT_IN_PROGRESS,
    KafkaError.THROTTLING_QUOTA_EXCEEDED,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
    KafkaError.CONCURRENT_TRANSACTIONS,
    KafkaError.REBOOTSTRAP_REQUIRED,
}
"""Brokers are away, not ready yet, or too slow: however long that takes, waiting is right."""

_AGAIN = {
    KafkaError._STATE,
    KafkaError._FAIL,
    KafkaError._FATAL,
    KafkaError._DESTROY,
    KafkaError._BAD_MSG,
    KafkaError._UNKNOWN_PARTITION,  # assigned, so it is there: a client of a broker that came back learns of it late
    KafkaError._PURGE_QUEUE,
    KafkaError._PURGE_INFLIGHT,
    KafkaError._CONFLICT,
    KafkaError._IN_PROGRESS,
    KafkaError._PREV_IN_PROGRESS,
    KafkaError._OUTDATED,
    KafkaError._PARTIAL,
    KafkaError._UNDERFLOW,
    KafkaError._INTR,
    KafkaError._GAPLESS_GUARANTEE,
    KafkaError._INCONSISTENT,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError._ASSIGNMENT_LOST,
    KafkaError._NO_OFFSET,
    KafkaError._AUTO_OFFSET_RESET,  # step 1 looks at a position that is gone
    KafkaError._LOG_TRUNCATION,
    KafkaError._SSL,  # a connection that breaks in a handshake; one that is refused is heard of on the side
    KafkaError.UNKNOWN,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.INVALID_MSG,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
    KafkaError.DUPLICATE_SEQUENCE_NUMBER,
    KafkaError.INVALID_TXN_STATE,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
    KafkaError.UNKNOWN_PRODUCER_ID,
    KafkaError.TRANSACTION_COORDINATOR_FENCED,
    KafkaError.TRANSACTION_ABORTABLE,
    KafkaError.MEMBER_ID_REQUIRED,
    KafkaError.UNRELEASED_INSTANCE_ID,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError.INCONSISTENT_TOPIC_ID,
}
"""This client's, transaction's or member's state is of no use any more; a new one's may be."""

_FENCED = {
    KafkaError._FENCED,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
}

_RIGHTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
}
_LOGIN = {
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.ILLEGAL_SASL_STATE,
    KafkaError.SECURITY_DISABLED,
    KafkaError.DELEGATION_TOKEN_EXPIRED,
    KafkaError.DELEGATION_TOKEN_NOT_FOUND,
    KafkaError.UNACCEPTABLE_CREDENTIAL,
}
_TOPICS = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.POLICY_VIOLATION,
}
_ADVICE = {
    **dict.fromkeys(_RIGHTS, "Give this user the rights that `shadowbus doctor` misses."),
    **dict.fromkeys(_LOGIN, "Correct the user, password, mechanism or certificate in [kafka]; then start it again."),
    **dict.fromkeys(_TOPICS, "Check the topics with `shadowbus topics --check`."),
}
_ADVICE_FOR_ALL_ELSE = "Check [kafka] and [worker] in the settings against the brokers' own, with `shadowbus doctor`."

PASSING = frozenset(_AWAY)
"""Codes of a consumer that mend themselves: librdkafka goes on trying."""

HARMLESS_IN_NO_GROUP = PASSING | {KafkaError.GROUP_AUTHORIZATION_FAILED}
"""The same for one that is in nobody's group: librdkafka looks for the coordinator of a group that it never joins."""

REFUSALS = frozenset({*_RIGHTS, *_LOGIN, KafkaError._SSL})
"""What librdkafka says on the side only, while the calls that suffer from it time out."""


def action_for(error: KafkaError) -> type[BrokerError | Retry]:
    """What to do about it: the type of error that says so.

    Fenced: others have taken over. Away: wait for Kafka. Retry: start again. BrokerError: a person has to act.
    """
    code = error.code()
    if code in _FENCED:
        return Fenced
    if code in _AWAY or error.retriable():
        return Away
    if code in _AGAIN or (error.txn_requires_abort() and code not in _ADVICE):
        return Retry
    return BrokerError


@contextlib.contextmanager
def as_next_action(worker: str, heard: Callable[[], KafkaError | None] = lambda: None) -> Iterator[None]:
    """Turn what Kafka raises inside the block into an error whose type says what to do.

    Args:
        worker: What it is called.
        heard: What its clients have heard on the side lately. Where the call itself only says that it timed out or that
            the client is of no use any more, that is the reason.

    Raises:
        BrokerError: A person has to act.
        Fenced: Another worker has taken over.
        Away: Kafka cannot be reached, or is not ready.
        Retry: Starting again from what is committed may help.
    """
    try:
        yield
    except KafkaException as error:
        found = next_action(worker, error, heard)
        raise found from found.__cause__


def next_action(
    worker: str, error: KafkaException, heard: Callable[[], KafkaError | None] = lambda: None
) -> BrokerError | Retry:
    """The error that says what to do next, with its reason as the cause; `as_next_action` has the arguments."""
    reason = error.args[0] if error.args and isinstance(error.args[0], KafkaError) else None
    if reason is None:
        return Retry(plainly(error))  # not of Kafka
    action = action_for(reason)
    if action in (Away, Retry) and (said := heard()) is not None:
        reason, action, error = said, BrokerError if said.code() in REFUSALS else action_for(said), KafkaException(said)
    found = action(_sentence(worker, reason, action))
    found.__cause__ = error
    return found


def _sentence(worker: str, reason: KafkaError, action: type[BrokerError | Retry]) -> str:
    if action is BrokerError:
        advice = _ADVICE.get(reason.code(), _ADVICE_FOR_ALL_ELSE)
        return f"Kafka refuses {worker}: {plainly(reason).rstrip('.')} ({reason.name()}). {advice}"
    return f"another worker has taken over ({plainly(reason)})" if action is Fenced else plainly(reason)


def again(step: Callable[[float], Result], deadline: Deadline) -> Result:
    """Call `step` with the seconds left until it goes through, as long as Kafka says that trying again may help.

    Raises:
        KafkaException: It does not help, or the deadline has passed.
    """
    return retries.again(lambda: step(max(0.1, deadline.remaining())), deadline, passes=may_pass)


def may_pass(error: BaseException) -> bool:
    """Whether the same call may go through a little later."""
    reason = error.args[0] if isinstance(error, KafkaException) and error.args else None
    if not isinstance(reason, KafkaError) or reason.txn_requires_abort() or reason.fatal():
        return False
    return action_for(reason) is Away
