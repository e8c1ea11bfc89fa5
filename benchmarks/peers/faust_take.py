"""The job in Faust as fast as it goes: `take`, one call of the model for a batch, and dicts for what waits.

Dicts, because an agent that writes a table inside `take` has no current event to take the partition from: it raises.

Usage: python faust_take.py BOOTSTRAP NAMESPACE BUNDLE OUTPUT
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faust
import orjson
from shadow_model import Record, ShadowModel

BATCH = 1_000
WITHIN_S = 0.1

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
requests = app.topic(f"{namespace}.requests", key_type=bytes, value_type=bytes, value_serializer="raw")
predictions = app.topic(f"{namespace}.predictions", key_type=bytes, value_type=bytes, value_serializer="raw")
comparisons = app.topic(output, key_type=bytes, value_type=bytes, value_serializer="raw")
waiting_requests: dict[str, Record] = {}
waiting_predictions: dict[str, Record] = {}


async def compare(pairs: Sequence[tuple[Record, Record]]) -> None:
    """Ask the shadow once for all of them, and send the comparisons."""
    if not pairs:
        return
    for (request, live), scores in zip(pairs, shadow.scores([request for request, _ in pairs]), strict=True):
        await comparisons.send(key=request["request_id"].encode(), value=shadow.compare(request, live, scores))


@app.agent(requests)
async def on_requests(stream: Any) -> None:
    async for batch in stream.take(BATCH, within=WITHIN_S):
        pairs = []
        for request in map(orjson.loads, batch):
            live = waiting_predictions.pop(request["request_id"], None)
            if live is None:
                waiting_requests[request["request_id"]] = request
            else:
                pairs.append((request, live))
        await compare(pairs)


@app.agent(predictions)
async def on_predictions(stream: Any) -> None:
    async for batch in stream.take(BATCH, within=WITHIN_S):
        pairs = []
        for live in map(orjson.loads, batch):
            request = waiting_requests.pop(live["request_id"], None)
            if request is None:
                waiting_predictions[live["request_id"]] = live
            else:
                pairs.append((request, live))
        await compare(pairs)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "warn"]
    app.main()
