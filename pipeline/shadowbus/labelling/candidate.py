"""Comparisons that could be labelled.

In: the bytes of comparisons and labels, of many trials. Out: those of one trial that both models answered and nobody
has labelled. What cannot be read is left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec import DecodeError, Struct
from msgspec.json import Decoder

UNREADABLE = (DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A comparison that has no label: `live` and `shadow` are the two predictions."""

    request_id: str
    timestamp_ms: int
    agree: bool
    live: Any
    shadow: Any
    segments: dict[str, Any]


@dataclass(slots=True)
class Candidates:
    """The candidates of a trial; `trial` is empty where there is none of this shadow.

    `labelled` counts comparisons that have a label, `queued` those of them that an earlier queue had chosen, and
    `queued_ms` is the time of the newest of these.
    """

    trial: str = ""
    found: list[Candidate] = field(default_factory=list)
    labelled: int = 0
    queued: int = 0
    queued_ms: int = 0
    newest_ms: int = 0


class _Answer(Struct):
    prediction: Any = None


class _Comparison(Struct):
    request_id: str
    timestamp_ms: int
    trial: str
    status: str
    agree: bool | None = None
    live: _Answer | None = None
    shadow: _Answer | None = None
    segments: dict[str, Any] = {}


class _Label(Struct):
    request_id: str
    probability: float | None = None


def candidates_of(
    comparisons: Iterable[bytes], labels: Iterable[bytes], shadow: str, trial: str | None = None, since_ms: int = 0
) -> Candidates:
    """What could be labelled of one trial of a shadow.

    Args:
        comparisons: Comparisons as JSON.
        labels: Labels as JSON.
        shadow: The shadow's name in the settings.
        trial: Which of its trials; else the one with the newest comparison.
        since_ms: Only requests of that time or later.
    """
    found, newest = dict[str, dict[str, Candidate]](), dict[str, int]()
    read = Decoder(_Comparison).decode
    for value in comparisons:
        try:
            one = read(value)
        except UNREADABLE:
            continue
        if one.trial.partition("~")[2].partition("@")[0] != shadow or trial not in (None, one.trial):
            continue
        of_trial = found.setdefault(one.trial, {})
        newest[one.trial] = max(newest.get(one.trial, 0), one.timestamp_ms)
        if (
            one.status == "compared"
            and one.agree is not None
            and one.timestamp_ms >= since_ms
            and one.live
            and one.shadow
        ):
            of_trial[one.request_id] = Candidate(
                one.request_id, one.timestamp_ms, one.agree, one.live.prediction, one.shadow.prediction, one.segments
            )
    if not found:
        return Candidates()
    result = Candidates(max(found, key=lambda name: (newest[name], name)))
    result.newest_ms = newest[result.trial]
    return _without_labelled(result, found[result.trial], labels)


def _without_labelled(result: Candidates, left: dict[str, Candidate], labels: Iterable[bytes]) -> Candidates:
    read = Decoder(_Label).decode
    for value in labels:
        try:
            label = read(value)
        except UNREADABLE:
            continue
        one = left.pop(label.request_id, None)
        if one is not None:
            result.labelled += 1
            if label.probability is not None:
                result.queued += 1
                result.queued_ms = max(result.queued_ms, one.timestamp_ms)
    result.found = list(left.values())
    return result
