"""The `[kafka]` settings, which are librdkafka's, in the terms of Faust's client: addresses and credentials.

What concerns security and cannot be said there is an error, never left out; any other property only tunes librdkafka.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from shadowbus.errors import SettingsError

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
_USED = {
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "enable.ssl.certificate.verification",
    "ssl.endpoint.identification.algorithm",
}


@dataclass(frozen=True, slots=True)
class Sasl:
    """Who logs in, and how."""

    mechanism: str
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class FaustKafka:
    """How Faust reaches Kafka: `kafka://` addresses, and credentials where the cluster asks for them."""

    brokers: tuple[str, ...]
    tls: ssl.SSLContext | None = None
    sasl: Sasl | None = None


def faust_kafka(properties: Mapping[str, object]) -> FaustKafka:
    """Translate librdkafka properties.

    Raises:
        SettingsError: There is no bootstrap server, or the security asked for is more than Faust's client can do.
    """
    text = {key: str(value) for key, value in properties.items()}
    servers = [server.strip() for server in text.get("bootstrap.servers", "").split(",") if server.strip()]
    if not servers:
        raise SettingsError('[kafka] needs "bootstrap.servers", such as "localhost:9092".')
    for key in text:
        if key.startswith(("ssl.", "sasl.", "security.", "enable.ssl.", "https.")) and key not in _USED:
            raise SettingsError(f"The agents cannot use the property {key!r} of [kafka]; the other workers can.")
    protocol = text.get("security.protocol", "plaintext").lower()
    if protocol not in PROTOCOLS:
        raise SettingsError(f"[kafka] security.protocol has to be one of {', '.join(PROTOCOLS)}, not {protocol!r}.")
    return FaustKafka(
        tuple(f"kafka://{server.rpartition('://')[2]}" for server in servers),
        _tls(text) if protocol.endswith("ssl") else None,
        _sasl(text) if protocol.startswith("sasl") else None,
    )


def _sasl(text: Mapping[str, str]) -> Sasl:
    mechanism = text.get("sasl.mechanism", text.get("sasl.mechanisms", "GSSAPI")).upper()
    if mechanism not in MECHANISMS:
        raise SettingsError(f"The agents can log in with {', '.join(MECHANISMS)}, not with sasl.mechanism {mechanism}.")
    for key in ("sasl.username", "sasl.password"):
        if not text.get(key):
            raise SettingsError(f"[kafka] needs {key!r} for sasl.mechanism {mechanism}.")
    return Sasl(mechanism, text["sasl.username"], text["sasl.password"])


def _tls(text: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=text.get("ssl.ca.location"))
        if certificate := text.get("ssl.certificate.location"):
            context.load_cert_chain(certificate, text.get("ssl.key.location"), text.get("ssl.key.password"))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"A certificate or key named in [kafka] cannot be used: {error}.") from error
    verify = text.get("enable.ssl.certificate.verification", "true").lower() == "true"
    if not verify or text.get("ssl.endpoint.identification.algorithm", "https").lower() == "none":
        context.check_hostname = False
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    return context
