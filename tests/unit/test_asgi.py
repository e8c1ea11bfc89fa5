"""The middleware sees what passes and changes nothing about it."""

import asyncio
import contextlib
import doctest
import gzip
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import brotli
import orjson
import pytest
import zstandard

from shadowbus.capture import ShadowTap, Tap
from shadowbus.capture import routes as routes_module
from shadowbus.capture.outbox import Outbox
from shadowbus.errors import SettingsError

Records = list[dict[str, Any]]
Replies = list[dict[str, Any]]


@pytest.fixture
def tap() -> Iterator[Tap]:
    made = Tap("churn", {"bootstrap.servers": "127.0.0.1:1"}, model="champion@3")
    yield made
    made.close(0)


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Records:
    """The records that reach the producer, in order: requests and predictions by turns."""
    seen: Records = []
    put = Outbox.put

    def watched(self: Outbox, topic: str, key: bytes, value: bytes) -> str | None:
        seen.append(orjson.loads(value))
        return put(self, topic, key, value)

    monkeypatch.setattr(Outbox, "put", watched)
    return seen


def service(*replies: Any, status: int = 200, headers: Any = (), error: BaseException | None = None) -> Any:
    """An app that reads the whole body and answers with these chunks, or raises."""

    async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        while (await receive()).get("more_body"):
            pass
        if error is not None:
            raise error
        await send({"type": "http.response.start", "status": status, "headers": [*headers]})
        for number, chunk in enumerate(replies, 1):
            await send({"type": "http.response.body", "body": chunk, "more_body": number < len(replies)})

    return app


def ask(
    app: Any, *body: bytes, path: str = "/predict", method: str = "POST", headers: Any = (), **more: Any
) -> Replies:
    """Send one request in these chunks; the answer is every message the server would get."""
    chunks = [
        {"type": "http.request", "body": chunk, "more_body": number < len(body)} for number, chunk in enumerate(body, 1)
    ]
    replies: Replies = []

    async def receive() -> Any:
        return chunks.pop(0)

    async def send(message: Any) -> None:
        replies.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [*headers], **more}
    asyncio.run(app(scope, receive, send))
    return replies


def test_a_request_and_its_answer_are_mirrored_and_every_message_stays_as_it_was(tap: Tap, records: Records) -> None:
    plain = service(b'{"prediction": "stay", "scores": {"stay": 0.', b'75, "churn": 0.25}}', headers=[(b"a", b"b")])
    body = (b'{"features": {"age": 4', b'1}, "request_id": "r-1", "segments": {"country": "DE"}}')
    assert ask(ShadowTap(plain, tap, ["/predict"]), *body) == ask(plain, *body)
    request, prediction = records
    assert (request["request_id"], prediction["request_id"]) == ("r-1", "r-1")
    assert (request["features"], request["segments"]) == ({"age": 41}, {"country": "DE"})
    assert (prediction["prediction"], prediction["scores"]) == ("stay", {"stay": 0.75, "churn": 0.25})
    assert (prediction["model"], prediction["error"]) == ("champion@3", None)
    assert prediction["latency_ms"] > 0
    assert prediction["timed"] == "exchange"


def test_a_chunk_goes_out_before_the_next_one_is_made(tap: Tap, records: Records) -> None:
    async def streaming(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b'{"prediction":', "more_body": True})
        assert len(out) == 2
        assert records == []  # nothing is recorded before the answer is out
        await send({"type": "http.response.body", "body": b"1}"})
        assert len(out) == 3

    out: Replies = []

    async def serve() -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"{}"}

        async def send(message: Any) -> None:
            out.append(message)

        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
        await ShadowTap(streaming, tap, ["/predict"])(scope, receive, send)

    asyncio.run(serve())
    assert records[1]["prediction"] == 1


def test_without_a_features_field_the_whole_body_is_the_features(tap: Tap, records: Records) -> None:
    app = ShadowTap(service(b"0.25"), tap, ["/predict"])
    ask(app, b'{"age": 41, "request_id": 7, "segments": {"country": "DE"}}')
    ask(app, b"[41, 1]")
    assert [request["features"] for request in records[::2]] == [{"age": 41}, [41, 1]]
    assert (records[0]["request_id"], records[0]["segments"]) == ("7", {"country": "DE"})
    assert [prediction["prediction"] for prediction in records[1::2]] == [0.25, 0.25]


