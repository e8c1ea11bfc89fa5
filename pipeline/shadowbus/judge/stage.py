"""Judge: each comparison meets its label, and we know who was right.

In: `comparisons` and `labels`, in any order, the label seconds to weeks later. Out: `outcomes`, `vitals`,
`dead-letters`. Guaranteed, together with the loop that runs it: one outcome for each comparison in which both models
answered and whose label came within the horizon; one that waited in vain is counted as expired, once. The first label
of an id counts; a later one is a duplicate.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from shadowbus.compare import Comparator
from shadowbus.dead_letters import dead_letter
from shadowbus.errors import Malformed
from shadowbus.judge.entry import Entry, Label, Waiting, hour_of
from shadowbus.judge.held import BOOKS_KEY, SIDES, Books, Held
from shadowbus.judge.pending import Pending
from shadowbus.records import VERSION, Vitals, encode, parse_object
from shadowbus.settings import Settings
from shadowbus.stage import Input, Outputs, Slice
from shadowbus.topology import JUDGE_BOOKS

MARKS_PER_TICK = 2_000
"""How many marks are looked at in one call, so that much that is over at once does not hold up the rest."""


@dataclass(slots=True)
class _Pass:
    """Where the results of one slice go; those of a restore go nowhere."""

    held: Held
    partition: int
    outputs: Outputs
    books: Books


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
        self.horizon = max(1, math.ceil(settings.judge.horizon_days * 24))  # hours
        name = JUDGE_BOOKS.full_name(settings.namespace)
        self.held = {p: Held(f"{name}[{p}]", Pending(folder / str(p))) for p in held}
        self.touched: set[int] = set()
        self.vitals_at = 0

    def resume_at(self, committed: Mapping[Input, int]) -> Mapping[Input, int]:
        """What the local state has applied. One that is of other topics, or ahead of Kafka, is wiped.

        Where the books are gone, they are counted again from what Kafka still has.
        """
        resume: dict[Input, int] = {}
        for partition, held in self.held.items():
            if held.start({topic: committed.get((topic, partition), 0) for topic in SIDES}):
                self.touched.add(partition)
            kept = held.pending.positions()
            resume.update({(topic, partition): kept.get(topic, 0) for topic in SIDES})
        return resume

    def restore(self, records: Slice) -> None:
        """Take back the books; or apply input that the local state has not seen, whose outputs are long committed."""
        held = self.held[records.partition]
        if records.topic not in SIDES:
            held.restore(records)
            return
        known = held.known(records)
        if known < len(records.offsets):
            self.lost({records.input: len(records.offsets) - known})
        columns = (records.keys, records.values, records.timestamps, records.offsets)
        seen = Slice(records.topic, records.partition, *(column[:known] for column in columns))  # type: ignore[arg-type]
        self._apply(seen, Outputs(), held.counted, 0)
        held.pending.write({**held.pending.positions(), records.topic: records.next_offset})

    def lost(self, records: Mapping[Input, int]) -> None:
        """Count them."""
        for (topic, partition), count in records.items():
            for name in ("read", "never_read"):
                self.held[partition].books[topic, name] += count
            self.touched.add(partition)

    def process(self, batch: list[Slice], now_ms: int) -> Outputs:
        """Judge what can be judged now; keep the rest."""
        outputs = Outputs()
        for piece in batch:
            held = self.held[piece.partition]
            self._apply(piece, outputs, held.books, now_ms)
            outputs.positions[piece.input] = piece.next_offset
            held.positions[piece.topic] = piece.next_offset
            held.newest_ms[piece.topic] = max(held.newest_ms.get(piece.topic, 0), max(piece.timestamps))
            self.touched.add(piece.partition)
        return outputs

    def tick(self, now_ms: int, lags: Mapping[Input, int]) -> Outputs:
        """Drop what is over, and publish vitals when it is time."""
        for partition in self.held:
            self._expire(partition, now_ms, lags)
        outputs = Outputs()
        if now_ms - self.vitals_at >= self.settings.worker.vitals_seconds * 1000:
            self.vitals_at = now_ms
            for partition in self.held:
                lag = sum(lags.get((topic, partition), 0) for topic in SIDES)
                record = Vitals(
                    "judge", "", self.worker, partition, now_ms, books=self.held[partition].document(), lag=lag
                )
                outputs.add("vitals", partition, f"judge||{partition}".encode(), encode(record))
        return outputs

    def drain(self, now_ms: int) -> Outputs:
        """Nothing is ever under way."""
        return Outputs()

    def checkpoint(self, now_ms: int) -> Outputs:
        """The books as they stand, and up to where they have counted what is over."""
        outputs = Outputs()
        for partition in sorted(self.touched):
            outputs.add("judge-changelog", partition, BOOKS_KEY, self.held[partition].to_bytes())
        self.touched.clear()
        return outputs

    def committed(self) -> None:
        """Write the local state."""
        for held in self.held.values():
            held.pending.write(held.positions)

    def paused(self) -> frozenset[Input]:
        """Never: what waits is on disk."""
        return frozenset()

    def close(self) -> None:
        """Let go of the folders."""
        for held in self.held.values():
            held.pending.close()

    def _expire(self, partition: int, now_ms: int, lags: Mapping[Input, int]) -> None:
        """Take out what is over. Time stands where reading stands: what is still unread may hold the label."""
        held = self.held[partition]
        read_to = [now_ms if lags.get((topic, partition)) == 0 else held.newest_ms.get(topic, 0) for topic in SIDES]
        limit = (hour_of(min(now_ms, *read_to)) - self.horizon, b"")
        hour, identity = held.expired_to
        marks = held.pending.take_marks(max(limit, (hour, identity + b"\x00")), MARKS_PER_TICK)
        reached = marks[-1] if len(marks) == MARKS_PER_TICK else limit
        if not marks and reached <= held.expired_to:
            return
        # What was over before is counted already; it is here only because a crash kept it from being deleted.
        counted_to, held.expired_to = held.expired_to, max(held.expired_to, reached)
        for key, entry in held.pending.entries(key for _, key in marks).items():
            for one in entry.drop(key, held.expired_to, self.horizon):
                if (one.hour, key) > counted_to:
                    held.books["comparisons", "waiting"] -= 1
                    held.books["comparisons", "expired"] += 1
            for label in entry.labels:  # a horizon that was made longer moves its mark
                held.pending.mark(label.last + self.horizon, key)
            held.pending.change(key, entry)
        self.touched.add(partition)

    def _apply(self, piece: Slice, outputs: Outputs, books: Books, now_ms: int) -> None:
        held = self.held[piece.partition]
        entries = held.pending.entries(key for key in piece.keys if key)
        for key, entry in entries.items():
            entry.drop(key, held.expired_to, self.horizon)
        work = _Pass(held, piece.partition, outputs, books)
        take = self._take_label if piece.topic == "labels" else self._take_comparison
        rows = zip(piece.keys, piece.values, piece.timestamps, piece.offsets, strict=True)
        for key_, value, timestamp_ms, offset in rows:
            books[piece.topic, "read"] += 1
            try:
                if not key_:
                    raise Malformed("the key is not a request id")
                if take(parse_object(value), entries[key_], key_, hour_of(timestamp_ms), work):
                    held.pending.change(key_, entries[key_])
            except Malformed as error:
                books[piece.topic, "dead_lettered"] += 1
                source = f"{self.settings.namespace}.{piece.topic}"
                letter = dead_letter(source, piece.partition, offset, key_, value, reason=str(error), now_ms=now_ms)
                outputs.add("dead-letters", piece.partition, key_, letter)

    def _take_label(self, parsed: dict[str, Any], entry: Entry, key: bytes, hour: int, work: _Pass) -> bool:
        if "label" not in parsed or type(parsed.get("timestamp_ms")) is not int:
            raise Malformed("a label needs the fields 'label' and 'timestamp_ms'")
        probability = parsed.get("probability")
        if probability is not None and (type(probability) not in (int, float) or not 0 < probability <= 1):
            raise Malformed("the field 'probability' of a label has to be above 0 and at most 1, or null")
        if (hour + self.horizon, key) <= work.held.expired_to:
            work.books["labels", "too_old"] += 1
            return False
        work.books["labels", "duplicates" if entry.labels else "kept"] += 1
        if not entry.add_label(hour, parsed["label"], parsed["timestamp_ms"], self.horizon, probability):
            return False
        work.held.pending.mark(hour + self.horizon, key)
        for one, label in entry.take_labelled(self.horizon):
            work.books["comparisons", "waiting"] -= 1
            self._judge(one, label, key, work)
        return True

    def _take_comparison(self, parsed: dict[str, Any], entry: Entry, key: bytes, hour: int, work: _Pass) -> bool:
        if parsed.get("status") != "compared":
            work.books["comparisons", "not_compared"] += 1
            return False
        live, shadow, trial = parsed.get("live"), parsed.get("shadow"), parsed.get("trial")
        if not isinstance(live, dict) or not isinstance(shadow, dict) or not isinstance(trial, str):
            raise Malformed("a comparison needs the fields 'live', 'shadow' and 'trial'")
        answers = (live.get("prediction"), live.get("scores"), shadow.get("prediction"), shadow.get("scores"))
        one = Waiting(
            hour, trial, *answers, parsed.get("segments") or {}, parsed.get("weight", 1.0), parsed.get("agree")
        )
        label = entry.label_for(hour, self.horizon)
        if label is not None:
            self._judge(one, label, key, work)
            return False
        if (hour, key) <= work.held.expired_to:
            work.books["comparisons", "expired"] += 1
            return False
        work.books["comparisons", "waiting"] += 1
        work.held.pending.mark(hour, key)
        entry.waiting.append(one)
        return True

    def _judge(self, one: Waiting, label: Label, key: bytes, work: _Pass) -> None:
        comparator = self.comparators[one.trial.rpartition("~")[2].rpartition("@")[0]]
        live = comparator.judge(label.value, one.live_prediction, one.live_scores)
        shadow = comparator.judge(label.value, one.shadow_prediction, one.shadow_scores)
        work.books["comparisons", "judged"] += 1
        comparable = live.measure == shadow.measure  # losses of different kinds must not meet
        outcome = {
            "v": VERSION,
            "request_id": key.decode("utf-8", "replace"),
            "timestamp_ms": label.timestamp_ms,
            "trial": one.trial,
            "label": label.value,
            "live_correct": live.correct,
            "shadow_correct": shadow.correct,
            "live_loss": live.loss if comparable else None,
            "shadow_loss": shadow.loss if comparable else None,
            "weight": one.weight if label.probability is None else one.weight / label.probability,
            "segments": one.segments,
            "agree": one.agree,
            "live": {"prediction": one.live_prediction, "scores": one.live_scores},
            "shadow": {"prediction": one.shadow_prediction, "scores": one.shadow_scores},
            "retracts": False,
        }
        work.outputs.add("outcomes", work.partition, key, orjson.dumps(outcome))
