"""The job in Bytewax as fast as it goes: its own join, and one call of the model for each batch that comes out of it.

With `recover` it also writes snapshots of its state and offsets, every second: a crash repeats, and loses nothing.

Usage: python bytewax_batched.py BOOTSTRAP NAMESPACE BUNDLE OUTPUT [recover]
"""

import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from shadow_model import ShadowModel

bootstrap, namespace, bundle, output = sys.argv[1:5]
shadow = ShadowModel(Path(bundle))


def keyed(messages: list[Any]) -> Iterator[tuple[str, Any]]:
    """Records by their request's id."""
    return ((record["request_id"], record) for record in (orjson.loads(message.value) for message in messages))


def compare(items: list[tuple[str, tuple[Any, Any]]]) -> Iterator[KafkaSinkMessage[bytes, bytes]]:
    """Ask the shadow once for all of them, and make the comparisons."""
    all_scores = shadow.scores([request for _, (request, _) in items])
    for (request_id, (request, live)), scores in zip(items, all_scores, strict=True):
        yield KafkaSinkMessage(request_id.encode(), shadow.compare(request, live, scores))


flow = Dataflow("comparisons")
sides = []
for topic in ("requests", "predictions"):
    source = kop.input(topic, flow, brokers=[bootstrap], topics=[f"{namespace}.{topic}"], batch_size=1_000)
    op.raises(f"{topic}-errors", source.errs)
    sides.append(op.flat_map_batch(f"{topic}-keyed", source.oks, keyed))
comparisons = op.flat_map_batch("compare", op.join("join", *sides), compare)
sink = {"compression.type": "lz4", "linger.ms": "20"}
kop.output("comparisons", comparisons, brokers=[bootstrap], topic=output, add_config=sink)

if __name__ == "__main__":
    if sys.argv[5:] == ["recover"]:
        folder = Path(tempfile.mkdtemp(prefix="bytewax-"))
        init_db_dir(folder, 4)
        cli_main(flow, epoch_interval=timedelta(seconds=1), recovery_config=RecoveryConfig(folder, timedelta(0)))
    else:
        cli_main(flow)