def test_picks_find_the_parts_elsewhere(tap: Tap, records: Records) -> None:
    app = ShadowTap(
        service(b'{"outputs": [["stay", 0.75]], "model": "champion@4"}'),
        tap,
        ["/models/*/predict"],
        features=lambda body: body["inputs"][0],
        segments=lambda body: {"country": body["country"]},
        prediction=lambda body: body["outputs"][0][0],
        scores=lambda body: body["outputs"][0][1:],
    )
    ask(app, b'{"inputs": [{"age": 41}], "country": "DE"}', path="/models/churn/predict")
    request, prediction = records
    assert (request["features"], request["segments"]) == ({"age": 41}, {"country": "DE"})
    assert (prediction["prediction"], prediction["scores"], prediction["model"]) == ("stay", [0.75], "champion@4")


def test_a_refusal_of_the_service_is_counted_and_not_captured(tap: Tap, records: Records) -> None:
    ask(ShadowTap(service(b'{"detail": "age is missing"}', status=422), tap, ["/predict"]), b"{}")
    assert records == []
    assert (tap.counters().refused, tap.counters().lost) == (1, 0)


@pytest.mark.parametrize(
    ("app", "error"),
    [
        (service(b"oops", status=503), "HTTP 503"),
        (service(status=200), "the response was not finished"),
    ],
)
def test_a_service_that_fails_has_predicted_an_error(tap: Tap, records: Records, app: Any, error: str) -> None:
    ask(ShadowTap(app, tap, ["/predict"]), b'{"age": 41}')
    assert (records[0]["features"], records[1]["error"], records[1]["prediction"]) == ({"age": 41}, error, None)


@pytest.mark.parametrize("error", [ValueError("no such customer"), asyncio.CancelledError("the client left")])
def test_an_exception_of_the_service_passes_through(tap: Tap, records: Records, error: BaseException) -> None:
    app = ShadowTap(service(error=error), tap, ["/predict"])
    with pytest.raises(type(error), match=str(error)):
        ask(app, b'{"age": 41}')
    assert records[1]["error"] == f"{type(error).__name__}: {error}"


@pytest.mark.parametrize(
    ("asked", "answered", "reason"),
    [
        (b"age=41", b'{"prediction": 1}', "extraction_failed"),
        (b'{"age": 41}', b"<p>stay</p>", "extraction_failed"),
        (b'{"age": 41}', b'{"answer": 1}', "extraction_failed"),
        (b'{"age": 41, "note": "' + b"x" * 2_000 + b'"}', b'{"prediction": 1}', "too_large"),
        (b'{"age": 41}', b'{"prediction": "' + b"x" * 2_000 + b'"}', "too_large"),
        (b'{"age": 41, "request_id": ""}', b'{"prediction": 1}', "invalid_id"),
        (b"41", b'{"prediction": 1}', "not_serialisable"),
    ],
)
def test_what_cannot_be_mirrored_passes_untouched_and_is_counted(
    tap: Tap, records: Records, asked: bytes, answered: bytes, reason: str
) -> None:
    plain = service(answered)
    assert ask(ShadowTap(plain, tap, ["/predict"], max_body_bytes=1_000), asked) == ask(plain, asked)
    assert records == []
    assert tap.counters().dropped[reason] == tap.counters().lost == 2


def test_other_routes_methods_and_protocols_are_left_alone(tap: Tap, records: Records) -> None:
    app = ShadowTap(service(b'{"prediction": 1}'), tap, "/predict")
    ask(app, b'{"age": 41}', path="/health")
    ask(app, b"", method="GET")
    seen: list[Any] = []

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        seen.extend((scope, receive, send))

    asyncio.run(ShadowTap(lifespan, tap, "/predict")({"type": "lifespan"}, *(callbacks := (service(), service()))))
    assert seen == [{"type": "lifespan"}, *callbacks]
    assert (records, tap.counters().lost) == ([], 0)


def test_the_id_comes_from_a_header_before_the_body(tap: Tap, records: Records) -> None:
    body, answer = b'{"request_id": "body"}', b'{"prediction": 1, "request_id": "answer"}'
    app = ShadowTap(
        service(answer, headers=[(b"X-Request-Id", b"reply")]), tap, ["/predict"], request_id="X-Request-ID"
    )
    ask(app, body, headers=[(b"x-request-id", b"asked")])
    ask(app, body)
    ask(ShadowTap(service(answer), tap, ["/predict"]), body)
    ask(ShadowTap(service(answer), tap, ["/predict"]), b"{}")
    assert [record["request_id"] for record in records[::2]] == ["asked", "reply", "body", "answer"]


