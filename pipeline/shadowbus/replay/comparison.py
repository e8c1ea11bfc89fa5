"""Two answers become one comparison: the bytes that the comparisons topic holds.

Built a chunk at a time, from the live prediction as it was parsed and from JSON fragments that the model process made
ready, because this runs once for every request there is.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from shadowbus.compare.comparator import Comparator
from shadowbus.dead_letters import dead_letter
from shadowbus.errors import Malformed
from shadowbus.records import VERSION, parse_object
from shadowbus.replay.books import Entry
from shadowbus.replay.model_messages import Answers
from shadowbus.stage import Row

MODEL_CHARACTERS = 200


class Pair(NamedTuple):
    """A request and its live prediction (None when none came within the join window)."""

    partition: int
    key: bytes
    request: bytes
    request_offset: int
    live: dict[str, Any] | None
    live_model: str


@dataclass(slots=True)
class Settled:
    """What became of a chunk: rows for two topics, and the counts for the books of each partition."""

    comparisons: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    counts: dict[int, Counter[Entry]] = field(default_factory=dict)

    def count(self, partition: int, *entry: str) -> None:
        """One more of something."""
        self.counts.setdefault(partition, Counter())[entry] += 1


def live_of(key: bytes, value: bytes) -> dict[str, Any]:
    """The live side of a comparison, from a prediction's value.

    Raises:
        Malformed: It is not a prediction, or its id is not its key.
    """
    parsed = parse_object(value)
    model, error, latency = parsed.get("model"), parsed.get("error"), parsed.get("latency_ms")
    scores = parsed.get("scores")
    if not isinstance(model, str) or not 0 < len(model) <= MODEL_CHARACTERS or "|" in model or "~" in model:
        raise Malformed("the field 'model' has to be text such as name@version")
    if error is not None and not isinstance(error, str):
        raise Malformed("the field 'error' has to be text or null")
    if "prediction" not in parsed:
        raise Malformed("the field 'prediction' is missing")
    if latency is not None and type(latency) is not float and type(latency) is not int:
        raise Malformed("the field 'latency_ms' has to be a number or null")
    if scores is not None and not isinstance(scores, list | dict):
        raise Malformed("the field 'scores' has to be a list, an object or null")
    request_id = parsed.get("request_id")
    if not isinstance(request_id, str) or request_id.encode() != key:
        raise Malformed("the field 'request_id' has to be text and the same as the record's key")
    return {
        "model": model,
        "prediction": parsed["prediction"],
        "scores": scores,
        "latency_ms": latency,
        "error": error,
    }


class Comparisons:
    """Makes comparisons of one shadow.

    Args:
        namespace: Names the topics that dead letters come from.
        shadow: The shadow's name in the settings.
        model: The shadow's model, `name@version`.
        comparator: Says whether two answers agree.
    """

    def __init__(self, namespace: str, shadow: str, model: str, comparator: Comparator) -> None:
        self.namespace, self.model, self.comparator = namespace, model, comparator
        self._shadow = f"{shadow}@{model.rpartition('@')[2]}"

    def trial(self, live_model: str) -> str:
        """The name of the trial of this shadow against a live model."""
        return f"{live_model}~{self._shadow}"

    def settle(self, pairs: list[Pair], answers: Answers, now_ms: int) -> Settled:
        """The comparisons of a chunk, and dead letters for requests that could not be read."""
        settled = Settled()
        failed, malformed = answers.failed, answers.malformed
        agreements = self._agreements(pairs, answers)
        requests, shadows = iter(answers.requests), iter(answers.shadows)
        for row, pair in enumerate(pairs):
            if row in malformed:
                self._set_aside(pair, malformed[row], settled, now_ms)
                continue
            request = next(requests)
            status: str = "compared"
            if row in failed:
                status, text = failed[row]
                shadow: Any = {
                    "model": self.model,
                    "prediction": None,
                    "scores": None,
                    "latency_ms": None,
                    "error": text,
                }
            else:
                shadow = orjson.Fragment(next(shadows))
            agree, distance = None, None
            if pair.live is None:
                status = "live_missing"
            elif pair.live["error"] is not None:
                status = "live_error"
            elif row not in failed:
                agree, distance = next(agreements)
            trial = self.trial(pair.live_model)
            head = orjson.dumps(
                {
                    "v": VERSION,
                    "trial": trial,
                    "status": status,
                    "live": pair.live,
                    "shadow": shadow,
                    "agree": agree,
                    "distance": distance,
                    "weight": 1.0,
                }
            )
            settled.comparisons.append((pair.partition, pair.key, b"%b,%b" % (head[:-1], request)))
            settled.count(pair.partition, "comparisons", trial, status)
        return settled

    def unpaired(self, key: bytes, live: dict[str, Any], timestamp_ms: int) -> bytes:
        """The comparison of a live prediction whose request never came, or could not be read."""
        return orjson.dumps(
            {
                "v": VERSION,
                "request_id": key.decode(),
                "timestamp_ms": timestamp_ms,
                "trial": self.trial(live["model"]),
                "status": "request_missing",
                "live": live,
                "shadow": None,
                "agree": None,
                "distance": None,
                "weight": 1.0,
                "segments": {},
                "missing_features": [],
            }
        )

    def _agreements(self, pairs: list[Pair], answers: Answers) -> Any:
        """Agreement and distance of the rows that both models answered, in their order."""
        live, live_scores, shadow, shadow_scores = [], [], [], []
        position = 0
        for row, pair in enumerate(pairs):
            if row in answers.malformed or row in answers.failed:
                continue
            if pair.live is not None and pair.live["error"] is None:
                live.append(pair.live["prediction"])
                live_scores.append(pair.live["scores"])
                shadow.append(answers.predictions[position])
                shadow_scores.append(answers.scores[position])
            position += 1
        agree, distance = self.comparator.compare(live, live_scores, shadow, shadow_scores)
        return zip(agree, distance, strict=True)

    def _set_aside(self, pair: Pair, reason: str, settled: Settled, now_ms: int) -> None:
        """The request cannot be read; its live prediction, if there is one, has none."""
        letter = dead_letter(
            f"{self.namespace}.requests",
            pair.partition,
            pair.request_offset,
            pair.key,
            pair.request,
            reason=reason,
            now_ms=now_ms,
        )
        settled.dead_letters.append((pair.partition, pair.key, letter))
        settled.count(pair.partition, "requests", "dead_lettered")
        if pair.live is not None:
            settled.comparisons.append((pair.partition, pair.key, self.unpaired(pair.key, pair.live, now_ms)))
            settled.count(pair.partition, "comparisons", self.trial(pair.live_model), "request_missing")
