"""Why Kafka does not answer: each reason is told as what it is, in good time, with what to do."""

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shadowbus.errors import BrokerError
from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.reaching import ANSWER_S, PATIENCE, reach
from shadowbus.settings import Settings

LOCAL = "127.0.0.1"


def told(address: str, **kafka: object) -> str:
    """What is said, and that it is said in good time."""
    settings = Settings("churn", kafka={"bootstrap.servers": address, PATIENCE: 1_500, **kafka})
    started = time.monotonic()
    with pytest.raises(BrokerError) as raised:
        reach(make_admin(settings))
    assert time.monotonic() - started < 1.5 + 2.0
    return str(raised.value)


@contextmanager
def listening(deed: str, certificate: Path | None = None) -> Iterator[str]:
    """Something at an address that is no Kafka: it stays silent, closes each connection, or only shakes hands."""
    with socket.create_server((LOCAL, 0)) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if context is not None:
            context.load_cert_chain(str(certificate))
        kept: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    if context is not None:
                        connection = context.wrap_socket(connection, server_side=True)
                except ssl.SSLError:
                    continue
                except OSError:
                    return
                kept.append(connection)
                if deed == "closes":
                    connection.close()

        serving = threading.Thread(target=serve)
        serving.start()
        yield f"{LOCAL}:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)  # which ends the accept that waits
        serving.join()
        for connection in kept:
            connection.close()


def certificate(path: Path, days: int, address: str = LOCAL) -> Path:
    """A certificate for an address that signs itself, and its key; how many days it is still good for."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOCAL)])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=100))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(encoding))
    return path


def test_nothing_listens() -> None:
    with socket.create_server((LOCAL, 0)) as server:
        address = f"{LOCAL}:{server.getsockname()[1]}"
    said = told(address)
    assert said.startswith(f"Nothing listens at {address}: start Kafka, or correct bootstrap.servers")


def test_a_name_that_nobody_knows() -> None:
    said = told("kafka.invalid:9092")
    assert "cannot be resolved" in said
    assert "kafka.invalid:9092" in said
    assert "bootstrap.servers" in said


def test_no_answer_at_all() -> None:
    with listening("silent") as address:
        said = told(address)
    assert said.startswith(f"Kafka at {address} did not answer within 1.5 s")
    assert PATIENCE in said


def test_something_that_closes_each_connection() -> None:
    with listening("closes") as address:
        said = told(address)
    assert said.startswith(f"Kafka at {address} closes every connection: correct security.protocol")
    assert "which is plaintext" in said


@pytest.mark.parametrize(
    ("days", "address", "trusted", "words"),
    [
        (-1, LOCAL, True, "(certificate has expired): have the certificate renewed."),
        (9, LOCAL, False, "correct ssl.ca.location"),
        (9, "127.9.9.9", True, "have the certificate made for this name"),
    ],
    ids=["expired", "of somebody else", "for another name"],
)
def test_a_certificate_that_cannot_be_trusted(
    tmp_path: Path, days: int, address: str, trusted: bool, words: str
) -> None:
    ours = certificate(tmp_path / "ours.pem", days, address)
    known = ours if trusted else certificate(tmp_path / "other.pem", 9)
    with listening("silent", ours) as server:
        said = told(server, **{"security.protocol": "ssl", "ssl.ca.location": str(known)})
    assert said.startswith(f"There is no secure connection to Kafka at {server} (")
    assert words in said


def test_the_worst_of_several_reasons_is_told() -> None:
    with socket.create_server((LOCAL, 0)) as server:
        address = f"{LOCAL}:{server.getsockname()[1]}"
    assert "Nothing listens" in told(f"kafka.invalid:9092,{address}")


def test_three_seconds_are_the_default() -> None:
    admin = make_admin(Settings("churn", kafka={"bootstrap.servers": "127.0.0.1:1"}))
    assert admin.patience_s == ANSWER_S == 3.0
