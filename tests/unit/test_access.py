"""Who may see the page, over real HTTP: names, origins, other pages, tokens, guesses, and how many pages there are."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from shadowbus.cli.program import run
from shadowbus.dashboard import guesses, pages
from shadowbus.dashboard.access import Access

TOKEN = "a-token-of-enough-letters"  # noqa: S105
BUILT: list[str] = []


class Served:
    """The guard around a page that says when it is built."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}")

    def get(self, path: str = "/", **headers: str) -> httpx.Response:
        return self.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def raw(self, head: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 10) as asking:
            asking.sendall(head)
            answer = b""
            while piece := asking.recv(65_536):
                answer += piece
        return answer


@contextmanager
def serving(token: str, most: int = 1_000) -> Iterator[Served]:
    def page(_: Request) -> PlainTextResponse:
        BUILT.append("page")
        return PlainTextResponse("the page")

    BUILT.clear()
    guard = Access(Starlette(routes=[Route("/", page)]), token, lambda _: len(BUILT) < most)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(guard, log_level="critical", lifespan="off"))
    running = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    running.start()
    served = Served(listening.getsockname()[1])
    try:
        yield served
    finally:
        served.client.close()
        server.should_exit = True
        running.join()
        listening.close()


@pytest.fixture
def local() -> Iterator[Served]:
    with serving("") as one:
        yield one


@pytest.fixture
def far() -> Iterator[Served]:
    with serving(TOKEN) as one:
        yield one


def test_without_a_token_only_this_machine_may_look(local: Served) -> None:
    assert local.get().text == "the page"
    assert local.get(host=f"localhost:{local.port}").status_code == 200
    assert local.get(host="rebound.example").status_code == 403
    assert local.get(origin="http://evil.example").status_code == 403
    assert local.get(origin=f"http://127.0.0.1:{local.port}").status_code == 200


CLICK = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "document", "sec_fetch_user": "?1"}


@pytest.mark.parametrize("site", ["cross-site", "same-site", "unheard-of"])
@pytest.mark.parametrize(
    "more",
    [
        {"sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"},
        {"sec_fetch_mode": "no-cors", "sec_fetch_dest": "script"},
        {**CLICK, "sec_fetch_dest": "iframe"},
        {"sec_fetch_mode": "navigate", "sec_fetch_dest": "document"},
        {},
    ],
)
def test_nothing_is_built_for_another_page(local: Served, site: str, more: dict[str, str]) -> None:
    assert local.get(sec_fetch_site=site, **more).status_code == 403
    assert BUILT == []


def test_a_person_may_come_by_a_link_or_by_typing(local: Served) -> None:
    assert local.get(sec_fetch_site="cross-site", **CLICK).status_code == 200
    assert local.get(sec_fetch_site="none", **CLICK).status_code == 200
    assert local.get(sec_fetch_site="same-origin").status_code == 200


@pytest.mark.parametrize("token", ["", TOKEN])
@pytest.mark.parametrize(
    "headers",
    [
        b"Host: [",
        b"Host: [::1",
        b"Host: ]:80",
        b"Host: \xff\xfe",
        b"Host: 127.0.0.1:99999999",
        b"Host: user@[x",
        b"Host: 127.0.0.1\r\nOrigin: http://[",
        b"Host: 127.0.0.1\r\nOrigin: ",
        b"Host: 127.0.0.1\r\nOrigin: null",
        b'Host: 127.0.0.1\r\nCookie: \xff="\\999"; shadowbus_ticket=\xe9; ;;==',
        b"Host: 127.0.0.1\r\nSec-Fetch-Site: \xff",
    ],
)
def test_no_header_is_a_fault_of_the_page(token: str, headers: bytes) -> None:
    with serving(token) as served:
        answer = served.raw(b"GET / HTTP/1.1\r\n" + headers + b"\r\nConnection: close\r\n\r\n")
        status = int(answer.split()[1])
        assert status < 500
        assert token == "" or status >= 400
        assert served.get().status_code in (200, 401)


@pytest.mark.parametrize(
    "path", ["//evil.example/", "//evil.example", "/\\evil.example/", "/%2F/evil.example/", "/any", "//", "/./"]
)
def test_the_right_token_leads_nowhere_but_to_the_page(far: Served, path: str) -> None:
    answer = far.raw(f"GET {path}?token={TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert b"evil" not in answer
    location = [line for line in answer.split(b"\r\n") if line.lower().startswith(b"location:")]
    assert location in ([], [b"location: ./"])


def test_a_token_becomes_a_cookie_that_is_not_it_and_goes_from_the_address(far: Served) -> None:
    assert far.get().status_code == 401
    assert far.get(f"/?token={TOKEN[:-1]}").status_code == 401
    assert far.get("/?token=").status_code == 401
    assert far.get("/?token=%ff%00").status_code == 401
    assert far.get("/_nicegui/x.js").status_code == 401
    answer = far.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "./")
    kept = answer.headers["set-cookie"].lower()
    assert "httponly" in kept
    assert TOKEN not in kept
    assert "secure" not in kept
    behind_tls = httpx.get(f"http://127.0.0.1:{far.port}/?token={TOKEN}", headers={"X-Forwarded-Proto": "https"})
    assert "secure" in behind_tls.headers["set-cookie"].lower()
    assert far.get().text == "the page"
    assert "default-src 'self'" in far.get().headers["content-security-policy"]
    assert far.get("/elsewhere").status_code == 404


