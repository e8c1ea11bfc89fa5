"""What replay keeps of a partition comes back as it was, or not at all."""

import json
import random
from collections.abc import Callable

import pytest

from shadowbus.errors import StateCorruptError
from shadowbus.replay.join import PREDICTION, REQUEST, Join, Unmatched
from shadowbus.replay.partition import ReplayPartition
from shadowbus.stage import RecordBatch

NAME = "n.s.replay-changelog[3]"
COMMITTED = {"requests": 500, "predictions": 700}
Table = dict[bytes | None, bytes | None]
Row = tuple[bytes | None, bytes | None]


def live(number: int) -> bytes:
    record = {"v": 1, "request_id": f"r{number}", "timestamp_ms": number, "model": "live@1", "prediction": number}
    return json.dumps(record).encode()


def fresh() -> ReplayPartition:
    return ReplayPartition(Join(remember=100), NAME)


def commit(state: ReplayPartition, table: Table) -> None:
    """Everything taken so far is finished and committed: `table` becomes what the changelog holds, by key."""
    for key, value in rows_of(state):
        table.pop(key, None)
        if value is not None:
            table[key] = value


def rows_of(state: ReplayPartition) -> list[Row]:
    """Everything taken so far is finished and committed; what goes to the changelog."""
    state.keep(*state.join.take_changes())
    state.books.waiting = {"requests": len(state.join.requests), "predictions": len(state.join.predictions)}
    state.books.next_offsets = dict(COMMITTED)
    return list(state.take_changelog())


def compacted(rows: list[Row]) -> list[Row]:
    """The last row of each key, as Kafka leaves them in the older part of a log; deletions stay for a day."""
    kept = Table()
    for key, value in rows:
        kept.pop(key, None)
        kept[key] = value
    return list(kept.items())


def restored(table: Table, *, check: bool = True) -> ReplayPartition:
    return from_rows(list(table.items()), check=check)


def from_rows(rows: list[Row], *, check: bool = True) -> ReplayPartition:
    state, keys = fresh(), [key for key, _ in rows]
    state.restore(
        RecordBatch("replay-changelog", 3, keys, [value for _, value in rows], [0] * len(keys), [*range(len(keys))])
    )
    if check:
        state.check(COMMITTED)
    return state


def take(state: ReplayPartition, side: bytes, numbers: range) -> None:
    halves: list[Unmatched] = [(live(n) if side == PREDICTION else b"{%d" % n, n, n, None) for n in numbers]
    state.join.add(side, [b"r%d" % n for n in numbers], halves)


@pytest.fixture
def table() -> Table:
    """Requests 0 to 9 and predictions 20 to 29 wait; 10 to 14 are answered, in two commits."""
    state, table = fresh(), Table()
    take(state, REQUEST, range(13))
    take(state, PREDICTION, range(10, 13))
    commit(state, table)
    take(state, REQUEST, range(13, 15))
    take(state, PREDICTION, range(13, 30))
    take(state, REQUEST, range(15, 20))
    commit(state, table)
    return table


def test_what_was_kept_comes_back(table: Table) -> None:
    state = restored(table)
    assert list(state.join.requests) == [b"r%d" % number for number in range(10)]
    assert list(state.join.predictions) == [b"r%d" % number for number in range(20, 30)]
    assert state.join.requests[b"r7"] == (b"{7", 7, 7, None)
    value, since, offset, parsed = state.join.predictions[b"r21"]
    assert (value, since, offset) == (live(21), 21, 21)
    assert parsed is not None
    assert (parsed.model, parsed.prediction) == ("live@1", 21)
    assert all(b"r%d" % number in state.join.answered for number in range(10, 20))
    assert b"r3" not in state.join.answered


def test_it_goes_on_as_if_nothing_had_been(table: Table) -> None:
    """Two states take the same, one of them lost and restored at every step; both keep the same."""
    chance = random.Random(5)
    kept: dict[str, Table] = {"steady": {}, "restored": {}}
    states = {"steady": fresh(), "restored": fresh()}
    for step in range(60):
        side, first = chance.choice([REQUEST, PREDICTION]), chance.randrange(400)
        for name, state in states.items():
            take(state, side, range(first, first + 20))
            commit(state, kept[name])
        states["restored"] = restored(kept["restored"])
        assert states["restored"].join.requests.keys() == states["steady"].join.requests.keys(), step
        assert states["restored"].join.predictions.keys() == states["steady"].join.predictions.keys(), step
        assert states["restored"].entry == states["steady"].entry, step


Damage = Callable[[Table], None]


def changed(key: bytes, value: Callable[[bytes], bytes | None]) -> Damage:
    def damage(table: Table) -> None:
        table[key] = value(table.get(key) or b"")

    return damage


def gone(*keys: bytes) -> Damage:
    def damage(table: Table) -> None:
        for key in keys:
            del table[key]

    return damage


def book(side: str, name: str, value: object) -> Damage:
    def change(raw: bytes) -> bytes:
        document = json.loads(raw)
        document[side][name] = value
        return json.dumps(document).encode()

    return changed(b"books", change)


