"""The production service of the demo: one route, one model, and, if asked, the tap around it.

In: `POST /predict {"request_id"?, "features": {...}, "segments"?: {...}}`. Out: `{"prediction", "scores", "model"}`.
The app knows nothing of shadowbus: `watched` wraps it from outside, and adds `GET /tap`, the tap's counters.

    python -m shadowbus.demo.service --port 8000 --model bundles/champion/1 [--capture shadow.toml]
"""

import argparse
import dataclasses
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shadowbus.broker.folder import HOST
from shadowbus.capture import Tap
from shadowbus.capture.asgi import App, Receive, Scope, Send, ShadowTap
from shadowbus.models.bundle import read_bundle
from shadowbus.models.load import load_model
from shadowbus.models.model import Model, PredictionError
from shadowbus.settings import load_settings

FLUSH_S = 5.0
KEEP_ALIVE_S = 60
"""Longer than any caller keeps an idle connection: who closes first must not be the one who does not call."""


def make_app(model: Model) -> Starlette:
    """The service as it was before anybody thought of shadows."""

    async def predict(request: Request) -> Response:
        try:
            asked = orjson.loads(await request.body())
            answers = model.predict([asked["features"]])
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            return _json({"error": f"a JSON object with 'features' is needed: {error!r}"}, 400)
        except PredictionError as error:
            return _json({"error": str(error)}, 500)
        scores = answers.scores[0] if answers.scores else None
        return _json({"prediction": answers.predictions[0], "scores": scores, "model": model.model})

    async def health(_request: Request) -> Response:
        return _json({"model": model.model})

    return Starlette(routes=[Route("/predict", predict, methods=["POST"]), Route("/health", health)])


def watched(app: App, tap: Tap) -> App:
    """The same app with the tap around it. Everything but the counters' own route is the app's, untouched."""
    tapped = ShadowTap(app, tap, routes=["/predict"])

    async def watched_app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/tap":
            counters = tap.counters()
            shown = {"captured": counters.captured, "lost": counters.lost, **_fields(counters)}
            await _json(shown)(scope, receive, send)
        else:
            await tapped(scope, receive, send)

    return watched_app


def serve(app: App, port: int) -> None:
    """Serve until SIGTERM. Runs in the main thread."""
    # uvicorn repeats the signal that ended it; this turns the repetition into an end in which taps are still closed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        app,
        host=HOST,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=2,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the service as the command line says."""
    parser = argparse.ArgumentParser(description="Reads handwritten digits.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", type=Path, required=True, help="the bundle to serve")
    parser.add_argument("--capture", type=Path, help="a shadow.toml: publish requests and predictions as it says")
    options = parser.parse_args(arguments)
    model = load_model(read_bundle(options.model), allow_pickle=False)
    app: App = make_app(model)
    if options.capture is not None:
        settings = load_settings(options.capture)
        tap = Tap(settings.namespace, settings.kafka_for("producer"), model=model.model, flush_seconds=FLUSH_S)
        app = watched(app, tap)
    serve(app, options.port)


def _fields(counters: object) -> dict[str, object]:
    names = [field.name for field in dataclasses.fields(counters)]  # type: ignore[arg-type]
    return {name: getattr(counters, name) for name in names if name != "dropped"}


def _json(document: object, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")


if __name__ == "__main__":
    main()
