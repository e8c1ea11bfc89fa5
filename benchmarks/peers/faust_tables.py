"""The job as Faust's documentation would have it: an agent for each input, tables for what waits, one event at a time.

Usage: python faust_tables.py BOOTSTRAP NAMESPACE BUNDLE OUTPUT
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import faust
from shadow_model import Record, ShadowModel

bootstrap, namespace, bundle, output = sys.argv[1:]
shadow = ShadowModel(Path(bundle))
app = faust.App(
    output,
    broker=f"kafka://{bootstrap}",
    store="memory://",
    datadir=tempfile.mkdtemp(prefix="faust-"),
    topic_partitions=4,
    topic_replication_factor=1,
    web_enabled=False,
)
requests = app.topic(f"{namespace}.requests", key_type=bytes, value_serializer="json")
predictions = app.topic(f"{namespace}.predictions", key_type=bytes, value_serializer="json")
comparisons = app.topic(output, key_type=bytes, value_type=bytes, value_serializer="raw")
waiting_requests = app.Table("waiting-requests")
waiting_predictions = app.Table("waiting-predictions")


async def compare(request: Record, live: Record) -> None:
    """Ask the shadow, and send the comparison."""
    (scores,) = shadow.scores([request])
    await comparisons.send(key=request["request_id"].encode(), value=shadow.compare(request, live, scores))


@app.agent(requests)
async def on_request(stream: Any) -> None:
    async for request in stream:
        live = waiting_predictions.pop(request["request_id"], None)
        if live is None:
            waiting_requests[request["request_id"]] = request
        else:
            await compare(request, live)


@app.agent(predictions)
async def on_prediction(stream: Any) -> None:
    async for live in stream:
        request = waiting_requests.pop(live["request_id"], None)
        if request is None:
            waiting_predictions[live["request_id"]] = live
        else:
            await compare(request, live)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "warn"]
    app.main()
