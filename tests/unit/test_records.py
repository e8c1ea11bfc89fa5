"""Records: bytes and back, whatever newer writers add; a wrong field is named."""

import dataclasses
import doctest
import typing

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowbus import records
from shadowbus.errors import Malformed
from shadowbus.records import (
    STATUSES,
    Aggregate,
    Answer,
    Answered,
    Comparison,
    DeadLetter,
    Label,
    Outcome,
    Partial,
    Prediction,
    Promotion,
    Record,
    Request,
    Told,
    Verdict,
    Vitals,
    codec,
    comparison,
    decode,
    encode,
    outcome,
)

LIVE = Answer("champion@3", "stay", {"stay": 0.9, "churn": 0.1}, 1.5, None)
SHADOW = Answer("challenger@4", None, None, None, "ValueError: no")

EXAMPLES: tuple[Record, ...] = (
    Request("r1", 1_700_000_000_000, {"age": 41, "name": "Zoë", "plan": None}, {"country": "DE"}, {"host": "a"}),
    Request("r2", 0, [1.5, None, "x", True]),
    Prediction("r1", 1_700_000_000_001, "champion@3", "stay", {"stay": 0.9}, 1.5, None),
    Prediction("r2", 1, "champion@3", None, None, None, "boom"),
    Label("r1", 1_800_000_000_000, {"any": ["thing", 1]}),
    Label("r2", 1, None, 0.25),
    Comparison(
        "r1", 1, "champion@3~challenger@4", "compared", LIVE, SHADOW, False, 0.8, 2.0, {"country": "DE"}, ["age"]
    ),
    Comparison("r2", 1, "champion@3~challenger@4", "live_missing", None, SHADOW, None, None),
    Outcome("r1", 1, "champion@3~challenger@4", "churn", False, True, 2.3, 0.1, 1.0, {"country": "DE"}),
    Outcome("r2", 1, "champion@3~challenger@4", 7.5, None, None, None, None),
    dataclasses.replace(
        Outcome("r3", 1, "champion@3~challenger@4", "churn", False, True, 2.3, 0.1, 4.0, {"country": "DE"}, False),
        live=Answered("stay", {"stay": 0.9, "churn": 0.1}),
        shadow=Answered("churn"),
        retracts=True,
    ),
    Vitals("replay", "challenger", "replay-0", 3, 1, {"requests": {"read": 5}}, {"restarts": 1}, 12),
    Vitals("judge", "", "judge", 0, 1, {}),
    Partial("champion@3~challenger@4", "all", "all", 3, {"comparisons": 17}, {"n": 17}, 1),
    Aggregate("champion@3~challenger@4", "country=DE", "1700000000000", {"n": 1}, {"agreement": 0.5}, {}, 1),
    Verdict("champion@3~challenger@4", "PROMOTE", [{"name": "error_rate"}], 100, 5, {"requests": 0}, 1, {"gap": 0}),
    DeadLetter("churn.requests", 3, 17, "not JSON", 1, "r1", "eA==", True),
    DeadLetter("churn.requests", 3, 18, "the value is null", 1, None, None),
    Promotion("champion@3~challenger@4", "promote", "done", "ann", 1, "b1", "k1", "command", "bob", "It ended with 0."),
    Told("champion@3~challenger@4", "team-chat", "PROMOTE", 1, True, 1),
)
IDS = [f"{type(record).__name__}-{number}" for number, record in enumerate(EXAMPLES)]
KINDS = sorted({type(record) for record in EXAMPLES}, key=lambda kind: kind.__name__)


def required(kind: type) -> list[str]:
    """The fields a record cannot do without."""
    missing = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(kind) if f.default is missing and f.default_factory is missing]


def test_the_examples_in_docstrings_run() -> None:
    assert doctest.testmod(codec).failed == 0


def test_there_is_an_example_of_every_record() -> None:
    assert set(KINDS) == set(typing.get_args(Record))
    assert {kind.__name__ for kind in KINDS} <= set(vars(records))


@pytest.mark.parametrize("record", EXAMPLES, ids=IDS)
def test_what_is_written_is_read_back_the_same(record: Record) -> None:
    assert decode(type(record), encode(record)) == record


@pytest.mark.parametrize("record", EXAMPLES, ids=IDS)
def test_the_bytes_are_plain_json_with_every_field_and_the_version(record: Record) -> None:
    parsed = orjson.loads(encode(record))
    assert parsed == dataclasses.asdict(record)
    assert parsed["v"] == 1


@pytest.mark.parametrize("record", EXAMPLES, ids=IDS)
def test_fields_nobody_knows_are_ignored(record: Record) -> None:
    newer = {**orjson.loads(encode(record)), "v": 2, "added_later": {"deep": [1]}}
    assert decode(type(record), orjson.dumps(newer)) == dataclasses.replace(record, v=2)


