"""Whether this user may write in transactions, which only a try can tell."""

from confluent_kafka import KafkaError, KafkaException

from shadowbus.kafka.clients import make_producer, plainly
from shadowbus.settings import Settings

_ANOTHER = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
"""Somebody else tries under the same id at this moment: it works for both."""


def try_transaction(settings: Settings, transactional_id: str, seconds: float) -> tuple[str, str]:
    """Begin a transaction and abort it, with nothing in it.

    Args:
        settings: How to reach Kafka, and the time a worker's transaction may take.
        transactional_id: Nobody else's: whoever uses it is fenced.
        seconds: How long Kafka may take.

    Returns:
        Kafka's code and Kafka's words for why it did not work; both are empty when it did.
    """
    limits = {"transaction.timeout.ms": settings.worker.transaction_timeout_ms}
    producer = make_producer(settings, **{"transactional.id": transactional_id, **limits})
    try:
        producer.init_transactions(seconds)
        producer.begin_transaction()
        producer.abort_transaction(seconds)
    except KafkaException as error:
        reason = error.args[0]
        if reason.code() in _ANOTHER:
            return "", ""
        return reason.name(), plainly(error)
    finally:
        producer.purge()
    return "", ""
