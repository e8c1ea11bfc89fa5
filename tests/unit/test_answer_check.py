"""Whatever bytes a model's process gives as an answer, they are an answer that fits, or are refused."""

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowbus.limits import MAX_ANSWER_BYTES
from shadowbus.records import Scores
from shadowbus.replay.model.answer_check import Garbled, read_answers
from shadowbus.replay.model.messages import (
    TEXT_CHARACTERS,
    Answers,
    Detours,
    answer_bytes,
    pack_answers,
    unpack,
)

KEYS = [b"r%d" % number for number in range(4)]
GOOD = [b'{"request_id":"%b","timestamp_ms":7,"features":{},"segments":{"a":"b"}}' % key for key in KEYS]
VALUES = [*GOOD[:3], b"no request"]
TAILS = [b'"request_id":"%b","timestamp_ms":7,"segments":{"a":"b"},"missing_features":[]}' % key for key in KEYS[:3]]

Head = dict[str, Any]


def honest() -> Answers:
    """Row 1 failed, row 3 is no request, the other two were predicted."""
    return Answers(
        predictions=[1, "b"],
        scores=[[0.5, 0.5], {"b": 1.0}],
        latencies={1: 2.5},
        tails=list(TAILS),
        failed={1: ("shadow_error", "no")},
        malformed={3: "whatever the model says"},
        batch_ms=3.5,
        detours=Detours(batch=1, reason="slow"),
    )


def packed(head: Head, tails: Sequence[bytes]) -> bytes:
    text = json.dumps(head).encode()
    return (
        struct.pack("=II", len(text), len(tails))
        + text
        + struct.pack(f"={len(tails)}I", *map(len, tails))
        + b"".join(tails)
    )


def changed(change: Callable[[Head, list[bytes]], object]) -> bytes:
    """The honest answer with a change."""
    text, tails = unpack(pack_answers(honest()))
    head = orjson.loads(text)
    change(head, tails)
    return packed(head, tails)


def test_an_honest_answer_comes_across_and_why_a_row_is_no_request_is_found_anew() -> None:
    answers, wanted = read_answers(pack_answers(honest()), KEYS, VALUES), honest()
    assert answers.malformed.keys() == {3}
    assert "not a request" in answers.malformed[3]
    answers.malformed = wanted.malformed
    assert answers == wanted


FORGERIES: dict[str, Callable[[Head, list[bytes]], object]] = {
    "an unknown status": lambda head, _: head.update(failed={"1": ("shadow_splendid", "no")}),
    "a status that is another's to give": lambda head, _: head.update(failed={"1": ("live_missing", "no")}),
    "a text without end": lambda head, _: head.update(failed={"1": ("shadow_error", "x" * (TEXT_CHARACTERS + 1))}),
    "a text that is none": lambda head, _: head.update(failed={"1": ("shadow_error", 7)}),
    "a negative latency": lambda head, _: head.update(latencies={"0": -5}),
    "a latency of years": lambda head, _: head.update(latencies={"0": 1e12}),
    "a latency of a row that is not there": lambda head, _: head.update(latencies={"2": 1.0}),
    "a latency of a negative row": lambda head, _: head.update(latencies={"-1": 1.0}),
    "a latency that is text": lambda head, _: head.update(latencies={"0": "fast"}),
    "a negative cost": lambda head, _: head.update(batch_ms=-1),
    "no cost": lambda head, _: head.update(batch_ms=None),
    "a prediction too many": lambda head, _: head["predictions"].append(1),
    "a prediction too few": lambda head, _: head["predictions"].pop(),
    "no predictions": lambda head, _: head.pop("predictions"),
    "predictions that are none": lambda head, _: head.update(predictions="ab"),
    "a prediction that is null": lambda head, _: head.update(predictions=[None, 1]),
    "scores too few": lambda head, _: head["scores"].pop(),
    "scores of text": lambda head, _: head.update(scores=[["0.5"], None]),
    "scores that are null inside": lambda head, _: head.update(scores=[[None], None]),
    "a failed row that was not asked": lambda head, _: head.update(failed={"9": ("shadow_error", "no")}),
    "a row that failed and is no request": lambda head, _: head.update(failed={"3": ("shadow_error", "no")}),
    "a request that is called none": lambda head, tails: (head.update(malformed={"2": "no"}), tails.pop()),
    "a field nobody knows": lambda head, _: head.update(verdict="PROMOTE"),
    "detours without end": lambda head, _: head["detours"].update(batch=10**15),
    "a request too few": lambda _, tails: tails.pop(),
    "a request that is another": lambda _, tails: tails.reverse(),
    "a request twice": lambda _, tails: tails.__setitem__(1, tails[0]),
    "a request that is no JSON": lambda _, tails: tails.__setitem__(0, tails[0][:-1]),
    "a request with more behind it": lambda _, tails: tails.__setitem__(0, tails[0] + b',{"v":1}'),
    "a request with a field of its own": lambda _, tails: tails.__setitem__(0, tails[0][:-1] + b',"agree":true}'),
    "segments that are a list": lambda _, tails: tails.__setitem__(0, tails[0].replace(b'{"a":"b"}', b"[]")),
    "a time that is text": lambda _, tails: tails.__setitem__(0, tails[0].replace(b":7", b':"7"')),
    "a time beyond 2100": lambda _, tails: tails.__setitem__(0, tails[0].replace(b":7", b":1760000000000000")),
    "text that is not UTF-8": lambda _, tails: tails.__setitem__(0, tails[0].replace(b'"b"', b'"\xff"')),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_an_answer_that_does_not_fit_its_question_is_refused(forgery: str) -> None:
    with pytest.raises(Garbled):
        read_answers(changed(FORGERIES[forgery]), KEYS, VALUES)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{" * 5_000,
        b"[" * 100_000,
        b'{"predictions":[1e999]}',
        b'{"predictions":[' + b"9" * 400,
        b"\xff",
    ],
)
def test_a_head_that_is_no_answer_is_refused(text: bytes) -> None:
    with pytest.raises(Garbled):
        read_answers(struct.pack("=II", len(text), 0) + text, KEYS, VALUES)


