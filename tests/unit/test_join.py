"""The join: each id is paired once, whatever comes in whatever order."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shadowbus.replay.join import PREDICTION, REQUEST, AnsweredIds, Join, Match, Unmatched, merge_change


def half(value: bytes = b"v", since_ms: int = 0) -> Unmatched:
    return (value, since_ms, 0, None)


def request(join: Join, key: bytes, one: Unmatched) -> Match:
    return join.add(REQUEST, [key], [one])[0]


def prediction(join: Join, key: bytes, one: Unmatched) -> Match:
    return join.add(PREDICTION, [key], [one])[0]


def test_a_half_waits_for_the_other_and_then_meets_it() -> None:
    join = Join(remember=10)
    assert request(join, b"a", half(b"request")) is None
    assert prediction(join, b"a", half(b"prediction")) == half(b"request")
    assert not join.requests
    assert not join.predictions


def test_a_prediction_may_come_first() -> None:
    join = Join(remember=10)
    assert prediction(join, b"a", half(b"prediction")) is None
    assert request(join, b"a", half(b"request")) == half(b"prediction")


def test_a_second_half_is_a_duplicate_before_and_after_the_pair_met() -> None:
    join = Join(remember=10)
    request(join, b"a", half())
    assert request(join, b"a", half()) is False
    prediction(join, b"a", half())
    assert request(join, b"a", half()) is False
    assert prediction(join, b"a", half()) is False


def test_what_came_and_went_between_two_commits_leaves_no_trace() -> None:
    join = Join(remember=10)
    request(join, b"a", half())
    prediction(join, b"a", half())
    assert join.take_changes() == ({}, [b"a"])


def test_what_waited_across_a_commit_leaves_a_tombstone() -> None:
    join = Join(remember=10)
    request(join, b"a", half())
    assert join.take_changes() == ({REQUEST + b"a": half()}, [])
    prediction(join, b"a", half())
    assert join.take_changes() == ({REQUEST + b"a": None}, [b"a"])


def test_only_halves_older_than_the_moment_expire_and_then_count_as_answered() -> None:
    join = Join(remember=10)
    request(join, b"old", half(since_ms=10))
    request(join, b"new", half(since_ms=20))
    assert [key for key, _ in join.expired(REQUEST, 20)] == [b"old"]
    assert prediction(join, b"old", half()) is False
    assert prediction(join, b"new", half()) == half(since_ms=20)


def test_at_least_so_many_ids_are_remembered_and_at_most_twice_as_many() -> None:
    remembered = AnsweredIds(most=3)
    forgotten: list[bytes] = []
    for number in range(12):
        key = b"%d" % number
        remembered.newer.add(key)
        forgotten += remembered.note(b"entry-" + key)
    known = [number for number in range(12) if b"%d" % number in remembered]
    assert known[-3:] == [9, 10, 11]
    assert len(known) <= 6
    assert forgotten == [b"entry-%d" % number for number in range(12 - len(remembered.newer_entries) - 3)]


@given(st.lists(st.tuples(st.sampled_from([REQUEST, PREDICTION]), st.integers(0, 5))))
def test_in_any_order_each_id_with_both_halves_is_paired_exactly_once(events: list[tuple[bytes, int]]) -> None:
    join = Join(remember=100)
    paired: Counter[int] = Counter()
    for side, number in events:
        if join.add(side, [b"%d" % number], [half()])[0]:
            paired[number] += 1
    sides = {number: {side for side, n in events if n == number} for _, number in events}
    assert paired == Counter(number for number, seen in sides.items() if len(seen) == 2)
    assert set(join.requests) == {b"%d" % number for number, seen in sides.items() if seen == {REQUEST}}
    assert set(join.predictions) == {b"%d" % number for number, seen in sides.items() if seen == {PREDICTION}}


@given(st.lists(st.booleans(), max_size=6))
def test_changes_taken_in_parts_merge_to_the_changes_taken_at_once(commits: list[bool]) -> None:
    merged: dict[bytes, Unmatched | None] = {}
    join, whole = Join(remember=100), Join(remember=100)
    for number, take in enumerate(commits):
        for one in (join, whole):
            request(one, b"%d" % number, half())
            if number:
                prediction(one, b"%d" % (number - 1), half())
        if take:
            for key, change in join.take_changes()[0].items():
                merge_change(merged, key, change)
    for key, change in join.take_changes()[0].items():
        merge_change(merged, key, change)
    assert merged == whole.take_changes()[0]
