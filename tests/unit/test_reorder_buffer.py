"""The inbox: both inputs move through time together, and nothing is lost or taken twice."""

from hypothesis import given
from hypothesis import strategies as st

from shadowbus.replay.reorder_buffer import SIDES, ReorderBuffer
from shadowbus.stage import RecordBatch


def piece(topic: str, timestamps: list[int], first: int = 0) -> RecordBatch:
    count = len(timestamps)
    return RecordBatch(topic, 0, [b"k"] * count, [b"v"] * count, timestamps, list(range(first, first + count)))


def times(taken: list[RecordBatch]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {side: [] for side in SIDES}
    for one in taken:
        found[one.topic] += one.timestamps
    return found


BOTH_GO_ON = {"requests": False, "predictions": False}


def test_the_input_that_is_ahead_is_held_at_the_time_of_the_other() -> None:
    buffer = ReorderBuffer()
    buffer.add(piece("predictions", [1, 2, 3, 4, 5]))
    buffer.add(piece("requests", [1, 2]))
    assert times(buffer.take(at_end=BOTH_GO_ON)) == {"requests": [1, 2], "predictions": [1, 2]}
    assert buffer.count == {"requests": 0, "predictions": 3}


def test_an_input_whose_other_goes_on_is_held() -> None:
    buffer = ReorderBuffer()
    buffer.add(piece("requests", [1]))
    assert buffer.take(at_end=BOTH_GO_ON) == []


def test_an_input_whose_other_is_at_its_end_is_taken() -> None:
    buffer = ReorderBuffer()
    buffer.add(piece("requests", [1]))
    assert times(buffer.take(at_end={"requests": False, "predictions": True}))["requests"] == [1]


@given(st.lists(st.tuples(st.sampled_from(SIDES), st.lists(st.integers(0, 9), min_size=1)), max_size=8))
def test_whatever_the_timestamps_every_record_is_taken_once_and_in_order(arrivals: list[tuple[str, list[int]]]) -> None:
    buffer, taken = ReorderBuffer(), list[RecordBatch]()
    offsets = dict.fromkeys(SIDES, 0)
    for side, timestamps in arrivals:
        buffer.add(piece(side, timestamps, offsets[side]))
        offsets[side] += len(timestamps)
        taken += buffer.take(at_end=BOTH_GO_ON)
    while rest := buffer.take(at_end=dict.fromkeys(SIDES, True)):
        taken += rest
    for side in SIDES:
        assert [offset for one in taken if one.topic == side for offset in one.offsets] == list(range(offsets[side]))
    assert buffer.count == dict.fromkeys(SIDES, 0)
