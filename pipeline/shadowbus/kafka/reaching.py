"""Whether Kafka answers, in good time, and if not: why, in plain words, with what to do.

The calls themselves only say that they timed out. A wrong password, a certificate that has expired, a name that nobody
knows are told on the side, so an admin client keeps what it heard there.
"""

import logging
import re
import socket
import ssl
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from shadowbus.errors import BrokerError

ANSWER_S = 3.0
"""How long the first answer may take; the property PATIENCE in [kafka] says otherwise, in milliseconds."""

LIST_S = 20.0
"""How long a Kafka that answers may take to list its topics."""

PATIENCE = "socket.connection.setup.timeout.ms"

QUIET = logging.getLogger("shadowbus.librdkafka.asking")
"""What it logs says no more than what it is told, at each of its tries."""
QUIET.setLevel(logging.CRITICAL)

_LOGIN = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.UNSUPPORTED_SASL_MECHANISM}
_AROUND = re.compile(r"^\S+/\w+: |^\S+://\S+: | \(after \d+ms in state \w+[^)]*\)| \(_\w+\)")
"""Where librdkafka says which connection it was, and for how long."""


class Admin(AdminClient):
    """An admin client that keeps what it is told on the side of its calls.

    Attributes:
        servers: Where it looks for Kafka.
        patience_s: How long the first answer may take.
        heard: The last errors.
    """

    def __init__(self, properties: dict[str, Any]) -> None:
        self.servers = str(properties["bootstrap.servers"])
        self.authorities = str(properties.get("ssl.ca.location", ""))
        self.security = str(properties.get("security.protocol", "plaintext")).lower()
        self.patience_s = float(properties.get(PATIENCE, ANSWER_S * 1000)) / 1000
        self.heard: deque[KafkaError] = deque(maxlen=50)
        said: dict[str, Any] = {"error_cb": self.heard.append, "logger": QUIET}
        super().__init__({**properties, **said})


def reach(admin: Admin, seconds: float | None = None) -> Any:
    """The cluster's metadata.

    Args:
        admin: Asks.
        seconds: How long the answer may take, if that is less than the admin's patience.

    Raises:
        BrokerError: No broker answers in time; the sentence says why.
    """
    within = admin.patience_s if seconds is None else min(seconds, admin.patience_s)
    try:
        # A small question first: what answers it is there, and a list of thousands of topics may take its time.
        admin.describe_cluster(request_timeout=within).result()
        return admin.list_topics(timeout=max(within, LIST_S))
    except KafkaException as error:
        admin.poll(0)  # what was said on the side is handed over now
        raise BrokerError(_why(admin, list(admin.heard), within)) from error


def existing_topics(admin: Admin, names: Iterable[str], seconds: float | None = None) -> dict[str, Any]:
    """The metadata of those of these topics that exist, by name.

    Args:
        admin: Asks.
        names: Full names.
        seconds: As for `reach`.

    Raises:
        BrokerError: No broker answers in time, or one of them may exist: this user may not know.
    """
    present = reach(admin, seconds).topics
    found: dict[str, Any] = {}
    for name in names:
        if name in present:
            found[name] = present[name]
        else:  # a list leaves out what this user may not see, as if it did not exist
            _may_know(admin, name)
    return found


def _may_know(admin: Admin, name: str) -> None:
    try:
        error = admin.list_topics(name, timeout=max(admin.patience_s, LIST_S)).topics[name].error
    except KafkaException as unanswered:
        raise BrokerError(_why(admin, list(admin.heard), admin.patience_s)) from unanswered
    if error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        raise BrokerError(f"Kafka does not let this user know of the topic {name}.") from KafkaException(error)


def _why(admin: Admin, heard: Sequence[KafkaError], seconds: float) -> str:
    """Why Kafka does not answer, and what to do, from what the client said on the side."""
    servers = admin.servers
    said = {error.code(): _plain(error.str()) for error in heard}
    all_said = " ".join(_plain(error.str()) for error in heard)  # another broker may have said what really is wrong
    for code in _LOGIN & said.keys():
        return (
            f"Kafka at {servers} refuses the login ({said[code]}): correct sasl.username, sasl.password, "
            "sasl.mechanism and security.protocol in [kafka]."
        )
    if words := said.get(KafkaError._SSL):
        words = _distrust(servers, admin.authorities) or words
        return f"There is no secure connection to Kafka at {servers} ({words}): {_about_tls(words)}"
    cut_off = KafkaError._ALL_BROKERS_DOWN in said and KafkaError._RESOLVE not in said and "refused" not in all_said
    if "isconnected" in all_said or cut_off:
        return (
            f"Kafka at {servers} closes every connection: correct security.protocol in [kafka], which is "
            f"{admin.security}, or look into the broker's log."
        )
    if "refused" in all_said:
        return (
            f"Nothing listens at {servers}: start Kafka, or correct bootstrap.servers; `shadowbus broker` starts one "
            "on this machine."
        )
    if words := said.get(KafkaError._RESOLVE):
        return f"The address of Kafka cannot be resolved ({words}): correct bootstrap.servers, or this machine's DNS."
    return (
        f"Kafka at {servers} did not answer within {seconds:g} s: check bootstrap.servers, the network and firewalls; "
        f'if it is only slow, raise "{PATIENCE}" in [kafka].'
    )


def _about_tls(words: str) -> str:
    if "expired" in words:
        return "have the certificate renewed."
    if "mismatch" in words or "not valid for" in words:
        return "correct bootstrap.servers, or have the certificate made for this name."
    if "verify" in words or "self" in words or "issuer" in words:
        return "correct ssl.ca.location in [kafka], which has to know who signed the broker's certificate."
    if "certificate" in words:
        return "correct ssl.certificate.location and ssl.key.location in [kafka]; the broker asks for a certificate."
    return "correct security.protocol in [kafka], or the port in bootstrap.servers: it may not speak TLS."


def _distrust(servers: str, authorities: str) -> str:
    """Why the first server's certificate cannot be trusted, which librdkafka does not say; empty where it can be."""
    host, _, port = servers.partition(",")[0].strip().rpartition("://")[2].rpartition(":")
    try:
        context = ssl.create_default_context(cafile=authorities or None)
        with (
            socket.create_connection((host, int(port)), 1.0) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return str(error.verify_message).rstrip(".")
    except (OSError, ValueError):
        return ""


def _plain(words: str) -> str:
    return _AROUND.sub("", words).strip().rstrip(".:")
