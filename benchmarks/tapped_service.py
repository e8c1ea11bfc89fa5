"""The service that `servers.py` runs under real servers: `wsgi` and `asgi`, with a tap where TAP names a Kafka.

`POST /predict` answers whether `x` is above zero; `GET /counters` what became of the records of this process.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from shadowbus.capture import ShadowTap, Tap

KAFKA = os.environ.get("TAP", "")
tap = (
    Tap(os.environ["NAMESPACE"], {"bootstrap.servers": KAFKA}, model="champion@1", flush_seconds=1.0) if KAFKA else None
)


def predict(body: dict[str, Any]) -> dict[str, Any]:
    return {"prediction": body["x"] > 0}


def counted() -> dict[str, Any]:
    counters = tap.counters() if tap else None
    return {name: getattr(counters, name) for name in ("captured", "delivered", "lost")} if counters else {}


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Calls the tap itself, as a Flask or Django view would."""
    if environ["PATH_INFO"] == "/predict":
        body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        if tap is None:
            answer = predict(body)
        else:
            with tap.request(body) as call:
                answer = predict(body)
                call.prediction = answer["prediction"]
    else:
        answer = counted()
    written = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(written)))])
    return [written]


async def plain(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"  # servers ask for a lifespan first, and take an exception for a no
    received = await receive()
    answer = predict(json.loads(received["body"])) if scope["path"] == "/predict" else counted()
    head = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


asgi: Any = plain if tap is None else ShadowTap(plain, tap, ["/predict"])


def serve_with_eventlet(port: int) -> None:
    """Eventlet has a server, but no command for it."""
    import eventlet.wsgi

    eventlet.wsgi.server(eventlet.listen(("127.0.0.1", port)), wsgi, log_output=False)


if __name__ == "__main__":
    serve_with_eventlet(int(sys.argv[1]))
