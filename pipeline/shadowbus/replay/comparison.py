"""Two answers become one comparison: the bytes that the comparisons topic holds.

Built a chunk at a time, from the live prediction as it was parsed and from JSON fragments that the model process made
ready, because this runs once for every request there is.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from orjson import dumps

from shadowbus.compare.comparator import Comparator
from shadowbus.dead_letters import dead_letter
from shadowbus.errors import Malformed
from shadowbus.records import VERSION, parse_object
from shadowbus.replay.books import Entry
from shadowbus.replay.model_messages import Answers
from shadowbus.stage import Row

MODEL_CHARACTERS = 200

_NOT_COMPARED = (b',"agree":null,"distance":null',)


Live = dict[str, Any]
"""The live side of a comparison."""

Pair = tuple[int, bytes, bytes, int, Live | None, str]
"""A request and its live prediction: partition, key, the request's value and offset, the live answer (None when none
came within the join window), and the live model's name. A tuple, because one is made for every request."""


@dataclass(slots=True)
class Settled:
    """What became of a chunk: rows for two topics, and the counts for the books of each partition."""

    comparisons: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    counts: dict[int, Counter[Entry]] = field(default_factory=dict)

    def count(self, partition: int, *entry: str, by: int = 1) -> None:
        """So many more of something."""
        self.counts.setdefault(partition, Counter())[entry] += by


def live_of(key: bytes, value: bytes) -> Live:
    """The live side of a comparison, from a prediction's value.

    Raises:
        Malformed: It is not a prediction, or its id is not its key.
    """
    parsed = parse_object(value)
    get = parsed.get
    model, request_id = get("model"), get("request_id")
    scores, latency, error = get("scores"), get("latency_ms"), get("error")
    if type(request_id) is not str or request_id.encode() != key:
        raise Malformed("the field 'request_id' has to be text and the same as the record's key")
    if type(model) is not str or not 0 < len(model) <= MODEL_CHARACTERS or "|" in model or "~" in model:
        raise Malformed("the field 'model' has to be text such as name@version")
    if "prediction" not in parsed:
        raise Malformed("the field 'prediction' is missing")
    if type(latency) not in _NUMBER or type(scores) not in _SCORES or type(error) not in _TEXT:
        raise Malformed("one of the fields 'latency_ms', 'scores' and 'error' has a value of a wrong type")
    return {"model": model, "prediction": parsed["prediction"], "scores": scores, "latency_ms": latency, "error": error}


_NUMBER = (float, int, type(None))
_SCORES = (list, dict, type(None))
_TEXT = (type(None), str)


