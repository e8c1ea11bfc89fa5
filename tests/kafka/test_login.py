"""A broker that asks for a password: whoever has a wrong one, or none, is told so by every door, in seconds."""

from collections.abc import Iterator

import pytest

from shadowbus.broker.cluster import EmbeddedKafka
from shadowbus.broker.folder import HOST, free_ports
from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.reaching import reach
from shadowbus.settings import Settings

pytestmark = pytest.mark.kafka

PASSWORD = "the right one"  # noqa: S105


@pytest.fixture(scope="module")
def locked() -> Iterator[str]:
    """Where a broker asks for the password of `alice`."""
    plain, sasl, controller = free_ports(3)
    properties = {
        "listeners": f"PLAINTEXT://{HOST}:{plain},SASL://{HOST}:{sasl},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{plain},SASL://{HOST}:{sasl}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": (
            f'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="{PASSWORD}";'
        ),
    }
    with EmbeddedKafka(port=plain, properties=properties):
        yield f"{HOST}:{sasl}"


def kafka(locked: str, **changes: str) -> dict[str, object]:
    right = {"sasl.mechanism": "PLAIN", "sasl.username": "alice", "sasl.password": PASSWORD}
    return {"bootstrap.servers": locked, "security.protocol": "sasl_plaintext", **right, **changes}


def test_the_right_password_opens(locked: str) -> None:
    assert reach(make_admin(Settings("churn", kafka=kafka(locked)))).brokers


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sasl.password": "a wrong one"}, "refuses the login (SASL authentication error: Authentication failed"),
        ({"sasl.username": "bob"}, "correct sasl.username, sasl.password"),
        ({"sasl.mechanism": "SCRAM-SHA-256"}, "sasl.mechanism"),
        ({"security.protocol": "plaintext"}, "correct security.protocol in [kafka], which is plaintext"),
        ({"security.protocol": "ssl"}, "correct security.protocol in [kafka]"),
    ],
    ids=["password", "user", "mechanism", "no login", "tls"],
)
def test_what_really_is_wrong_is_told(locked: str, changes: dict[str, str], words: str) -> None:
    with pytest.raises(BrokerError) as raised:
        reach(make_admin(Settings("churn", kafka=kafka(locked, **changes))))
    assert words in str(raised.value)
    assert locked in str(raised.value)
