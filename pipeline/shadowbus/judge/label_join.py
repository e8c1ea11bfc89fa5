"""Comparisons and labels of one partition, applied to its entries: what is kept, what is counted, what is written."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from shadowbus.compare import Comparator, Scores
from shadowbus.errors import Malformed
from shadowbus.judge.dictionary import SharedFields
from shadowbus.judge.entry import Entry, KeptComparison, KeptLabel, hour_of
from shadowbus.judge.parse import read_comparison, read_label
from shadowbus.judge.state import Books, JudgePartition
from shadowbus.limits import MAX_ID_BYTES
from shadowbus.records import VERSION
from shadowbus.records.dead_letters import dead_letter, letter_key
from shadowbus.stage import Outputs, RecordBatch
from shadowbus.topology import MAX_OUTPUT_BYTES


@dataclass(slots=True)
class LabelJoin:
    """One slice and the partition it belongs to.

    Attributes:
        held: The partition.
        horizon: How far a label reaches, in hours.
        comparators: How to judge the answers of each shadow, by its name.
        books: Where to count.
        outputs: Where to write; None when all of it was written before.
        namespace: What stands before the topic's name.
        now_ms: The time, for dead letters.
    """

    held: JudgePartition
    horizon: int
    comparators: Mapping[str, Comparator]
    books: Books
    outputs: Outputs | None
    namespace: str
    now_ms: int

    def take(self, piece: RecordBatch) -> None:
        """Apply all of a slice."""
        pending, swept = self.held.pending, self.held.swept
        hours = [hour_of(timestamp_ms) for timestamp_ms in piece.timestamps]
        entries = pending.entries(zip(piece.keys, hours, strict=True))
        for key, entry in entries.items():
            if entry.due <= swept.aim:
                entry.drop(key, swept, self.horizon)
        take = self._label if piece.topic == "labels" else self._comparison
        dead_lettered = 0
        for key_, value, hour, offset in zip(piece.keys, piece.values, hours, piece.offsets, strict=True):
            try:
                if not key_ or len(key_) > MAX_ID_BYTES:
                    raise Malformed("the key is not a request id")
                entry = entries[key_]
                if take(value, entry, key_, hour):
                    pending.change(key_, entry)
            except Malformed as error:
                dead_lettered += 1
                self._set_aside(piece, key_, value, offset, str(error))
        self.books[piece.topic, "read"] += len(piece.offsets)
        self.books[piece.topic, "dead_lettered"] += dead_lettered

    def _comparison(self, value: bytes | None, entry: Entry, key: bytes, hour: int) -> bool:
        one = read_comparison(value, hour - entry.hour, self.held.pending.frames)
        if one is None:
            self.books["comparisons", "not_compared"] += 1
            return False
        over = self.held.swept.over(hour, key)
        if entry.labels and (label := entry.judged_by(one, self.horizon)) is not None:
            self.books["comparisons", "judged"] += 1
            self._write(key, one, label)
        else:
            self.books["comparisons", "expired" if over else "waiting"] += 1
        if over:
            return False
        entry.add(one)
        return True

    def _label(self, value: bytes | None, entry: Entry, key: bytes, hour: int) -> bool:
        label = read_label(key, value, hour - entry.hour)
        if self.held.swept.over(hour + self.horizon, key):
            self.books["labels", "too_old"] += 1
            return False
        before = entry.labels[-1] if entry.labels else None
        self.books["labels", entry.correct(label, self.horizon)] += 1
        if entry.labels[-1] is before:
            return False
        for one, replaced, now in entry.changes(self.horizon):
            if replaced is None:
                self.books["comparisons", "waiting"] -= 1
                self.books["comparisons", "judged"] += 1
            else:
                self._write(key, one, replaced, retracts=True)
            self._write(key, one, now)
        return True

    def _write(self, key: bytes, one: KeptComparison, label: KeptLabel, *, retracts: bool = False) -> None:
        if self.outputs is not None:
            frame = self.held.pending.frames.frame_of(one.frame)
            value = outcome(key, frame, one, label, self.comparators[frame.shadow], retracts=retracts)
            self.outputs.add("outcomes", self.held.partition, key, value)

    def _set_aside(self, piece: RecordBatch, key: bytes | None, value: bytes | None, offset: int, reason: str) -> None:
        if self.outputs is not None:
            source = f"{self.namespace}.{piece.topic}"
            letter = dead_letter(source, piece.partition, offset, key, value, reason=reason, now_ms=self.now_ms)
            self.outputs.add("dead-letters", piece.partition, letter_key(key), letter)


_Values = list[float] | bytes | None


def outcome(
    key: bytes,
    frame: SharedFields,
    one: KeptComparison,
    label: KeptLabel,
    comparator: Comparator,
    *,
    retracts: bool = False,
) -> bytes:
    """The outcome's bytes, the same whenever they are made of the same.

    Args:
        key: The request id.
        frame: What stands around the comparison's answers.
        one: The comparison.
        label: What really happened.
        comparator: Says who was right.
        retracts: Whether an outcome that is otherwise the same is taken back.
    """
    truth = orjson.loads(label.value)
    answers = orjson.loads(one.live), orjson.loads(one.shadow)
    scores = _scores(frame.live_names, one.live_scores), _scores(frame.shadow_names, one.shadow_scores)
    live, shadow = (comparator.judge(truth, answer, known) for answer, known in zip(answers, scores, strict=True))
    comparable = live.measure == shadow.measure  # losses of different kinds must not meet
    found: dict[str, object] = {
        "v": VERSION,
        "request_id": key.decode("utf-8", "replace"),
        "timestamp_ms": label.timestamp_ms,
        "trial": frame.trial,
        "label": orjson.Fragment(label.value),
        "live_correct": live.correct,
        "shadow_correct": shadow.correct,
        "live_loss": live.loss if comparable else None,
        "shadow_loss": shadow.loss if comparable else None,
        "weight": frame.weight if label.probability is None else frame.weight / label.probability,
        "segments": orjson.Fragment(frame.segments),
        "agree": one.agree,
        "live": {"prediction": orjson.Fragment(one.live), "scores": scores[0]},
        "shadow": {"prediction": orjson.Fragment(one.shadow), "scores": scores[1]},
        "retracts": retracts,
    }
    if frame.trained_on:
        found["trained_on"] = True
    if frame.before_bundle:
        found["before_bundle"] = True
    value = orjson.dumps(found)
    if len(value) <= MAX_OUTPUT_BYTES - len(key):
        return value
    # Answers and labels that replay and the judge let in are smaller; these are of a release that let in more.
    return orjson.dumps({**found, "label": None, "live": None, "shadow": None})


def _scores(names: tuple[str, ...] | None, values: _Values) -> Scores | None:
    if isinstance(values, bytes):
        found: Scores = orjson.loads(values)
        return found
    return values if names is None or values is None else dict(zip(names, values, strict=True))
