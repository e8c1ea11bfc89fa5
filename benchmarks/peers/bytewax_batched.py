"""The job in Bytewax as fast as it goes: a batch of each partition at once, with one call of the model for it.

Its own join keeps an object for each pair and takes them one by one, which costs twice as much processor time as this.
With `recover` it also writes snapshots of its state and offsets, every second: a crash repeats, and loses nothing.

Usage: python bytewax_batched.py BOOTSTRAP NAMESPACE BUNDLE OUTPUT [recover]
"""

import sys
import tempfile
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
from shadow_model import Record, ShadowModel

bootstrap, namespace, bundle, output = sys.argv[1:5]
shadow = ShadowModel(Path(bundle))


class Join(op.StatefulBatchLogic):  # type: ignore[misc]
    """Joins the two inputs of one partition; what waits is its state."""

    def __init__(self, waiting: dict[str, Record] | None) -> None:
        self.waiting = waiting or {}

    def on_batch(self, values: list[bytes]) -> tuple[list[Any], bool]:
        """Compare what is complete now."""
        pairs: list[tuple[Record, Record]] = []
        for record in map(orjson.loads, values):
            other = self.waiting.pop(record["request_id"], None)
            if other is None:
                self.waiting[record["request_id"]] = record
            else:
                pairs.append((record, other) if "features" in record else (other, record))
        all_scores = shadow.scores([request for request, _ in pairs]) if pairs else []
        made = [
            KafkaSinkMessage(request["request_id"].encode(), shadow.compare(request, live, scores))
            for (request, live), scores in zip(pairs, all_scores, strict=True)
        ]
        return made, False

    def snapshot(self) -> dict[str, Record]:
        """What waits, for recovery."""
        return dict(self.waiting)


flow = Dataflow("comparisons")
topics = [f"{namespace}.requests", f"{namespace}.predictions"]
source = kop.input("halves", flow, brokers=[bootstrap], topics=topics, batch_size=1_000)
op.raises("errors", source.errs)
by_partition = op.flat_map_batch(
    "by-partition", source.oks, lambda batch: [(str(message.partition), message.value) for message in batch]
)
comparisons = op.key_rm("values", op.stateful_batch("join", by_partition, Join))
sink = {"compression.type": "lz4", "linger.ms": "20"}
kop.output("comparisons", comparisons, brokers=[bootstrap], topic=output, add_config=sink)

if __name__ == "__main__":
    if sys.argv[5:] == ["recover"]:
        folder = Path(tempfile.mkdtemp(prefix="bytewax-"))
        init_db_dir(folder, 4)
        cli_main(flow, epoch_interval=timedelta(seconds=1), recovery_config=RecoveryConfig(folder, timedelta(0)))
    else:
        cli_main(flow)
