"""The records of a batch as rows of numbers: what totals need of each comparison or outcome, checked.

Every comparison passes here, so only the fields that are needed are read, and each record becomes one tuple of floats,
in which NaN is no value. `arrays.py` turns the rows into columns of the same names.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from shadowbus.aggregate.rows import ComparisonRow, OutcomeRow
from shadowbus.aggregate.vocabulary import Vocabulary
from shadowbus.errors import Malformed
from shadowbus.limits import HEAVIEST, HEAVIEST_OUTCOME, MAX_TRIAL_CHARACTERS
from shadowbus.records import STATUSES, TIMED
from shadowbus.stage import RecordBatch
from shadowbus.totals.windows import Windows

NAN = float("nan")
LATEST_MS = 1 << 53
"""What is no time (`limits.py`) never comes this far; but what an older writer let in is counted all the same."""

_STATUS = {name: float(index) for index, name in enumerate(STATUSES)}
_COMPARED = _STATUS["compared"]
_KIND = {name: float(index) for index, name in enumerate(TIMED, start=1)}
_MODEL = _KIND["model"]
_AGREE = {None: 0.0, True: 1.0, False: 2.0}
_RIGHT = {(True, True): 1.0, (False, True): 2.0, (True, False): 3.0, (False, False): 4.0}  # (live, shadow)

_NEEDED = frozenset(
    (
        *("trial", "timestamp_ms", "status", "live", "shadow", "latency_ms", "error", "agree", "distance"),
        *("live_correct", "shadow_correct", "live_loss", "shadow_loss"),
    )
)

Row = tuple[float, ...]


class _BeforeSpanError(Exception):
    """An outcome of a request that came before the span of its trial."""


@dataclass(slots=True)
class Group:
    """The rows of one trial in one window: all of them, and those of each segment; `first` is a slice's index."""

    vocabulary: Vocabulary
    first: int
    rows: list[int] = field(default_factory=list)
    segments: dict[str, list[int]] = field(default_factory=dict)


class LabelledAnswers(NamedTuple):
    """What the scores of an outcome are held against: the label and both answers by class, None for what names none."""

    label: str | None = None
    live: str | None = None
    live_scores: Any = None
    shadow: str | None = None
    shadow_scores: Any = None


@dataclass(slots=True)
class Columns:
    """One row for each record that could be read; numbers that a record does not have are NaN."""

    rows: list[Row] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    groups: dict[tuple[str, int], Group] = field(default_factory=dict)
    rejected: list[tuple[int, str]] = field(default_factory=list)
    lacking: dict[tuple[object, ...], int] = field(default_factory=dict)  # missing features as they were listed
    numbers: list[int] = field(default_factory=list)  # the running number of each row; 0 where there is none
    began: dict[str, int] = field(default_factory=dict)  # when each trial did
    labelled: list[LabelledAnswers] = field(default_factory=list)  # of outcomes, one for each row
    timed: list[tuple[str, str, float]] = field(default_factory=list)  # trial, id, ms: rows timed alone, in their order


def read(piece: RecordBatch, vocabulary_of: Callable[[str], Vocabulary], windows: Windows) -> Columns:
    """Read a slice of comparisons or outcomes.

    Args:
        piece: The records.
        vocabulary_of: The vocabulary of a trial, by its name; new segments, classes and features are added to it.
        windows: How long they are.

    Returns:
        The columns; records that are malformed are in `rejected`, by their index in the slice and with the reason.
    """
    columns = Columns()
    row_of = _comparison if piece.topic == "comparisons" else _outcome
    for index, value in enumerate(piece.values):
        try:
            _take(columns, value, row_of, vocabulary_of, windows)
        except _BeforeSpanError:
            continue
        except (Malformed, KeyError, TypeError, AttributeError, orjson.JSONDecodeError) as error:
            columns.rejected.append((index, _reason(error)))
    return columns