def test_the_id_is_exposed_only_when_asked_and_is_the_one_recorded(tap: Tap, records: Records) -> None:
    app = ShadowTap(service(b"1", headers=[(b"a", b"b")]), tap, ["/predict"], expose_id=True)
    (kept, (name, value)) = ask(app, b'{"age": 41}')[0]["headers"]
    assert (kept, name, value.decode()) == ((b"a", b"b"), b"x-request-id", records[0]["request_id"])
    own = ShadowTap(service(b"1", headers=[(b"x-request-id", b"own")]), tap, ["/predict"], expose_id=True)
    assert ask(own, b'{"age": 41}')[0]["headers"] == [(b"x-request-id", b"own")]
    assert records[2]["request_id"] == "own"


def test_an_id_that_could_smuggle_a_header_is_not_exposed(tap: Tap, records: Records) -> None:
    app = ShadowTap(service(b"1"), tap, ["/predict"], expose_id=True)
    assert ask(app, b'{"request_id": "r\\r\\nset-cookie: a=b"}')[0]["headers"] == []
    assert records[0]["request_id"] == "r\r\nset-cookie: a=b"


Sending = Callable[[Any], Awaitable[None]]


async def trailing_frames(send: Sending) -> None:
    await send({"type": "http.response.body", "body": b"oops", "more_body": True})
    await send({"type": "http.response.body", "body": b"x" * 2_000_000})


async def another_start(send: Sending) -> None:
    await send({"type": "http.response.start", "status": 500})


async def background_task_that_fails(send: Sending) -> None:
    raise ValueError("the mail was not sent")


async def cancelled_while_cleaning_up(send: Sending) -> None:
    raise asyncio.CancelledError


async def exit_of_the_process(send: Sending) -> None:
    raise SystemExit(3)


async def nothing(send: Sending) -> None:
    pass


@pytest.mark.parametrize(
    ("late", "error"),
    [
        (trailing_frames, None),
        (another_start, None),
        (background_task_that_fails, ValueError),
        (cancelled_while_cleaning_up, asyncio.CancelledError),
        (exit_of_the_process, SystemExit),
        (nothing, None),
    ],
)
def test_what_happens_after_the_last_byte_neither_changes_nor_delays_the_record(
    tap: Tap, records: Records, late: Callable[[Sending], Awaitable[None]], error: type[BaseException] | None
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b'{"prediction": 1}'})
        assert [record.get("prediction") for record in records] == [None, 1]  # at once, not after the clean-up
        await late(send)

    with pytest.raises(error) if error else contextlib.nullcontext():
        ask(ShadowTap(app, tap, ["/predict"]), b'{"age": 41}')
    (_, prediction) = records
    assert (prediction["prediction"], prediction["error"]) == (1, None)
    assert tap.counters().lost == 0


