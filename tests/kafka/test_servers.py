"""Under every kind of server that services run on, a tap delivers all it takes and delays nobody.

`benchmarks/servers.py` has the servers; docs/capture.md has its table.
"""

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from servers import NOWHERE, SERVERS, Service, measured

from patiently import eventually

pytestmark = pytest.mark.kafka

REQUESTS = 60
ALLOWED_MS = 60.0
"""Far more than a tap costs, on a machine with other work too; one that blocks an event loop adds 200."""

ROUNDS = 4


@pytest.mark.parametrize("server", SERVERS)
def test_a_tap_delivers_everything_and_delays_no_client(server: str, bootstrap: str, namespace: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = admin.create_topics([NewTopic(f"{namespace}.{name}", 1, 1) for name in ("requests", "predictions")])
    for future in topics.values():
        future.result(30)
    with Service(server, bootstrap, namespace) as service:
        service.ask(REQUESTS)
        eventually(lambda: service.counters()["delivered"] == 2 * REQUESTS, 60)
        assert service.counters() == {"captured": 2 * REQUESTS, "delivered": 2 * REQUESTS, "lost": 0}
    seen: list[tuple[float, float]] = []
    while not any(tapped < bare + ALLOWED_MS for bare, tapped in seen):
        assert len(seen) < ROUNDS, f"p90 in ms without a tap and with one whose Kafka is away: {seen}"
        bare, tapped = (measured(server, kafka, namespace, REQUESTS)["p90"] for kafka in ("", NOWHERE))
        seen.append((bare, tapped))
