"""Judge: each comparison meets its label, and we know who was right.

In: `comparisons` and `labels`, in any order, the label seconds to weeks later. Out: `outcomes`, `vitals`,
`dead-letters`. Guaranteed, together with the loop that runs it: one outcome for each comparison in which both models
answered and whose label came within the horizon. The first label of an id counts; a later one is a duplicate.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from shadowbus.compare import Comparator
from shadowbus.dead_letters import dead_letter
from shadowbus.errors import Malformed, StateCorruptError
from shadowbus.judge.pending import Entry, Pending
from shadowbus.records import VERSION, Vitals, encode, parse_object
from shadowbus.settings import Settings
from shadowbus.stage import Input, Outputs, Slice

BOOKS_KEY = b"books"
SIDES = {
    "comparisons": ("read", "not_compared", "judged", "waiting", "dead_lettered"),
    "labels": ("read", "kept", "duplicates", "dead_lettered"),
}
"""What is counted. comparisons: read = not_compared + judged + waiting + dead_lettered; labels: read = the others."""


class JudgeStage:
    """The judge over the partitions a worker holds.

    Args:
        held: The partitions.
        settings: The namespace and the judge's settings.
        comparators: How to judge the answers of each shadow, by its name.
        folder: Where the local state is.
        worker: The worker's name, for the vitals.
    """

    def __init__(
        self,
        held: frozenset[int],
        *,
        settings: Settings,
        comparators: Mapping[str, Comparator],
        folder: Path,
        worker: str,
    ) -> None:
        self.settings, self.comparators, self.worker = settings, comparators, worker
        horizon = int(settings.judge.horizon_days * 86_400)
        self.pending = {p: Pending(folder / str(p), horizon) for p in held}
        self.books: dict[int, Counter[tuple[str, str]]] = {p: Counter() for p in held}
        self.positions: dict[int, dict[str, int]] = {p: {} for p in held}
        self.touched: set[int] = set()
        self.vitals_at = 0

    def resume_at(self, committed: Mapping[Input, int]) -> Mapping[Input, int]:
        """What the local state has applied. A state that is ahead of Kafka belongs to other topics, and is wiped."""
        resume: dict[Input, int] = {}
        for partition, pending in self.pending.items():
            kept = pending.positions()
            if any(offset > committed.get((topic, partition), 0) for topic, offset in kept.items()):
                pending.wipe()
                kept = {}
            for topic in SIDES:
                resume[topic, partition] = kept.get(topic, 0)
                self.positions[partition][topic] = committed.get((topic, partition), 0)
        return resume

    def restore(self, records: Slice) -> None:
        """Take back the books; or apply input that the local state has not seen, whose outputs are long committed."""
        if records.partition not in self.pending:
            return
        if records.topic in SIDES:
            self._apply(records, Outputs(), Counter(), 0)
            kept = {**self.pending[records.partition].positions(), records.topic: records.next_offset}
            self.pending[records.partition].write(kept)
            return
        for key, value in zip(records.keys, records.values, strict=True):
            if key != BOOKS_KEY or value is None:
                raise StateCorruptError(f"The judge's changelog has a record of no known kind: {key!r}.")
            for side, counts in orjson.loads(value).items():
                for name, count in counts.items():
                    self.books[records.partition][side, name] = count

    def process(self, batch: list[Slice], now_ms: int) -> Outputs:
        """Judge what can be judged now; keep the rest."""
        outputs = Outputs()
        for piece in batch:
            self._apply(piece, outputs, self.books[piece.partition], now_ms)
            outputs.positions[piece.input] = piece.next_offset
            self.positions[piece.partition][piece.topic] = piece.next_offset
            self.touched.add(piece.partition)
        return outputs

    def tick(self, now_ms: int, lags: Mapping[Input, int]) -> Outputs:
        """Publish vitals when it is time."""
        outputs = Outputs()
        if now_ms - self.vitals_at >= self.settings.worker.vitals_seconds * 1000:
            self.vitals_at = now_ms
            for partition in self.pending:
                lag = sum(lags.get((topic, partition), 0) for topic in SIDES)
                record = Vitals("judge", "", self.worker, partition, now_ms, books=self._record(partition), lag=lag)
                outputs.add("vitals", partition, f"judge||{partition}".encode(), encode(record))
        return outputs

    def drain(self, now_ms: int) -> Outputs:
        """Nothing is ever under way."""
        return Outputs()

    def checkpoint(self, now_ms: int) -> Outputs:
        """The books as they stand."""
        outputs = Outputs()
        for partition in sorted(self.touched):
            outputs.add("judge-changelog", partition, BOOKS_KEY, orjson.dumps(self._record(partition)))
        self.touched.clear()
        return outputs

    def committed(self) -> None:
        """Write the local state."""
        for partition, pending in self.pending.items():
            pending.write(self.positions[partition])

    def paused(self) -> frozenset[Input]:
        """Never: what waits is on disk."""
        return frozenset()

    def close(self) -> None:
        """Let go of the folders."""
        for pending in self.pending.values():
            pending.close()

    def _record(self, partition: int) -> dict[str, Any]:
        return {side: {name: self.books[partition][side, name] for name in names} for side, names in SIDES.items()}

    def _apply(self, piece: Slice, outputs: Outputs, books: Counter[tuple[str, str]], now_ms: int) -> None:
        pending = self.pending[piece.partition]
        entries = pending.entries(key for key in piece.keys if key)
        take = self._take_label if piece.topic == "labels" else self._take_comparison
        for index, (key, value) in enumerate(zip(piece.keys, piece.values, strict=True)):
            books[piece.topic, "read"] += 1
            try:
                if not key:
                    raise Malformed("the key is not a request id")
                if take(parse_object(value), entries[key], outputs, books, piece.partition, key):
                    pending.change(key, entries[key])
            except Malformed as error:
                books[piece.topic, "dead_lettered"] += 1
                source = f"{self.settings.namespace}.{piece.topic}"
                letter = dead_letter(
                    source, piece.partition, piece.offsets[index], key, value, reason=str(error), now_ms=now_ms
                )
                outputs.add("dead-letters", piece.partition, key, letter)

    def _take_label(
        self,
        parsed: dict[str, Any],
        entry: Entry,
        outputs: Outputs,
        books: Counter[tuple[str, str]],
        partition: int,
        key: bytes,
    ) -> bool:
        if "label" not in parsed or type(parsed.get("timestamp_ms")) is not int:
            raise Malformed("a label needs the fields 'label' and 'timestamp_ms'")
        if "label" in entry:
            books["labels", "duplicates"] += 1
            return False
        books["labels", "kept"] += 1
        entry["label"] = [parsed["label"], parsed["timestamp_ms"]]
        for trial, kept in entry.pop("waiting", {}).items():
            books["comparisons", "waiting"] -= 1
            self._judge(trial, kept, entry, outputs, books, partition, key)
        return True

    def _take_comparison(
        self,
        parsed: dict[str, Any],
        entry: Entry,
        outputs: Outputs,
        books: Counter[tuple[str, str]],
        partition: int,
        key: bytes,
    ) -> bool:
        if parsed.get("status") != "compared":
            books["comparisons", "not_compared"] += 1
            return False
        live, shadow, trial = parsed.get("live"), parsed.get("shadow"), parsed.get("trial")
        if not isinstance(live, dict) or not isinstance(shadow, dict) or not isinstance(trial, str):
            raise Malformed("a comparison needs the fields 'live', 'shadow' and 'trial'")
        kept = [
            live.get("prediction"),
            live.get("scores"),
            shadow.get("prediction"),
            shadow.get("scores"),
            parsed.get("segments") or {},
            parsed.get("weight", 1.0),
        ]
        if "label" in entry:
            self._judge(trial, kept, entry, outputs, books, partition, key)
            return False
        entry.setdefault("waiting", {})[trial] = kept
        books["comparisons", "waiting"] += 1
        return True

    def _judge(
        self,
        trial: str,
        kept: list[Any],
        entry: Entry,
        outputs: Outputs,
        books: Counter[tuple[str, str]],
        partition: int,
        key: bytes,
    ) -> None:
        label, timestamp_ms = entry["label"]
        live_prediction, live_scores, shadow_prediction, shadow_scores, segments, weight = kept
        comparator = self.comparators[trial.rpartition("~")[2].rpartition("@")[0]]
        live = comparator.judge(label, live_prediction, live_scores)
        shadow = comparator.judge(label, shadow_prediction, shadow_scores)
        books["comparisons", "judged"] += 1
        comparable = live.measure == shadow.measure  # losses of different kinds must not meet
        outcome = {
            "v": VERSION,
            "request_id": key.decode("utf-8", "replace"),
            "timestamp_ms": timestamp_ms,
            "trial": trial,
            "label": label,
            "live_correct": live.correct,
            "shadow_correct": shadow.correct,
            "live_loss": live.loss if comparable else None,
            "shadow_loss": shadow.loss if comparable else None,
            "weight": weight,
            "segments": segments,
        }
        outputs.add("outcomes", partition, key, orjson.dumps(outcome))
