"""What Kafka complains about, and what to do next: for every code that the client knows."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from shadowbus.errors import Away, BrokerError, Fenced, Retry, ShadowbusError
from shadowbus.kafka import error_classes
from shadowbus.kafka.error_classes import action_for, as_next_action, may_pass

CODES = {
    name: getattr(KafkaError, name)
    for name in dir(KafkaError)
    if name.isupper() and isinstance(getattr(KafkaError, name), int)
}

FENCED = [
    "_FENCED",
    "FENCED_INSTANCE_ID",
    "UNKNOWN_MEMBER_ID",
    "ILLEGAL_GENERATION",
    "FENCED_MEMBER_EPOCH",
    "STALE_MEMBER_EPOCH",
    "INVALID_PRODUCER_EPOCH",
    "PRODUCER_FENCED",
]

AWAY = [
    "_TRANSPORT",
    "_RESOLVE",
    "_ALL_BROKERS_DOWN",
    "_TIMED_OUT",
    "_TIMED_OUT_QUEUE",
    "_MSG_TIMED_OUT",
    "_WAIT_COORD",
    "_WAIT_CACHE",
    "_ISR_INSUFF",
    "_NODE_UPDATE",
    "_RETRY",
    "_QUEUE_FULL",
    "_UNKNOWN_BROKER",
    "_DESTROY_BROKER",
    "LEADER_NOT_AVAILABLE",
    "NOT_LEADER_FOR_PARTITION",
    "REQUEST_TIMED_OUT",
    "BROKER_NOT_AVAILABLE",
    "REPLICA_NOT_AVAILABLE",
    "STALE_CTRL_EPOCH",
    "STALE_BROKER_EPOCH",
    "NETWORK_EXCEPTION",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "COORDINATOR_NOT_AVAILABLE",
    "NOT_COORDINATOR",
    "NOT_ENOUGH_REPLICAS",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "NOT_CONTROLLER",
    "KAFKA_STORAGE_ERROR",
    "FETCH_SESSION_ID_NOT_FOUND",
    "INVALID_FETCH_SESSION_EPOCH",
    "LISTENER_NOT_FOUND",
    "FENCED_LEADER_EPOCH",
    "UNKNOWN_LEADER_EPOCH",
    "OFFSET_NOT_AVAILABLE",
    "PREFERRED_LEADER_NOT_AVAILABLE",
    "ELIGIBLE_LEADERS_NOT_AVAILABLE",
    "REASSIGNMENT_IN_PROGRESS",
    "THROTTLING_QUOTA_EXCEEDED",
    "UNSTABLE_OFFSET_COMMIT",
    "CONCURRENT_TRANSACTIONS",
    "REBOOTSTRAP_REQUIRED",
]

AGAIN = [
    "_STATE",
    "_FAIL",
    "_FATAL",
    "_DESTROY",
    "_BAD_MSG",
    "_UNKNOWN_PARTITION",
    "_PURGE_QUEUE",
    "_PURGE_INFLIGHT",
    "_CONFLICT",
    "_IN_PROGRESS",
    "_PREV_IN_PROGRESS",
    "_OUTDATED",
    "_PARTIAL",
    "_UNDERFLOW",
    "_INTR",
    "_GAPLESS_GUARANTEE",
    "_INCONSISTENT",
    "_MAX_POLL_EXCEEDED",
    "_ASSIGNMENT_LOST",
    "_NO_OFFSET",
    "_AUTO_OFFSET_RESET",
    "_LOG_TRUNCATION",
    "_SSL",
    "UNKNOWN",
    "OFFSET_OUT_OF_RANGE",
    "INVALID_MSG",
    "REBALANCE_IN_PROGRESS",
    "OUT_OF_ORDER_SEQUENCE_NUMBER",
    "DUPLICATE_SEQUENCE_NUMBER",
    "INVALID_TXN_STATE",
    "INVALID_PRODUCER_ID_MAPPING",
    "UNKNOWN_PRODUCER_ID",
    "TRANSACTION_COORDINATOR_FENCED",
    "TRANSACTION_ABORTABLE",
    "MEMBER_ID_REQUIRED",
    "UNRELEASED_INSTANCE_ID",
    "UNKNOWN_TOPIC_ID",
    "INCONSISTENT_TOPIC_ID",
]

REFUSED = [
    "_BAD_COMPRESSION",
    "_CRIT_SYS_RESOURCE",
    "_PARTITION_EOF",
    "_FS",
    "_UNKNOWN_TOPIC",
    "_INVALID_ARG",
    "_UNKNOWN_GROUP",
    "_EXISTING_SUBSCRIPTION",
    "_ASSIGN_PARTITIONS",
    "_REVOKE_PARTITIONS",
    "_UNKNOWN_PROTOCOL",
    "_NOT_IMPLEMENTED",
    "_AUTHENTICATION",
    "_UNSUPPORTED_FEATURE",
    "_KEY_SERIALIZATION",
    "_VALUE_SERIALIZATION",
    "_KEY_DESERIALIZATION",
    "_VALUE_DESERIALIZATION",
    "_READ_ONLY",
    "_NOENT",
    "_INVALID_TYPE",
    "_NOT_CONFIGURED",
    "_APPLICATION",
    "_NOOP",
    "_INVALID_DIFFERENT_RECORD",
    "NO_ERROR",
    "UNKNOWN_TOPIC_OR_PART",
    "INVALID_MSG_SIZE",
    "MSG_SIZE_TOO_LARGE",
    "OFFSET_METADATA_TOO_LARGE",
    "TOPIC_EXCEPTION",
    "RECORD_LIST_TOO_LARGE",
    "INVALID_REQUIRED_ACKS",
    "INCONSISTENT_GROUP_PROTOCOL",
    "INVALID_GROUP_ID",
    "INVALID_SESSION_TIMEOUT",
    "INVALID_COMMIT_OFFSET_SIZE",
    "TOPIC_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "INVALID_TIMESTAMP",
    "UNSUPPORTED_SASL_MECHANISM",
    "ILLEGAL_SASL_STATE",
    "UNSUPPORTED_VERSION",
    "TOPIC_ALREADY_EXISTS",
    "INVALID_PARTITIONS",
    "INVALID_REPLICATION_FACTOR",
    "INVALID_REPLICA_ASSIGNMENT",
    "INVALID_CONFIG",
    "INVALID_REQUEST",
    "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    "POLICY_VIOLATION",
    "INVALID_TRANSACTION_TIMEOUT",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    "SECURITY_DISABLED",
    "OPERATION_NOT_ATTEMPTED",
    "LOG_DIR_NOT_FOUND",
    "SASL_AUTHENTICATION_FAILED",
    "DELEGATION_TOKEN_AUTH_DISABLED",
    "DELEGATION_TOKEN_NOT_FOUND",
    "DELEGATION_TOKEN_OWNER_MISMATCH",
    "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED",
    "DELEGATION_TOKEN_AUTHORIZATION_FAILED",
    "DELEGATION_TOKEN_EXPIRED",
    "INVALID_PRINCIPAL_TYPE",
    "NON_EMPTY_GROUP",
    "GROUP_ID_NOT_FOUND",
    "TOPIC_DELETION_DISABLED",
    "UNSUPPORTED_COMPRESSION_TYPE",
    "GROUP_MAX_SIZE_REACHED",
    "ELECTION_NOT_NEEDED",
    "NO_REASSIGNMENT_IN_PROGRESS",
    "GROUP_SUBSCRIBED_TO_TOPIC",
    "INVALID_RECORD",
    "RESOURCE_NOT_FOUND",
    "DUPLICATE_RESOURCE",
    "UNACCEPTABLE_CREDENTIAL",
    "INCONSISTENT_VOTER_SET",
    "INVALID_UPDATE_VERSION",
    "FEATURE_UPDATE_FAILED",
    "PRINCIPAL_DESERIALIZATION_FAILURE",
    "UNSUPPORTED_ASSIGNOR",
    "MISMATCHED_ENDPOINT_TYPE",
    "UNSUPPORTED_ENDPOINT_TYPE",
    "UNKNOWN_CONTROLLER_ID",
    "UNKNOWN_SUBSCRIPTION_ID",
    "TELEMETRY_TOO_LARGE",
    "INVALID_REGISTRATION",
    "INVALID_RECORD_STATE",
    "SHARE_SESSION_NOT_FOUND",
    "INVALID_SHARE_SESSION_EPOCH",
    "FENCED_STATE_EPOCH",
    "INVALID_VOTER_KEY",
    "DUPLICATE_VOTER",
    "VOTER_NOT_FOUND",
    "INVALID_REGULAR_EXPRESSION",
    "STREAMS_INVALID_TOPOLOGY",
    "STREAMS_INVALID_TOPOLOGY_EPOCH",
    "STREAMS_TOPOLOGY_FENCED",
    "SHARE_SESSION_LIMIT_REACHED",
]

TABLE: dict[str, type[ShadowbusError]] = {
    **dict.fromkeys(FENCED, Fenced),
    **dict.fromkeys(AWAY, Away),
    **dict.fromkeys(AGAIN, Retry),
    **dict.fromkeys(REFUSED, BrokerError),
}


def raised(error: KafkaError, heard: KafkaError | None = None) -> ShadowbusError:
    with pytest.raises(ShadowbusError) as caught, as_next_action("replay", lambda: heard):
        raise KafkaException(error)
    return caught.value


def test_the_table_has_every_code_of_this_client_once() -> None:
    assert len(TABLE) == len(FENCED) + len(AWAY) + len(AGAIN) + len(REFUSED)
    assert set(TABLE) == set(CODES)


@pytest.mark.parametrize("name", sorted(CODES))
def test_each_code_is_what_the_table_says(name: str) -> None:
    error = raised(KafkaError(CODES[name], "because of this"))
    assert type(error) is TABLE[name]
    assert "because of this" in str(error)
    if type(error) is BrokerError:
        assert KafkaError(CODES[name]).name() in str(error)


@pytest.mark.parametrize("code", [*CODES.values(), 4711])
def test_what_kafka_calls_retriable_is_tried_again_and_nothing_that_is_fenced(code: int) -> None:
    action = action_for(KafkaError(code, retriable=True))
    assert action is (Fenced if KafkaError(code).name() in {KafkaError(CODES[one]).name() for one in FENCED} else Away)


def test_a_code_of_a_later_kafka_is_for_a_person_unless_its_transaction_only_has_to_be_aborted() -> None:
    assert action_for(KafkaError(4711)) is BrokerError
    assert action_for(KafkaError(4711, txn_requires_abort=True)) is Retry
    assert action_for(KafkaError(4711, fatal=True)) is BrokerError


@pytest.mark.parametrize(
    "name", ["TOPIC_AUTHORIZATION_FAILED", "MSG_SIZE_TOO_LARGE", "POLICY_VIOLATION", "INVALID_RECORD"]
)
def test_a_transaction_that_would_be_refused_again_is_not_begun_again(name: str) -> None:
    assert action_for(KafkaError(CODES[name], txn_requires_abort=True)) is BrokerError


@pytest.mark.parametrize("suffers", ["_TIMED_OUT", "_STATE", "_ALL_BROKERS_DOWN", "_TRANSPORT"])
@pytest.mark.parametrize("said", ["_AUTHENTICATION", "_SSL", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"])
def test_what_was_said_on_the_side_is_the_reason_where_a_call_only_suffers(suffers: str, said: str) -> None:
    error = raised(KafkaError(CODES[suffers], "too late"), KafkaError(CODES[said], "the password is wrong"))
    assert type(error) is BrokerError
    assert "the password is wrong" in str(error)
    assert "too late" not in str(error)


def test_a_producer_that_was_fenced_for_good_is_no_reason_for_a_person_to_act() -> None:
    assert type(raised(KafkaError(KafkaError._STATE), KafkaError(KafkaError._FENCED, fatal=True))) is Fenced
    assert type(raised(KafkaError(KafkaError.PRODUCER_FENCED), KafkaError(KafkaError._AUTHENTICATION))) is Fenced


def test_advice_is_given_by_what_is_refused() -> None:
    assert "topics --check" in str(raised(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
    assert "password" in str(raised(KafkaError(KafkaError._AUTHENTICATION)))
    assert "rights" in str(raised(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)))
    assert "[worker]" in str(raised(KafkaError(KafkaError.INVALID_TRANSACTION_TIMEOUT)))


def test_a_call_is_repeated_only_where_that_may_help_the_same_transaction() -> None:
    assert may_pass(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
    assert may_pass(KafkaException(KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)))
    assert not may_pass(KafkaException(KafkaError(KafkaError._TIMED_OUT, txn_requires_abort=True)))
    assert not may_pass(KafkaException(KafkaError(KafkaError._TIMED_OUT, fatal=True)))
    assert not may_pass(KafkaException(KafkaError(KafkaError._STATE)))
    assert not may_pass(ValueError("not of Kafka"))


def test_a_consumer_that_goes_on_trying_is_left_to_it() -> None:
    assert {CODES[name] for name in AWAY} == error_classes.PASSING