ENTRY = [b"a" + number.to_bytes(8, "big") for number in range(4)]

DAMAGES: dict[str, tuple[Damage, str]] = {
    "unknown kind": (changed(b"books2", lambda _: b"x"), "no known kind"),
    "answered without a number": (changed(b"a1", lambda _: b"x"), "no known kind"),
    "empty key": (changed(b"", lambda _: b"x"), "no known kind"),
    "half cut": (changed(b"rr7", lambda value: value[:-1]), "bytes are there"),
    "half longer": (changed(b"rr7", lambda value: value + b"x"), "bytes are there"),
    "half without its head": (changed(b"rr7", lambda value: value[:4]), "damaged"),
    "half empty": (changed(b"rr7", lambda _: b""), "damaged"),
    "half deleted": (gone(b"rr7"), "10 requests wait, and holds 9"),
    "prediction deleted": (gone(b"pr21"), "10 predictions wait, and holds 9"),
    "half added": (changed(b"rr99", lambda _: b"\0" * 20), "10 requests wait, and holds 11"),
    "half of later": (changed(b"rr7", lambda v: v[:8] + (9999).to_bytes(8, "big") + v[16:]), "missing"),
    "prediction unreadable": (changed(b"pr21", lambda value: value[:-3] + b"xxx"), "cannot be read"),
    "prediction of another": (changed(b"pr21", lambda value: value.replace(b"r21", b"r22")), "cannot be read"),
    "all books": (gone(b"books"), "wait"),
    "books deleted": (changed(b"books", lambda _: None), "the books were deleted"),
    "books no JSON": (changed(b"books", lambda value: value[:-1]), "damaged"),
    "books no object": (changed(b"books", lambda _: b"[]"), "damaged"),
    "books with text": (book("requests", "read", "many"), "not a count"),
    "books with less than nothing": (book("requests", "duplicates", -1), "not a count"),
    "books ahead": (book("requests", "next_offset", 501), "only 500 is committed"),
    "newest answers": (gone(ENTRY[1]), "answered"),
    "all answers": (gone(*ENTRY[:2]), "answered"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_told_with_place_and_fix(table: Table, name: str) -> None:
    damage, words = DAMAGES[name]
    damage(table)
    with pytest.raises(StateCorruptError) as caught:
        restored(table)
    for sentence in (NAME, words, "another name"):
        assert sentence in str(caught.value)


def test_answers_that_were_forgotten_may_be_gone(table: Table) -> None:
    del table[ENTRY[0]]
    assert b"r19" in restored(table).join.answered


@pytest.mark.parametrize("seed", range(20))
def test_restarts_at_any_time_forget_what_was_answered_in_order_and_leave_nothing(seed: int) -> None:
    """Read back, the two generations are cut elsewhere: what falls out then has to leave the changelog as well."""
    dice, state, sent = random.Random(seed), fresh(), 0
    log: list[Row] = []
    for _ in range(60):
        ids = range(sent, sent := sent + dice.randrange(1, 90))
        take(state, REQUEST, ids)
        take(state, PREDICTION, ids)
        log += rows_of(state)
        if dice.random() < 0.3:
            log = compacted(log[: len(log) // 2]) + log[len(log) // 2 :]
            state = from_rows(log)
        assert all(b"r%d" % number in state.join.answered for number in range(max(0, sent - 100), sent))
    kept = [value for key, value in dict(log).items() if value is not None and key is not None and key[:1] == b"a"]
    assert sum(len(value.split(b"\xff")) for value in kept) < 4 * 100


def test_a_record_without_a_key_is_told() -> None:
    with pytest.raises(StateCorruptError, match="no key"):
        restored({None: b"x"})


def test_the_last_record_of_a_key_counts_damaged_or_not(table: Table) -> None:
    state = restored(table, check=False)
    right = table[b"rr7"]
    for value in (b"garbage", right):
        state.restore(RecordBatch("replay-changelog", 3, [b"rr7", b"x"], [value, b"?"], [0] * 2, [90, 91]))
    with pytest.raises(StateCorruptError, match="offset 91, key b'x'"):
        state.check(COMMITTED)
    state.restore(RecordBatch("replay-changelog", 3, [b"x"], [None], [0], [92]))
    state.check(COMMITTED)


def test_nothing_kept_and_nothing_committed_is_a_beginning() -> None:
    state = restored({}, check=False)
    state.check({"requests": 0, "predictions": 0})
    assert state.books.record()["requests"]["read"] == 0


def test_records_behind_the_position_that_the_books_do_not_know_are_a_gap_or_an_error(table: Table) -> None:
    state = restored(table)
    state.skipped("requests", 7, 507)
    page = state.books.record()["requests"]
    assert (page["read"], page["never_read"], page["next_offset"]) == (7, 7, 507)
    with pytest.raises(StateCorruptError, match="is empty, though requests were read"):
        fresh().skipped("requests", 7, 507)
