"""Writes comparisons: two answers to one request become the bytes of one record.

In: joined rows and the shadow's answers to them. Out: comparisons, dead letters, and counts for the books. Comparisons
are built a chunk at a time, column by column, because this runs once for every request.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from operator import attrgetter
from typing import Any, Protocol

from orjson import dumps

from shadowbus.compare.comparator import Comparator
from shadowbus.limits import brief, first_time_ms
from shadowbus.records import VERSION
from shadowbus.records.comparison_tail import tail_of
from shadowbus.records.dead_letters import dead_letter, letter_key
from shadowbus.records.json_column import json_column
from shadowbus.replay.answer_json import Texts, written
from shadowbus.replay.books import Entry, RunningNumbers
from shadowbus.replay.in_flight import JoinedRows
from shadowbus.replay.live import Live, text_of
from shadowbus.replay.model.messages import Answers
from shadowbus.stage import Row
from shadowbus.trials import TrialName

_prediction_of, _scores_of = attrgetter("prediction"), attrgetter("scores")

_NO_LATENCY = b',"latency_ms":null,"error":null}'
_NOT_COMPARED = b',"agree":null,"distance":null'


class Enricher(Protocol):
    """Adds fields of their requests to comparisons."""

    def enrich(self, tails: list[bytes], rows: JoinedRows) -> list[bytes]:
        """The tails of n comparisons, with more fields from their n readable requests."""
        ...


@dataclass(slots=True)
class Settled:
    """What became of a chunk: rows for two topics, and the counts for the books of each partition."""

    comparisons: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    counts: dict[int, Counter[Entry]] = field(default_factory=dict)

    def count(self, partition: int, *entry: str, by: int = 1) -> None:
        """Add to a count of the books."""
        self.counts.setdefault(partition, Counter())[entry] += by


class Comparisons:
    """Makes comparisons of one shadow.

    Args:
        namespace: Names the topics that dead letters come from.
        shadow: The shadow's name in the settings.
        model: The shadow's model, `name@version`.
        comparator: Says whether two answers agree.
        numbers: Gives out their running numbers.
        enrichers: What adds more fields of the requests, in this order.
    """

    def __init__(
        self,
        namespace: str,
        shadow: str,
        model: str,
        comparator: Comparator,
        numbers: RunningNumbers,
        enrichers: Sequence[Enricher] = (),
    ) -> None:
        self.namespace, self.model, self.comparator, self.enrichers = namespace, model, comparator, enrichers
        self.numbers = numbers
        self._shadow = f"{shadow}@{model.rpartition('@')[2]}"
        self._shadow_start = b',"shadow":{"model":%b,"prediction":' % dumps(model)
        self._heads: dict[tuple[str, str], bytes] = {}

    def trial(self, live_model: str) -> str:
        """The name of the trial of this shadow against a live model."""
        return str(TrialName(live_model, self._shadow))

    def settle(self, joined: JoinedRows, answers: Answers, now_ms: int) -> Settled:
        """The comparisons of a chunk, and dead letters for requests that could not be read."""
        settled = Settled()
        if answers.malformed:
            joined, answers = self._set_aside(joined, answers, settled, now_ms)
        answers, texts = written(answers)
        for addition in self.enrichers:
            answers.tails = addition.enrich(answers.tails, joined)
        kinds = set(joined.models)
        if len(kinds) == 1 and not answers.failed and all(map(_answered, joined.lives)):
            self._settle_compared(joined, kinds.pop(), answers, texts, settled)
        else:
            self._settle_mixed(joined, answers, texts, settled)
        return settled

    def unpaired(self, partition: int, key: bytes, live: Live, timestamp_ms: int, weight: float = 1.0) -> bytes:
        """The comparison of a live prediction whose request never came, or could not be read.

        `timestamp_ms` is a time that `limits.py` takes for one.
        """
        head = self._head(live.model, "request_missing")
        number = b',"number":%d' % self.numbers.next(partition, self.trial(live.model))
        return b"".join(
            (
                head,
                text_of(live),
                b',"shadow":null',
                _NOT_COMPARED,
                number,
                _weight(weight),
                tail_of(key.decode(), timestamp_ms),
            )
        )

    def _settle_compared(
        self, joined: JoinedRows, model: str, answers: Answers, texts: Texts, settled: Settled
    ) -> None:
        """The usual chunk: both models answered every request, and one live model all of them."""
        columns = (
            repeat(self._head(model, "compared")),
            map(text_of, joined.lives),
            *self._shadow_columns(answers, texts),
            *self._agreement_columns(joined.lives, answers.predictions, answers.scores),
            repeat(b',"number":'),
            json_column(self.numbers.of(joined.partitions, self.trial(model))),
            repeat(_weight(joined.weight)),
            answers.tails,
        )
        settled.comparisons += zip(
            joined.partitions, joined.keys, map(b"".join, zip(*columns, strict=False)), strict=True
        )
        for partition, count in Counter(joined.partitions).items():
            settled.count(partition, "comparisons", self.trial(model), "compared", by=count)

    def _settle_mixed(self, joined: JoinedRows, answers: Answers, texts: Texts, settled: Settled) -> None:
        """A chunk in which one of the models failed, or was not asked, or the live model changed."""
        shadows = iter(list(map(b"".join, zip(*self._shadow_columns(answers, texts), strict=False))))
        agreements = self._agreements(joined, answers)
        failed, weight = answers.failed, _weight(joined.weight)
        for row, (model, live, tail) in enumerate(zip(joined.models, joined.lives, answers.tails, strict=True)):
            status, error = failed.get(row, ("compared", ""))
            shadow = self._failure(error) if row in failed else next(shadows)
            if live is None:
                status = "live_missing"
            elif live.error is not None:
                status = "live_error"
            agreement = next(agreements) if status == "compared" else _NOT_COMPARED
            live_text = b"null" if live is None else text_of(live)
            number = b',"number":%d' % self.numbers.next(joined.partitions[row], self.trial(model))
            value = b"".join((self._head(model, status), live_text, shadow, agreement, number, weight, tail))
            settled.comparisons.append((joined.partitions[row], joined.keys[row], value))
            settled.count(joined.partitions[row], "comparisons", self.trial(model), status)

    def _shadow_columns(self, answers: Answers, texts: Texts) -> tuple[Iterable[bytes], ...]:
        """The shadow's side of each predicted row; zipped and joined it is the text."""
        ends = [_NO_LATENCY] * len(answers.predictions)
        timed = dumps(answers.timed)
        for position, latency_ms in answers.latencies.items():
            ends[position] = b',"latency_ms":%b,"timed":%b,"error":null}' % (dumps(latency_ms), timed)
        predictions, scores = texts
        return repeat(self._shadow_start), predictions, repeat(b',"scores":'), scores, ends

    def _agreements(self, joined: JoinedRows, answers: Answers) -> Iterator[bytes]:
        """Agreement and distance, as JSON, of the rows that both models answered, in their order."""
        predicted = (row for row in range(len(joined)) if row not in answers.failed)
        both = [position for position, row in enumerate(predicted) if _answered(joined.lives[row])]
        predictions, scores = ([column[at] for at in both] for column in (answers.predictions, answers.scores))
        lives = [live for row, live in enumerate(joined.lives) if row not in answers.failed and _answered(live)]
        return map(b"".join, zip(*self._agreement_columns(lives, predictions, scores), strict=False))

    def _agreement_columns(
        self, lives: Sequence[Any], predictions: list[Any], scores: list[Any]
    ) -> tuple[Iterable[bytes], ...]:
        agree, distance = self.comparator.compare(
            list(map(_prediction_of, lives)), list(map(_scores_of, lives)), predictions, scores
        )
        return repeat(b',"agree":'), json_column(agree), repeat(b',"distance":'), json_column(distance)

    def _head(self, live_model: str, status: str) -> bytes:
        """How a comparison begins; made once for each live model and status."""
        head = self._heads.get((live_model, status))
        if head is None:
            start = {"v": VERSION, "trial": self.trial(live_model), "status": status}
            head = self._heads[live_model, status] = dumps(start)[:-1] + b',"live":'
        return head

    def _failure(self, text: str) -> bytes:
        return self._shadow_start + b'null,"scores":null,"latency_ms":null,"error":%b}' % dumps(brief(text))

    def _set_aside(
        self, joined: JoinedRows, answers: Answers, settled: Settled, now_ms: int
    ) -> tuple[JoinedRows, Answers]:
        """Make dead letters of requests that cannot be read, and unpaired comparisons of their predictions."""
        topic, malformed, good = f"{self.namespace}.requests", answers.malformed, list[int]()
        for row, (partition, key) in enumerate(zip(joined.partitions, joined.keys, strict=True)):
            if row not in malformed:
                good.append(row)
                continue
            value, offset, live = joined.values[row], joined.offsets[row], joined.lives[row]
            letter = dead_letter(topic, partition, offset, key, value, reason=malformed[row], now_ms=now_ms)
            settled.dead_letters.append((partition, letter_key(key), letter))
            settled.count(partition, "requests", "dead_lettered")
            if live is not None:
                value = self.unpaired(partition, key, live, first_time_ms(now_ms), joined.weight)
                settled.comparisons.append((partition, key, value))
                settled.count(partition, "comparisons", self.trial(live.model), "request_missing")
        failed = {position: answers.failed[row] for position, row in enumerate(good) if row in answers.failed}
        return joined.only(good), replace(answers, failed=failed, malformed={})


def _weight(weight: float) -> bytes:
    return b',"weight":%b,' % dumps(weight)


def _answered(live: Live | None) -> bool:
    return live is not None and live.error is None