@pytest.mark.parametrize("swallowed", [True, False])
def test_an_answer_that_could_not_be_sent_is_an_error(tap: Tap, records: Records, swallowed: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})
        with contextlib.suppress(OSError) if swallowed else contextlib.nullcontext():
            await send({"type": "http.response.body", "body": b'{"prediction": 1}'})

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}"}

    async def gone(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the client left")

    watched = ShadowTap(app, tap, ["/predict"])
    with contextlib.nullcontext() if swallowed else pytest.raises(OSError, match="the client left"):
        asyncio.run(watched({"type": "http", "method": "POST", "path": "/predict", "headers": []}, receive, gone))
    assert records[1]["error"] == "OSError: the client left"


def test_a_file_that_the_server_sends_is_an_answer_nobody_saw(tap: Tap, records: Records) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.pathsend", "path": "/tmp/answer.json"})  # noqa: S108

    ask(ShadowTap(app, tap, ["/predict"]), b'{"age": 41}')
    assert (records, tap.counters().dropped["extraction_failed"]) == ([], 2)


def test_being_sent_elsewhere_is_no_prediction(tap: Tap, records: Records) -> None:
    ask(ShadowTap(service(b"", status=307), tap, ["/predict"]), b'{"age": 41}', path="/predict/")
    assert (records, tap.counters().refused, tap.counters().lost) == ([], 1, 0)


@pytest.mark.parametrize(
    ("route", "path", "root_path"),
    [
        ("/predict", "/predict", ""),
        ("/predict", "/predict/", ""),
        ("/predict/", "/predict", ""),
        ("predict", "/predict", ""),
        ("/predict", "/api/predict", "/api"),  # uvicorn --root-path, a mounted app
        ("/predict", "/api/predict", "/api/"),
        ("/api/predict", "/api/predict", "/api"),
        ("/predict", "/predict", "/api"),  # a proxy that strips the prefix; frameworks that do
        ("/api/predict", "/predict", "/api"),
        ("/predict", "/api/v2/predict", "/api/v2"),  # mounted, behind a prefix
        ("/v2/predict", "/api/v2/predict", "/api/v2"),
        ("/api/v2/predict", "/api/v2/predict", "/api/v2"),
        ("/models/{name}/predict", "/models/churn/predict", ""),
        ("/models/{name:str}/predict", "/v1/models/churn/predict", "/v1"),
        ("/models/<name>/predict", "/models/churn/predict", ""),
        ("/models/<int:number>/predict", "/models/7/predict/", ""),
        ("/models/{rest:path}", "/models/churn/7/predict", ""),
        ("/models/<path:rest>", "/models/churn/7/predict", ""),
        ("/models/*/predict", "/models/churn/7/predict", ""),
        ("/*", "/anything/at/all", ""),
        ("/", "/", ""),
        ("/", "/api", "/api"),
        ("/", "/api/", "/api"),
        ("/models/a.b", "/models/a.b", ""),
    ],
)
def test_a_route_is_what_a_person_would_write(
    tap: Tap, records: Records, route: str, path: str, root_path: str
) -> None:
    app = ShadowTap(service(b'{"prediction": 1}'), tap, [route])
    for _ in range(2):
        ask(app, b'{"age": 41}', path=path, root_path=root_path)
    assert [record.get("prediction") for record in records] == [None, 1, None, 1]
    assert (tap.counters().seen, tap.counters().matched) == (2, 2)


@pytest.mark.parametrize(
    ("route", "path", "root_path"),
    [
        ("/predict", "/predictions", ""),
        ("/predict", "/api/predict", ""),
        ("/predict", "/apix/predict", "/api"),
        ("/models/{name}/predict", "/models/a/b/predict", ""),
        ("/models/a.b", "/models/aXb", ""),
        ("/predict", "/PREDICT", ""),
    ],
)
def test_a_route_matches_nothing_else(tap: Tap, records: Records, route: str, path: str, root_path: str) -> None:
    ask(ShadowTap(service(b'{"prediction": 1}'), tap, [route]), b'{"age": 41}', path=path, root_path=root_path)
    assert (records, tap.counters().seen, tap.counters().matched) == ([], 1, 0)


def test_the_examples_of_the_routes_hold() -> None:
    assert doctest.testmod(routes_module).failed == 0


@pytest.mark.parametrize("wrong", [[], [""], ["POST /predict"], ["http://localhost/predict"], ["/predict?a=1"], [7]])
def test_a_route_that_no_path_can_match_is_told_at_start_up(tap: Tap, wrong: Any) -> None:
    with pytest.raises(SettingsError, match="route"):
        ShadowTap(service(), tap, wrong)


def test_a_tap_that_sees_requests_and_matches_none_says_so_once(
    tap: Tap, records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    app = ShadowTap(service(b'{"prediction": 1}'), tap, ["/predict"])

    def said() -> list[str]:
        return [record.getMessage() for record in caplog.records if "routes=" in record.getMessage()]

    for number in range(99):
        ask(app, b"{}", path=f"/v1/{number}")
    assert said() == []
    for _ in range(200):
        ask(app, b"{}", path="/health", method="GET")
    tap.close(0)
    (line,) = said()
    assert "100 HTTP requests came by" in line
    assert "POST '/v1/0'" in line
    assert "POST or PUT or PATCH to /predict" in line
    assert (tap.counters().seen, tap.counters().matched) == (299, 0)


@pytest.mark.parametrize(("path", "lines"), [("/wrong", 1), ("/predict", 0), (None, 0)])
def test_a_tap_that_is_closed_early_says_so_too(
    tap: Tap, caplog: pytest.LogCaptureFixture, path: str | None, lines: int
) -> None:
    app = ShadowTap(service(b'{"prediction": 1}'), tap, ["/predict"])
    if path:
        ask(app, b"{}", path="/elsewhere")
        ask(app, b"{}", path=path)
    for _ in range(2):
        tap.close(0)
    assert len([record for record in caplog.records if "routes=" in record.getMessage()]) == lines


def test_a_pick_may_raise_what_it_likes(tap: Tap, records: Records) -> None:
    def leave(_body: Any) -> object:
        raise SystemExit(3)

    app = ShadowTap(service(b'{"prediction": 1}'), tap, ["/predict"], features=leave)
    assert len(ask(app, b"{}")) == 2
    assert (records, tap.counters().dropped["extraction_failed"]) == ([], 2)


def test_an_exception_whose_text_raises_passes_through_all_the_same(tap: Tap, records: Records) -> None:
    class RudeError(Exception):
        def __str__(self) -> str:
            raise SystemExit(3)

    with pytest.raises(RudeError):
        ask(ShadowTap(service(error=RudeError()), tap, ["/predict"]), b"{}")
    assert records[1]["error"] == "RudeError: (its message cannot be read)"


JSON = b'{"age": 41}'
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
RAW_DEFLATED = RAW.compress(JSON) + RAW.flush()
READ = {
    "gzip": (gzip.compress(JSON), "gzip"),
    "gzip, by its old name and in capitals": (gzip.compress(JSON), "X-GZIP"),
    "deflate": (zlib.compress(JSON), "deflate"),
    "deflate without a head": (RAW_DEFLATED, "deflate"),
    "br": (brotli.compress(JSON), "br"),
    "zstd": (zstandard.compress(JSON), "zstd"),
    "packed twice": (gzip.compress(zlib.compress(JSON)), "deflate, gzip"),
    "not packed": (JSON, "identity"),
    "a byte order mark": (b"\xef\xbb\xbf" + JSON, ""),
    "UTF-16": (JSON.decode().encode("utf-16"), ""),
    "space around it": (b"\r\n " + JSON + b" \n", ""),
}
NOT_READ = {
    "nothing": (b"", "", "extraction_failed"),
    "a form": (b"age=41&plan=basic", "", "extraction_failed"),
    "a comma too many": (b'{"age": 41,}', "", "extraction_failed"),
    "two of them": (JSON + JSON, "", "extraction_failed"),
    "half of it": (b'{"age": 4', "", "extraction_failed"),
    "not packed as it says": (JSON, "gzip", "extraction_failed"),
    "cut off": (gzip.compress(JSON)[:-12], "gzip", "extraction_failed"),
    "packed in an unknown way": (JSON, "compress", "extraction_failed"),
    "nested without end": (b"[" * 100_000, "", "extraction_failed"),
    "a gzip bomb": (gzip.compress(b" " * 50_000_000), "gzip", "too_large"),
    "a brotli bomb": (brotli.compress(b" " * 50_000_000), "br", "too_large"),
    "a zstd bomb": (zstandard.compress(b" " * 50_000_000), "zstd", "too_large"),
    "a bomb in a bomb": (gzip.compress(gzip.compress(b" " * 50_000_000)), "gzip, gzip", "too_large"),
}


@pytest.mark.parametrize("kind", READ)
def test_packed_and_nearly_json_bodies_are_read(tap: Tap, records: Records, kind: str) -> None:
    body, packing = READ[kind]
    headers = [(b"Content-Encoding", packing.encode())] if packing else []
    ask(ShadowTap(service(body, headers=headers), tap, ["/p"], prediction=lambda b: b["age"]), JSON, path="/p")
    ask(ShadowTap(service(b"1"), tap, ["/p"]), body, path="/p", headers=headers)
    assert records[1]["prediction"] == 41
    assert records[2]["features"] == {"age": 41}


@pytest.mark.parametrize("kind", NOT_READ)
def test_what_is_no_json_is_counted(tap: Tap, records: Records, kind: str) -> None:
    body, packing, reason = NOT_READ[kind]
    headers = [(b"content-encoding", packing.encode())] if packing else []
    plain = service(body, headers=headers)
    assert ask(ShadowTap(plain, tap, ["/predict"]), JSON) == ask(plain, JSON)
    ask(ShadowTap(service(b"1"), tap, ["/predict"]), body, headers=headers)
    assert records == []
    assert tap.counters().dropped[reason] == tap.counters().lost == 4


def test_numbers_that_are_none_are_null(tap: Tap, records: Records) -> None:
    ask(ShadowTap(service(b'{"prediction": NaN}'), tap, ["/predict"]), b'{"age": NaN, "n": -Infinity}')
    assert (records[0]["features"], records[1]["prediction"]) == ({"age": None, "n": None}, None)
