"""What clients say on the side of their calls: the reason is kept, not what only sums it up."""

from confluent_kafka import KafkaError

from shadowbus.kafka.client_errors import ClientErrors

REASON = KafkaError(KafkaError._SSL, "SSL handshake failed: connecting to a PLAINTEXT broker listener?")
SUM = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")


def test_that_all_brokers_are_down_does_not_hide_why() -> None:
    heard = ClientErrors()
    heard.note(SUM)
    assert "brokers are down" in heard.words
    heard.note(REASON)
    heard.note(SUM)
    assert "PLAINTEXT broker listener" in heard.words