def _take(
    columns: Columns,
    value: bytes | None,
    row_of: "_RowOf",
    vocabulary_of: Callable[[str], Vocabulary],
    windows: Windows,
) -> None:
    if value is None:
        raise Malformed("the value is null")
    parsed = orjson.loads(value)
    trial, time_ms, segments = parsed["trial"], parsed["timestamp_ms"], parsed.get("segments")
    if time_ms.__class__ is not int or not 0 <= time_ms < LATEST_MS:
        raise Malformed("the field 'timestamp_ms' has to be milliseconds since the epoch")
    if segments.__class__ is not dict and segments is not None:
        raise Malformed("the field 'segments' has to be an object")
    weight = _weight(parsed.get("weight", 1.0), HEAVIEST if row_of is _comparison else HEAVIEST_OUTCOME)
    running = parsed.get("number", 0)
    if running.__class__ is not int or running < 0:
        raise Malformed("the field 'number' has to be a whole number of at least 0")
    began = columns.began.get(trial)
    if began is None:
        began = _begin(columns, trial, time_ms, vocabulary_of, windows)
    window = (trial, windows.start(began, time_ms))
    group = columns.groups.get(window)
    if group is None:
        group = Group(vocabulary_of(trial), len(columns.rows) + len(columns.rejected))
    row = row_of(parsed, group.vocabulary, columns, weight)
    if not group.rows:
        columns.groups[window] = group
    number = len(columns.rows)
    if segments:
        _assign(group, segments, number)
    group.rows.append(number)
    columns.rows.append(row)
    columns.times.append(time_ms)
    columns.weights.append(weight)
    columns.numbers.append(running)


def _begin(
    columns: Columns, trial: Any, time_ms: int, vocabulary_of: Callable[[str], Vocabulary], windows: Windows
) -> int:
    """When a trial of this slice began, by its vocabulary."""
    if trial.__class__ is not str or not 0 < len(trial) <= MAX_TRIAL_CHARACTERS or "|" in trial:
        raise Malformed("the field 'trial' has to be text without '|'")
    found = vocabulary_of(trial)
    if found.began_ms is None:
        found.began_ms = windows.began(time_ms)
    columns.began[trial] = found.began_ms
    return found.began_ms


def _assign(group: Group, segments: dict[str, Any], number: int) -> None:
    kept = group.vocabulary.segments
    for name, part in segments.items():
        text = (part.__class__ is str and kept.known.get((name, part))) or kept.text(name, part)
        if text:
            members = group.segments.get(text)
            if members is None:
                group.segments[text] = [number]
            else:
                members.append(number)


def _comparison(parsed: dict[str, Any], vocabulary: Vocabulary, columns: Columns, weight: float) -> Row:
    live, shadow, distance = parsed["live"], parsed["shadow"], parsed["distance"]
    live_latency = live_error = shadow_latency = shadow_error = None
    if live is not None:
        live_latency, live_error = live["latency_ms"], live["error"]
    if shadow is not None:
        shadow_latency, shadow_error = shadow["latency_ms"], shadow["error"]
    status, missing = _STATUS[parsed["status"]], parsed.get("missing_features")
    agree, trained_on = _agree(parsed["agree"]), _marked(parsed)
    if trained_on:
        agree, distance = 0.0, None
    live_timed = 0.0 if live_latency is None else _KIND.get(live.get("timed"), 0.0)
    shadow_timed = 0.0 if shadow_latency is None else _KIND.get(shadow.get("timed"), 0.0)
    if live_latency.__class__ is not float:
        live_latency = _number("live.latency_ms", live_latency)
    if shadow_latency.__class__ is not float:
        shadow_latency = _number("shadow.latency_ms", shadow_latency)
    if distance.__class__ is not float:
        distance = _number("distance", distance)
    lacking = columns.lacking.setdefault(tuple(missing), len(columns.lacking) + 1) if missing else 0.0
    both = status == _COMPARED and not trained_on
    # Last, as names are kept of records that are counted only.
    theirs, ours = _answers(live.get("prediction"), shadow.get("prediction"), vocabulary) if both else (NAN, NAN)
    failed = shadow_error is not None
    unlike = both and not agree and distance != distance
    if unlike or status != _COMPARED or failed or vocabulary.failures.beginning.open:
        vocabulary.failures.compared(parsed, weight, unlike=unlike)
    if shadow_timed == _MODEL and (name := parsed.get("request_id")).__class__ is str:
        columns.timed.append((parsed["trial"], name, shadow_latency))
    return ComparisonRow(
        status,
        agree,
        live_latency,
        shadow_latency,
        distance,
        0.0 if live_error is None else 1.0,
        1.0 if failed else 0.0,
        lacking,
        1.0 if trained_on else 0.0,
        live_timed,
        shadow_timed,
        theirs,
        ours,
    )


def _answers(live: Any, shadow: Any, vocabulary: Vocabulary) -> tuple[float, float]:
    """Two answers as codes of classes, or as numbers; NaN where they are neither."""
    if vocabulary.kind == "classes":
        return vocabulary.classes.code(live), vocabulary.classes.code(shadow)
    return (_plain(live), _plain(shadow)) if vocabulary.kind == "numbers" else (NAN, NAN)