def test_guesses_are_slowed_and_whoever_is_in_stays_in(far: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "monotonic", lambda: 1_000.0)  # however slow this machine is
    with httpx.Client(base_url=f"http://127.0.0.1:{far.port}") as inside:
        inside.get(f"/?token={TOKEN}")
        said = [far.get(f"/?token=guess-{number}").status_code for number in range(guesses.FREE + 5)]
        assert said == [401] * guesses.FREE + [429] * 5
        late = far.get(f"/?token={TOKEN}")
        assert (late.status_code, late.headers["retry-after"]) == (429, "6")
        assert inside.get("/").text == "the page"
        assert far.get().status_code == 401


def test_an_address_waits_for_its_own_guesses_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr(guesses, "monotonic", lambda: now[0])
    counted = guesses.Guesses()
    for _ in range(guesses.FREE):
        assert counted.wait_s("2001:db8::1") == 0
        counted.wrong("2001:db8::1")
    assert counted.wait_s("2001:db8::ffff") == guesses.EACH_S
    assert counted.wait_s("2001:db8:1::1") == counted.wait_s("10.0.0.1") == 0
    now[0] += guesses.EACH_S
    assert counted.wait_s("2001:db8::1") == 0
    for number in range(3 * guesses.MOST_ADDRESSES):
        counted.wrong(f"a{number}")
    assert len(counted._until) == guesses.MOST_ADDRESSES


def test_there_are_only_so_many_pages() -> None:
    with serving("", most=3) as served:
        assert [served.get().status_code for _ in range(5)] == [200] * 3 + [503] * 2


@pytest.mark.parametrize("token", ["a", "fifteen-letters", "with a space in it", "semi;colon-semi;colon", "ü" * 20])
def test_a_token_that_can_be_guessed_or_is_no_part_of_an_address_is_wrong_usage(
    token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(["dashboard", "--token", token])
    assert "16 to 256" in " ".join(capsys.readouterr().err.split())


class Open:
    """What is asked of a page here."""

    def __init__(self, created: float, ip: str, *, seen: bool) -> None:
        self.created, self.ip, self.has_socket_connection, self.is_deleted = created, ip, seen, False

    def delete(self) -> None:
        self.is_deleted = True


def test_pages_that_nobody_sees_make_room_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown() -> dict[float, Open]:
        return {at: one for at, one in there.items() if not one.is_deleted}

    there = {float(at): Open(at, "a" if at < pages.MOST_OF_ONE else "b", seen=at % 2 == 0) for at in range(100)}
    monkeypatch.setattr("nicegui.Client.instances", there)
    assert pages.make_room("c")
    assert len(shown()) == 100
    assert pages.make_room("a")
    assert sorted(set(there) - set(shown())) == [1.0]
    for one in there.values():
        one.has_socket_connection = True
    assert pages.make_room("c")
    there |= {float(at): Open(at, f"{at}", seen=True) for at in range(100, pages.MOST + 1)}
    assert not pages.make_room("c"), "all are looked at"
    there[110.0].has_socket_connection = False
    assert pages.make_room("c")
    assert there[110.0].is_deleted


def test_pages_that_nobody_looks_at_do_not_fill_the_memory(tmp_path: Path) -> None:
    settings = tmp_path / "shadow.toml"
    settings.write_text('namespace = "n"\n[kafka]\n"bootstrap.servers" = "127.0.0.1:1"\n')
    command = [sys.executable, "-m", "shadowbus", "--config", str(settings), "dashboard", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[1]
            memory = psutil.Process(process.pid).memory_info
            with httpx.Client(base_url=address, timeout=30) as client:
                for _ in range(pages.MOST_OF_ONE + 5):
                    client.get("/")
                filled = memory().rss
                for _ in range(120):  # of 0.4 MB each, without a single trial
                    assert client.get("/").status_code == 200
                assert client.get("/none").status_code == 404
                assert client.get("/_nicegui/none").text == "There is one page, at /.\n"
                assert memory().rss - filled < 25 << 20
        finally:
            process.terminate()
            process.wait(20)
