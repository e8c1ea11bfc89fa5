"""Posts on real sockets: what is signed, what is tried again, what is never shown."""

import hashlib
import hmac
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from receiver import Receiver, receiving
from shadowbus.webhook.post import Answer, Later, Refused, Taken, post
from shadowbus.webhook.signature import genuine, signed

NOW = 1_700_000_000


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def posted(url: str, timeout_s: float = 5.0, **headers: str) -> Answer:
    with httpx.Client() as client:
        return post(client, url, b'{"a": 1}', headers, timeout_s)


def test_what_is_taken_arrived_byte_for_byte(receiver: Receiver) -> None:
    assert posted(receiver.url(), Extra="yes") == Taken(200)
    (got,) = receiver.got
    assert (got.path, got.body, got.headers["Extra"]) == ("/hooks/s3cr3t-path", b'{"a": 1}', "yes")
    assert got.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503])
def test_what_may_pass_is_for_later(receiver: Receiver, status: int) -> None:
    receiver.statuses, receiver.headers = [status], {"Retry-After": "17"}
    answer = posted(receiver.url())
    assert answer == Later(f"http://127.0.0.1:{receiver.port}/******** answered {status}: ok", 17.0)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410])
def test_what_a_person_has_to_mend_is_refused_and_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    receiver.statuses, receiver.headers = [status], {"Location": receiver.url("/elsewhere")}
    assert isinstance(posted(receiver.url()), Refused)
    assert [got.path for got in receiver.got] == ["/hooks/s3cr3t-path"]


@pytest.mark.parametrize("asked", ["-1", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_wait_that_is_no_number_of_seconds_is_none(receiver: Receiver, asked: str) -> None:
    receiver.statuses, receiver.headers = [503], {"Retry-After": asked}
    answer = posted(receiver.url())
    assert isinstance(answer, Later)
    assert answer.wait_s == 0.0


def test_no_wait_is_longer_than_an_hour(receiver: Receiver) -> None:
    receiver.statuses, receiver.headers = [503], {"Retry-After": "99999999"}
    answer = posted(receiver.url())
    assert isinstance(answer, Later)
    assert answer.wait_s == 3600.0


def test_nobody_listening_is_for_later_and_the_path_is_not_shown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    answer = posted(f"http://127.0.0.1:{port}/hooks/s3cr3t-path")
    assert isinstance(answer, Later)
    assert "s3cr3t" not in answer.reason


def test_no_answer_in_time_is_for_later(receiver: Receiver) -> None:
    release = threading.Event()
    receiver.before = lambda: release.wait(20)
    answer = posted(receiver.url(), timeout_s=0.2)
    release.set()
    assert isinstance(answer, Later)
    assert "within 0.2 s" in answer.reason


def test_the_signature_is_what_the_page_says() -> None:
    body = b'{"verdict": "PROMOTE"}'
    wanted = "v1=" + hmac.new(b"s", b"1700000000." + body, hashlib.sha256).hexdigest()
    assert signed("s", NOW, body) == {"X-Shadowbus-Timestamp": "1700000000", "X-Shadowbus-Signature": wanted}
    assert genuine("s", "1700000000", body, wanted, NOW + 299)


def test_what_is_changed_old_or_signed_with_another_secret_is_not_genuine() -> None:
    given = signed("s", NOW, b"{}")["X-Shadowbus-Signature"]
    assert not genuine("s", str(NOW), b"{ }", given, NOW)
    assert not genuine("t", str(NOW), b"{}", given, NOW)
    assert not genuine("s", str(NOW + 1), b"{}", given, NOW)
    assert not genuine("s", str(NOW), b"{}", given, NOW + 301)
    assert not genuine("s", str(NOW), b"{}", given, NOW - 301)
    for broken in ("", "-1", "1e9", "9" * 30, "\u0661\u0667"):
        assert not genuine("s", broken, b"{}", given, NOW)
    assert not genuine("s", str(NOW), b"{}", "v1=é", NOW)


def test_nothing_is_signed_without_a_secret() -> None:
    assert signed("", NOW, b"{}") == {}
