"""The join of comparisons with their labels, in one partition.

In: a batch of either input, and the entries that are kept. Out: changed entries, counts, outcomes and dead letters.
"""

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
    """The join of one batch with the entries of its partition.

    Attributes:
        state: The partition.
        horizon: How far a label reaches, in hours.
        comparators: How to judge the answers of each shadow, by its name.
        books: Where to count.
        outputs: Where to write; None where the outputs of this batch are already committed.
        namespace: The namespace of the topics.
        now_ms: The time for dead letters, in milliseconds since the epoch.
    """

    state: JudgePartition
    horizon: int
    comparators: Mapping[str, Comparator]
    books: Books
    outputs: Outputs | None
    namespace: str
    now_ms: int

    def apply(self, records: RecordBatch) -> None:
        """Apply a whole batch."""
        store, watermark = self.state.store, self.state.watermark
        hours = [hour_of(timestamp_ms) for timestamp_ms in records.timestamps]
        entries = store.entries(zip(records.keys, hours, strict=True))
        for key, entry in entries.items():
            if entry.due <= watermark.aim:
                entry.drop(key, watermark, self.horizon)
        take = self._label if records.topic == "labels" else self._comparison
        dead_lettered = 0
        for key_, value, hour, offset in zip(records.keys, records.values, hours, records.offsets, strict=True):
            try:
                if not key_ or len(key_) > MAX_ID_BYTES:
                    raise Malformed("the key is not a request id")
                entry = entries[key_]
                if take(value, entry, key_, hour):
                    store.change(key_, entry)
            except Malformed as error:
                dead_lettered += 1
                self._set_aside(records, key_, value, offset, str(error))
        self.books[records.topic, "read"] += len(records.offsets)
        self.books[records.topic, "dead_lettered"] += dead_lettered

    def _comparison(self, value: bytes | None, entry: Entry, key: bytes, hour: int) -> bool:
        one = read_comparison(value, hour - entry.hour, self.state.store.dictionary)
        if one is None:
            self.books["comparisons", "not_compared"] += 1
            return False
        over = self.state.watermark.over(hour, key)
        if entry.labels and (label := entry.label_for(one, self.horizon)) is not None:
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
        if self.state.watermark.over(hour + self.horizon, key):
            self.books["labels", "too_old"] += 1
            return False
        before = entry.labels[-1] if entry.labels else None
        became = entry.correct(label, self.horizon)
        self.books["labels", became] += 1
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
            shared = self.state.store.dictionary.fields_of(one.shared)
            value = outcome(key, shared, one, label, self.comparators[shared.shadow], retracts=retracts)
            self.outputs.add("outcomes", self.state.partition, key, value)

    def _set_aside(
        self, records: RecordBatch, key: bytes | None, value: bytes | None, offset: int, reason: str
    ) -> None:
        if self.outputs is not None:
            source = f"{self.namespace}.{records.topic}"
            letter = dead_letter(source, records.partition, offset, key, value, reason=reason, now_ms=self.now_ms)
            self.outputs.add("dead-letters", records.partition, letter_key(key), letter)


_Values = list[float] | bytes | None


def outcome(
    key: bytes,
    shared: SharedFields,
    one: KeptComparison,
    label: KeptLabel,
    comparator: Comparator,
    *,
    retracts: bool = False,
) -> bytes:
    """The bytes of an outcome; equal arguments give equal bytes.

    Args:
        key: The request id.
        shared: The fields that it shares with other comparisons.
        one: The comparison.
        label: What really happened.
        comparator: Says who was right.
        retracts: Whether this retracts an outcome that is otherwise the same.
    """
    truth = orjson.loads(label.value)
    answers = orjson.loads(one.live), orjson.loads(one.shadow)
    scores = _scores(shared.live_names, one.live_scores), _scores(shared.shadow_names, one.shadow_scores)
    live, shadow = (comparator.judge(truth, answer, known) for answer, known in zip(answers, scores, strict=True))
    comparable = live.measure == shadow.measure  # losses of different kinds must not be compared
    found: dict[str, object] = {
        "v": VERSION,
        "request_id": key.decode("utf-8", "replace"),
        "timestamp_ms": label.timestamp_ms,
        "trial": shared.trial,
        "label": orjson.Fragment(label.value),
        "live_correct": live.correct,
        "shadow_correct": shadow.correct,
        "live_loss": live.loss if comparable else None,
        "shadow_loss": shadow.loss if comparable else None,
        "weight": shared.weight if label.probability is None else shared.weight / label.probability,
        "segments": orjson.Fragment(shared.segments),
        "agree": one.agree,
        "live": {"prediction": orjson.Fragment(one.live), "scores": scores[0]},
        "shadow": {"prediction": orjson.Fragment(one.shadow), "scores": scores[1]},
        "retracts": retracts,
    }
    if shared.trained_on:
        found["trained_on"] = True
    if shared.before_bundle:
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