def test_fields_nobody_knows_are_ignored_in_answers_too() -> None:
    comparison = orjson.loads(encode(EXAMPLES[6]))
    comparison["live"]["added_later"] = 1
    assert decode(Comparison, orjson.dumps(comparison)) == EXAMPLES[6]


def test_what_readers_take_of_a_record_is_in_the_record() -> None:
    subsets = {
        Comparison: (comparison.ComparisonToJudge, comparison.ComparisonToSearch, comparison.ComparisonToLabel),
        Answer: (comparison.AnswerToJudge, comparison.AnswerToLabel),
        Outcome: (outcome.OutcomeToSearch,),
    }
    for whole, parts in subsets.items():
        names = {field.name for field in dataclasses.fields(whole)}
        for part in parts:
            assert set(part.__struct_fields__) <= names, part


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_field_that_is_missing_is_named(kind: type[Record]) -> None:
    whole = orjson.loads(encode(next(record for record in EXAMPLES if type(record) is kind)))
    names = required(kind)
    assert names
    for name in names:
        less = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(Malformed, match=f"^the field '{name}' is missing$"):
            decode(kind, orjson.dumps(less))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_may_be_left_out_gets_its_default(kind: type[Record]) -> None:
    record = next(record for record in EXAMPLES if type(record) is kind)
    whole = orjson.loads(encode(record))
    short = {name: whole[name] for name in required(kind)}
    assert decode(kind, orjson.dumps(short)) == kind(**{name: getattr(record, name) for name in required(kind)})


@pytest.mark.parametrize(
    ("record", "name", "wrong"),
    [
        (EXAMPLES[0], "request_id", 7),
        (EXAMPLES[0], "timestamp_ms", "now"),
        (EXAMPLES[0], "timestamp_ms", 1.5),
        (EXAMPLES[0], "timestamp_ms", True),
        (EXAMPLES[0], "features", "age"),
        (EXAMPLES[0], "segments", ["DE"]),
        (EXAMPLES[2], "model", None),
        (EXAMPLES[2], "scores", 0.5),
        (EXAMPLES[2], "latency_ms", "fast"),
        (EXAMPLES[2], "error", {"what": 1}),
        (EXAMPLES[6], "status", 1),
        (EXAMPLES[6], "live", "stay"),
        (EXAMPLES[6], "agree", "yes"),
        (EXAMPLES[6], "agree", 1),
        (EXAMPLES[6], "distance", "far"),
        (EXAMPLES[8], "live_correct", 0),
        (EXAMPLES[11], "books", []),
        (EXAMPLES[11], "lag", 1.5),
        (EXAMPLES[13], "partition", "3"),
        (EXAMPLES[13], "next_offsets", None),
        (EXAMPLES[15], "criteria", {}),
        (EXAMPLES[16], "offset", None),
        (EXAMPLES[16], "truncated", "no"),
    ],
)
def test_a_field_of_a_wrong_type_is_named(record: Record, name: str, wrong: object) -> None:
    changed = {**orjson.loads(encode(record)), name: wrong}
    with pytest.raises(Malformed, match=f"^the field '{name}' has to be "):
        decode(type(record), orjson.dumps(changed))


def test_a_wrong_field_of_an_answer_is_named() -> None:
    changed = {**orjson.loads(encode(EXAMPLES[6])), "shadow": {"model": 3, "prediction": None}}
    with pytest.raises(Malformed, match=r"^the field 'shadow.model' has to be str, not int$"):
        decode(Comparison, orjson.dumps(changed))


def test_a_whole_number_does_for_a_duration() -> None:
    changed = {**orjson.loads(encode(EXAMPLES[2])), "latency_ms": 2}
    assert decode(Prediction, orjson.dumps(changed)).latency_ms == 2


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the value is null"),
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"request_id": NaN}', "not JSON"),
        (b'{"request_id": "r1"', "not JSON"),
        (b"[]", "a JSON object is needed, not list"),
        (b"null", "a JSON object is needed, not NoneType"),
        (b'"text"', "a JSON object is needed, not str"),
    ],
)
def test_what_is_no_object_says_so(value: bytes | None, reason: str) -> None:
    with pytest.raises(Malformed, match=f"^{reason}"):
        decode(Request, value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(), st.integers(0, 2**53), st.dictionaries(st.text(), json_values) | st.lists(json_values))
def test_any_request_survives(request_id: str, timestamp_ms: int, features: dict[str, object] | list[object]) -> None:
    record = Request(request_id, timestamp_ms, features)
    assert decode(Request, encode(record)) == record


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(
    value=st.binary()
    | json_values.map(orjson.dumps)
    | st.dictionaries(st.sampled_from(["v", "trial"]), json_values).map(orjson.dumps)
)
def test_nothing_but_malformed_comes_out_of_foreign_bytes(kind: type[Record], value: bytes) -> None:
    with pytest.raises(Malformed):
        decode(kind, value)


def test_every_status_is_listed_once() -> None:
    assert len(set(STATUSES)) == len(STATUSES) == 8
    assert set(records.SHADOW_FAILURES) < set(STATUSES)
