"""The job in Quix Streams with its own join, exactly once.

Usage: python quix_join.py BOOTSTRAP NAMESPACE BUNDLE OUTPUT
"""

import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from quixstreams import Application
from shadow_model import ShadowModel

bootstrap, namespace, bundle, output = sys.argv[1:]
shadow = ShadowModel(Path(bundle))
app = Application(
    broker_address=bootstrap,
    consumer_group=output,
    auto_offset_reset="earliest",
    processing_guarantee="exactly-once",
    commit_interval=1.0,
    state_dir=tempfile.mkdtemp(prefix="quix-"),
    loglevel="WARNING",
)


def compare(pair: dict[str, Any]) -> bytes:
    """Ask the shadow, and make the comparison."""
    (scores,) = shadow.scores([pair["request"]])
    return shadow.compare(pair["request"], pair["live"], scores)


requests = app.dataframe(app.topic(f"{namespace}.requests", value_deserializer="json"))
predictions = app.dataframe(app.topic(f"{namespace}.predictions", value_deserializer="json"))
# Both ways: a prediction that is stamped a moment before its request would never meet it otherwise.
minute = timedelta(minutes=1)
requests.join_interval(
    predictions,
    how="inner",
    on_merge=lambda request, live: {"request": request, "live": live},
    grace_ms=2 * minute,
    backward_ms=minute,
    forward_ms=minute,
).apply(compare).to_topic(app.topic(output, value_serializer="bytes"))

if __name__ == "__main__":
    app.run()
