"""Posts on real sockets: what is signed, what is tried again, what is never shown."""

import hashlib
import hmac
import socket
import threading
import tracemalloc
from collections.abc import Iterator

import pytest

from outsiders import OUTSIDERS, Manners, bomb, good_news_without_end, outsider, silent
from receiver import Receiver, receiving
from shadowbus.clock import monotonic
from shadowbus.webhook import loop
from shadowbus.webhook.post import Answer, Later, Refused, Taken, post
from shadowbus.webhook.signature import genuine, signed

NOW = 1_700_000_000


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def posted(url: str, timeout_s: float = 5.0, **headers: str) -> Answer:
    return post(url, b'{"a": 1}', headers, timeout_s)


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


TIMEOUT_S = 0.5
SLACK_S = 10.0
"""What a loaded machine may take longer than the deadline; every outsider here would take for ever."""
MOST_BYTES = 4 << 20


def bounded(url: str) -> Answer:
    """A post that neither takes long nor grows, whatever is at the other end."""
    tracemalloc.start()
    started = monotonic()
    answer = posted(url, TIMEOUT_S)
    took, (_, peak) = monotonic() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < TIMEOUT_S + SLACK_S
    assert peak < MOST_BYTES
    return answer


@pytest.mark.parametrize("manners", OUTSIDERS)
def test_no_receiver_holds_a_post_up_or_makes_it_grow(manners: Manners) -> None:
    posted("http://127.0.0.1:1/", TIMEOUT_S)  # what is imported at the first post is not the receiver's
    with outsider(manners) as port:
        answer = bounded(f"http://127.0.0.1:{port}/hooks/s3cr3t-path")
        if manners is good_news_without_end:
            assert answer == Taken(200)
        else:
            assert isinstance(answer, Later)
            assert "s3cr3t" not in answer.reason
            assert len(answer.reason) < 300


def test_a_packed_answer_is_not_unpacked() -> None:
    with outsider(bomb) as port:
        assert posted(f"http://127.0.0.1:{port}/") == Later(f"http://127.0.0.1:{port} answered 503")


def test_a_receiver_that_reads_nothing_is_given_up_at_the_deadline() -> None:
    with outsider(silent, reads=False) as port:
        started = monotonic()
        answer = post(f"http://127.0.0.1:{port}/", b"1" * (32 << 20), {}, TIMEOUT_S)
        assert monotonic() - started < TIMEOUT_S + SLACK_S
        assert isinstance(answer, Later)


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_handshake_or_a_proxy_that_hangs_is_given_up_at_the_deadline(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with outsider(silent, reads=False) as port:
        if scheme == "http":
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
            answer = bounded("http://receiver.invalid/hooks/s3cr3t-path")
        else:
            answer = bounded(f"https://127.0.0.1:{port}/")
    assert isinstance(answer, Later)
    assert f"within {TIMEOUT_S:g} s" in answer.reason


def test_nobody_who_takes_the_connection_is_given_up_at_the_deadline() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        answer = bounded(f"http://127.0.0.1:{full.getsockname()[1]}/")
        for one in waiting:
            one.close()
    assert isinstance(answer, Later)


def test_names_that_nobody_resolves_are_given_up_and_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    release, asked = threading.Event(), threading.Semaphore(0)

    def hangs(*_: object, **__: object) -> list[object]:
        asked.release()
        release.wait()
        raise OSError("nobody answers")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    try:
        answer = bounded("http://receiver.invalid/")
        assert answer == Later(f"http://receiver.invalid did not answer within {TIMEOUT_S:g} s")
        for _ in range(loop.MOST_AT_ONCE - 1):
            posted("http://receiver.invalid/", 0.01)
        assert isinstance(posted("http://receiver.invalid/", 60.0), Later)
        hanging = [one for one in threading.enumerate() if one.name == "look-up"]
        assert len(hanging) == loop.MOST_AT_ONCE
        assert all(one.daemon for one in hanging)
    finally:
        release.set()
        for one in hanging:
            one.join(10)


@pytest.mark.parametrize("proxy", ["gopher://127.0.0.1:1", "socks5://127.0.0.1:1", "http://[", "::::"])
def test_a_proxy_that_cannot_be_used_is_refused_in_words(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    answer = posted("http://receiver.invalid/hooks/s3cr3t-path", TIMEOUT_S)
    assert isinstance(answer, Refused | Later)
    assert "s3cr3t" not in answer.reason


@pytest.mark.parametrize(
    "url", ["http://a..b/", "http://" + "a" * 70 + ".example/", "http://x\x00y/", "http://\ud800/"]
)
def test_an_address_that_cannot_be_one_is_an_answer_too(url: str) -> None:
    assert isinstance(posted(url, TIMEOUT_S), Refused | Later)


def test_what_an_answer_says_of_the_address_or_to_a_terminal_is_not_shown(receiver: Receiver) -> None:
    receiver.statuses, receiver.says = [404], b"no\x1b[2J \xe2\x80\xae/hooks/s3cr3t-path here\n" + b"x" * 1000
    answer = posted(receiver.url())
    assert isinstance(answer, Refused)
    assert answer.reason.partition("404: ")[2].startswith("no[2J /******** here xxx")
    assert len(answer.reason) < 300


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
