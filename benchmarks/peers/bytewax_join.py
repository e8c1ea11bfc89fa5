"""The job in Bytewax with its own join, one event at a time.

Usage: python bytewax_join.py BOOTSTRAP NAMESPACE BUNDLE OUTPUT
"""

import sys
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from shadow_model import ShadowModel

bootstrap, namespace, bundle, output = sys.argv[1:]
shadow = ShadowModel(Path(bundle))


def keyed(message: Any) -> tuple[str, Any]:
    """A record by its request's id."""
    record = orjson.loads(message.value)
    return record["request_id"], record


def compare(item: tuple[str, tuple[Any, Any]]) -> KafkaSinkMessage[bytes, bytes]:
    """Ask the shadow, and make the comparison."""
    request_id, (request, live) = item
    (scores,) = shadow.scores([request])
    return KafkaSinkMessage(request_id.encode(), shadow.compare(request, live, scores))


flow = Dataflow("comparisons")
sides = []
for topic in ("requests", "predictions"):
    source = kop.input(topic, flow, brokers=[bootstrap], topics=[f"{namespace}.{topic}"])
    op.raises(f"{topic}-errors", source.errs)
    sides.append(op.map(f"{topic}-keyed", source.oks, keyed))
comparisons = op.map("compare", op.join("join", *sides), compare)
sink = {"compression.type": "lz4", "linger.ms": "20"}
kop.output("comparisons", comparisons, brokers=[bootstrap], topic=output, add_config=sink)

if __name__ == "__main__":
    cli_main(flow)