@pytest.mark.parametrize(
    "block", [b"", b"1234567", struct.pack("=II", 2**32 - 1, 2**32 - 1), pack_answers(honest()) + b"x"]
)
def test_a_block_whose_lengths_do_not_fit_is_refused(block: bytes) -> None:
    with pytest.raises(Garbled):
        read_answers(block, KEYS, VALUES)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4))
def test_an_answer_with_any_bytes_changed_fits_or_is_refused(changes: list[tuple[int, bytes]]) -> None:
    block = bytearray(pack_answers(honest()))
    for place, written in changes:
        place %= len(block)
        block[place : place + len(written)] = written
    try:
        answers = read_answers(bytes(block), KEYS, VALUES)
    except Garbled:
        return
    predicted = len(KEYS) - len(answers.failed) - len(answers.malformed)
    assert len(answers.predictions) == len(answers.scores) == predicted
    assert [orjson.loads(b"{" + tail)["request_id"].encode() for tail in answers.tails] == [
        key for row, key in enumerate(KEYS) if row not in answers.malformed
    ]
    assert all(milliseconds >= 0 for milliseconds in answers.latencies.values())


@pytest.mark.parametrize("large", ["prediction", "scores"])
def test_an_answer_too_large_for_a_comparison_becomes_an_error_that_says_so_and_the_others_keep_theirs(
    large: str,
) -> None:
    prediction: object = "x" * MAX_ANSWER_BYTES if large == "prediction" else "b"
    scores: Scores | None = {f"class {number}": 0.5 for number in range(80_000)} if large == "scores" else None
    answers = Answers(
        predictions=["a", prediction, "c"],
        scores=[None, scores, [0.25]],
        latencies={0: 1.0, 1: 2.0, 2: 3.0},
        tails=list(TAILS),
        malformed={3: ""},
    )
    size = answer_bytes(prediction, scores)
    found = read_answers(pack_answers(answers), KEYS, VALUES)
    assert found.predictions == ["a", "c"]
    assert found.scores == [None, [0.25]]
    assert found.latencies == {0: 1.0, 1: 3.0}
    ((row, (status, text)),) = found.failed.items()
    assert (row, status) == (1, "shadow_error")
    assert f"{size:,} bytes" in text
    assert f"{MAX_ANSWER_BYTES:,}" in text


def test_answers_that_are_large_together_are_all_taken() -> None:
    answers = Answers(
        predictions=["x" * (MAX_ANSWER_BYTES // 2)] * 3, scores=[None] * 3, tails=list(TAILS), malformed={3: ""}
    )
    assert len(read_answers(pack_answers(answers), KEYS, VALUES).predictions) == 3
