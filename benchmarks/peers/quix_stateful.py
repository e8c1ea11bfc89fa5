"""The job in Quix Streams with both inputs in one stream and its state for what waits, exactly once.

Usage: python quix_stateful.py BOOTSTRAP NAMESPACE BUNDLE OUTPUT
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from quixstreams import Application, State
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


def meet(record: dict[str, Any], state: State) -> bytes | None:
    """The comparison, when the other half waits already; its key is the record's, so one name is enough."""
    other = state.get("half")
    if other is None:
        state.set("half", record)
        return None
    state.delete("half")
    request, live = (record, other) if "features" in record else (other, record)
    (scores,) = shadow.scores([request])
    return shadow.compare(request, live, scores)


requests = app.dataframe(app.topic(f"{namespace}.requests", value_deserializer="json"))
predictions = app.dataframe(app.topic(f"{namespace}.predictions", value_deserializer="json"))
comparisons = requests.concat(predictions).apply(meet, stateful=True)
comparisons[comparisons.apply(lambda made: made is not None)].to_topic(app.topic(output, value_serializer="bytes"))

if __name__ == "__main__":
    app.run()
