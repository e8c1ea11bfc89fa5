"""An agent of your own, on nothing but confluent-kafka: how often both models agree, by country.

SHADOWBUS_CONFIG=shadow.toml python examples/agent_consumer.py
"""

import os
from collections import defaultdict
from pathlib import Path

from confluent_kafka import Consumer

from shadowbus.reading import topic_of
from shadowbus.records import Comparison, decode
from shadowbus.settings import load_settings

settings = load_settings(Path(os.environ.get("SHADOWBUS_CONFIG", "shadow.toml")))
sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
consumer = Consumer(
    {
        **settings.kafka_for("consumer"),
        "group.id": f"{settings.namespace}.agreement-plain",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,  # the sums are in memory only: a restart counts from the beginning
        "isolation.level": "read_committed",
    }
)
consumer.subscribe([topic_of(settings, Comparison)])
while True:
    for message in consumer.consume(1_000, timeout=1.0):
        if message.error() is None:
            comparison = decode(Comparison, message.value())
            if comparison.agree is not None:
                sums[str(comparison.segments.get("country"))][comparison.agree] += 1
    for country, (differ, agree) in sorted(sums.items()):
        print(f"{country}: {agree} of {agree + differ} agree", flush=True)
