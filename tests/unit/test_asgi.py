"""The middleware sees what passes and changes nothing about it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import orjson
import pytest

from shadowbus.capture import ShadowTap, Tap
from shadowbus.capture.outbox import Outbox

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


def ask(app: Any, *body: bytes, path: str = "/predict", method: str = "POST", headers: Any = ()) -> Replies:
    """Send one request in these chunks; the answer is every message the server would get."""
    chunks = [
        {"type": "http.request", "body": chunk, "more_body": number < len(body)} for number, chunk in enumerate(body, 1)
    ]
    replies: Replies = []

    async def receive() -> Any:
        return chunks.pop(0)

    async def send(message: Any) -> None:
        replies.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [*headers]}
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


def test_a_chunk_goes_out_before_the_next_one_is_made(tap: Tap, records: Records) -> None:
    async def streaming(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b'{"prediction":', "more_body": True})
        assert len(out) == 2
        await send({"type": "http.response.body", "body": b"1}"})
        assert len(out) == 3
        assert records == []  # nothing is recorded before the answer is out

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
