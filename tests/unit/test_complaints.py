"""What Kafka complains about, and what to do next."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from shadowbus.errors import BrokerError, Fenced, Retry, ShadowbusError
from shadowbus.kafka.complaints import as_next_action


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, BrokerError),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, BrokerError),
        (KafkaError.PRODUCER_FENCED, Fenced),
        (KafkaError.ILLEGAL_GENERATION, Fenced),
        (KafkaError._TIMED_OUT, Retry),
        # The group has assigned it, so it is there: a client whose brokers have just come back may not know of it yet.
        (KafkaError._UNKNOWN_PARTITION, Retry),
    ],
)
def test_a_complaint_becomes_what_to_do_next(code: int, action: type[ShadowbusError]) -> None:
    with pytest.raises(action) as raised, as_next_action("replay"):
        raise KafkaException(KafkaError(code, "because"))
    assert type(raised.value) is action
    assert "because" in str(raised.value)