def _all_answered(pairs: list[Pair]) -> bool:
    """Whether one live model answered every request."""
    return len({pair[5] for pair in pairs}) == 1 and all(pair[4] and pair[4]["error"] is None for pair in pairs)


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
        self._heads: dict[tuple[str, str], bytes] = {}

    def trial(self, live_model: str) -> str:
        """The name of the trial of this shadow against a live model."""
        return f"{live_model}~{self._shadow}"

    def settle(self, pairs: list[Pair], answers: Answers, now_ms: int) -> Settled:
        """The comparisons of a chunk, and dead letters for requests that could not be read."""
        if not answers.failed and not answers.malformed and _all_answered(pairs):
            return self._settle_compared(pairs, answers)
        settled, rows = Settled(), []
        failed, malformed = answers.failed, answers.malformed
        agreements = self._agreements(pairs, answers)
        requests, shadows = iter(answers.requests), iter(answers.shadows)
        outcomes: list[tuple[int, str, str]] = []
        for row, pair in enumerate(pairs):
            partition, key, _, _, live, live_model = pair
            if row in malformed:
                self._set_aside(pair, malformed[row], settled, now_ms)
                continue
            status = "compared"
            agree: tuple[bytes, ...] = _NOT_COMPARED
            if row in failed:
                status, text = failed[row]
                shadow = self._failure(text)
            else:
                shadow = next(shadows)
            if live is None:
                status = "live_missing"
            elif live["error"] is not None:
                status = "live_error"
            elif status == "compared":
                agree = next(agreements)
            head = self._head(live_model, status)
            value = b"".join((head, dumps(live), b',"shadow":', shadow, *agree, b',"weight":1.0,', next(requests)))
            rows.append((partition, key, value))
            outcomes.append((partition, live_model, status))
        settled.comparisons += rows
        for (partition, live_model, status), count in Counter(outcomes).items():
            settled.count(partition, "comparisons", self.trial(live_model), status, by=count)
        return settled

    def _settle_compared(self, pairs: list[Pair], answers: Answers) -> Settled:
        """The usual chunk: both models answered every request, and one live model all of them."""
        settled, model = Settled(), pairs[0][5]
        lives = [cast(Live, pair[4]) for pair in pairs]
        agreements = self._agreement_texts(lives, answers.predictions, answers.scores)
        head = self._head(model, "compared")
        columns = zip(pairs, lives, answers.shadows, agreements, answers.requests, strict=True)
        settled.comparisons = [
            (pair[0], pair[1], b"".join((head, dumps(live), b',"shadow":', shadow, *agree, b',"weight":1.0,', request)))
            for pair, live, shadow, agree, request in columns
        ]
        for partition, count in Counter([pair[0] for pair in pairs]).items():
            settled.count(partition, "comparisons", self.trial(model), "compared", by=count)
        return settled

    def unpaired(self, key: bytes, live: dict[str, Any], timestamp_ms: int) -> bytes:
        """The comparison of a live prediction whose request never came, or could not be read."""
        return dumps(
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

    def _agreements(self, pairs: list[Pair], answers: Answers) -> Iterator[tuple[bytes, ...]]:
        """Agreement and distance, as JSON, of the rows that both models answered, in their order."""
        lives: list[Live] = []
        predictions: list[Any] = []
        scores: list[Any] = []
        predicted = zip(answers.predictions, answers.scores, strict=True)
        for row, pair in enumerate(pairs):
            if row in answers.malformed or row in answers.failed:
                continue
            prediction, score = next(predicted)
            live = pair[4]
            if live is not None and live["error"] is None:
                lives.append(live)
                predictions.append(prediction)
                scores.append(score)
        return self._agreement_texts(lives, predictions, scores)

    def _agreement_texts(
        self, lives: list[Live], predictions: list[Any], scores: list[Any]
    ) -> Iterator[tuple[bytes, ...]]:
        agree, distance = self.comparator.compare(
            [live["prediction"] for live in lives], [live["scores"] for live in lives], predictions, scores
        )
        texts = (dumps(column)[1:-1].split(b",") for column in (agree, distance))
        return ((b',"agree":', same, b',"distance":', apart) for same, apart in zip(*texts, strict=True))

    def _head(self, live_model: str, status: str) -> bytes:
        """How a comparison begins; made once for each live model and status."""
        head = self._heads.get((live_model, status))
        if head is None:
            start = {"v": VERSION, "trial": self.trial(live_model), "status": status}
            head = self._heads[live_model, status] = dumps(start)[:-1] + b',"live":'
        return head

    def _failure(self, text: str) -> bytes:
        return dumps({"model": self.model, "prediction": None, "scores": None, "latency_ms": None, "error": text})

    def _set_aside(self, pair: Pair, reason: str, settled: Settled, now_ms: int) -> None:
        """The request cannot be read; its live prediction, if there is one, has none."""
        partition, key, request, offset, live, live_model = pair
        topic = f"{self.namespace}.requests"
        letter = dead_letter(topic, partition, offset, key, request, reason=reason, now_ms=now_ms)
        settled.dead_letters.append((partition, key, letter))
        settled.count(partition, "requests", "dead_lettered")
        if live is not None:
            settled.comparisons.append((partition, key, self.unpaired(key, live, now_ms)))
            settled.count(partition, "comparisons", self.trial(live_model), "request_missing")
