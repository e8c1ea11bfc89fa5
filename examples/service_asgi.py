"""An HTTP service that is watched without a line of change: only the last statement knows about capture.

    uvicorn service_asgi:app --app-dir examples
    curl -i -d '{"features": {"age": 41, "calls": 3}, "segments": {"country": "DE"}}' localhost:8000/predict

The answer carries `x-request-id`; send it back with what really happened to `/outcome`, and the request has its label.
"""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shadowbus.capture import ShadowTap, Tap

KAFKA = {"bootstrap.servers": os.environ.get("KAFKA", "localhost:9092")}
tap = Tap("churn", KAFKA, model="champion@3")


async def predict(request: Request) -> Response:
    """The live model, here a rule of thumb."""
    features = (await request.json())["features"]
    churn = min(1.0, 0.1 + 0.2 * features["calls"])
    prediction = "churn" if churn > 0.5 else "stay"
    return JSONResponse({"prediction": prediction, "scores": {"churn": churn, "stay": 1.0 - churn}})


async def outcome(request: Request) -> Response:
    """What really happened, often days later and in another process."""
    seen = await request.json()
    tap.label(seen["request_id"], seen["label"])
    return Response(status_code=204)


async def health(_request: Request) -> Response:
    """What capture lost so far, for whoever watches the service."""
    counters = tap.counters()
    return JSONResponse({"captured": counters.captured, "waiting": counters.waiting, "lost": dict(counters.dropped)})


routes = [
    Route("/predict", predict, methods=["POST"]),
    Route("/outcome", outcome, methods=["POST"]),
    Route("/health", health),
]
app = ShadowTap(Starlette(routes=routes), tap, routes=["/predict"], expose_id=True)