def _outcome(parsed: dict[str, Any], vocabulary: Vocabulary, columns: Columns, _weight: float) -> Row:
    if parsed["timestamp_ms"] < vocabulary.from_ms:
        raise _BeforeSpanError
    live, shadow = parsed["live_correct"], parsed["shadow_correct"]
    for correct in (live, shadow):
        if correct.__class__ is not bool and correct is not None:
            raise Malformed("the fields 'live_correct' and 'shadow_correct' have to be true, false or null")
    theirs, ours = _number("live_loss", parsed["live_loss"]), _number("shadow_loss", parsed["shadow_loss"])
    retracts = parsed.get("retracts", False)
    if retracts.__class__ is not bool:
        raise Malformed("the field 'retracts' has to be true or false")
    agree, sign = _agree(parsed.get("agree")), -1.0 if retracts else 1.0
    right, loss = _RIGHT.get((live, shadow), 0.0), ours - theirs
    if _marked(parsed):  # it is counted, and says nothing
        columns.labelled.append(_NOTHING)
        return OutcomeRow(1.0, right, 0.0, sign, NAN, NAN, NAN, *_NO_CLASSES)
    first, second = parsed.get("live") or {}, parsed.get("shadow") or {}
    early = 2.0 if _marked(parsed, "before_bundle") else 0.0
    classes = _NO_CLASSES
    if vocabulary.kind == "classes":
        classes = _classes(parsed.get("label"), first, second, vocabulary, columns)
    else:
        columns.labelled.append(_NOTHING)
    if not right and loss != loss and live is shadow:
        vocabulary.failures.judged(parsed, int(sign))
    return OutcomeRow(early, right, agree, sign, loss, theirs, ours, *classes)


def _classes(
    label: Any, live: dict[str, Any], shadow: dict[str, Any], vocabulary: Vocabulary, columns: Columns
) -> tuple[float, float, float, float, float]:
    """The codes of label and answers, how much more the shadow's decision is worth, and what the live one is."""
    text, code, theirs, ours = (
        vocabulary.classes.text,
        vocabulary.classes.code,
        live.get("prediction"),
        shadow.get("prediction"),
    )
    held = LabelledAnswers(text(label), text(theirs), live.get("scores"), text(ours), shadow.get("scores"))
    worth = more = NAN
    if vocabulary.costs and held.label is not None and held.live is not None and held.shadow is not None:
        worth = 0.0 - vocabulary.costs.get((held.label, held.live), 0.0)
        more = 0.0 - vocabulary.costs.get((held.label, held.shadow), 0.0) - worth
    columns.labelled.append(held)
    return code(label), code(theirs), code(ours), more, worth


_RowOf = Callable[[dict[str, Any], Vocabulary, Columns, float], Row]
_NOTHING = LabelledAnswers()
_NO_CLASSES = (NAN, NAN, NAN, NAN, NAN)


def _marked(parsed: dict[str, Any], name: str = "trained_on") -> bool:
    mark = parsed.get(name, False)
    if mark.__class__ is not bool:
        raise Malformed(f"the field '{name}' has to be true or false")
    return bool(mark)


def _agree(agree: Any) -> float:
    if agree.__class__ is not bool and agree is not None:
        raise Malformed("the field 'agree' has to be true, false or null")
    return _AGREE[agree]


def _plain(answer: object) -> float:
    if answer.__class__ is not float and answer.__class__ is not int:
        return NAN
    return float(answer)


def _weight(weight: Any, most: float) -> float:
    if weight.__class__ not in (float, int) or not 1 <= weight <= most:
        raise Malformed(f"the field 'weight' has to be a number from 1 to {most:g}")
    return float(weight)


def _number(name: str, value: object) -> float:
    if value is None:
        return NAN
    if value.__class__ is not float and value.__class__ is not int:
        raise Malformed(f"the field '{name}' has to be a number or null")
    return float(value)


def _reason(error: Exception) -> str:
    if isinstance(error, Malformed):
        return str(error)
    if isinstance(error, orjson.JSONDecodeError):
        return f"not JSON: {error}"
    if isinstance(error, KeyError):
        name = error.args[0]
        return f"the field '{name}' is missing" if name in _NEEDED else f"the field 'status' cannot be {name!r:.40}"
    return "it does not have the shape of this topic's records"
