"""Whatever a service has at hand is captured as its plain value, or counted with a reason, as docs/capture.md says.

Each row of the table is a value, and what becomes of it as a feature, an answer, a score, a segment's value and a
label, and as a request id. The right column is written here by hand.
"""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import itertools
import pathlib
import subprocess
import sys
import threading
import time
import tracemalloc
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson
import pandas as pd
import pydantic
import pytest

from shadowbus.capture import Tap
from shadowbus.capture.ids import given_id
from shadowbus.capture.kinds import UnwritableError
from shadowbus.capture.outbox import Outbox
from shadowbus.capture.plain import TooLargeError, plain

PAGE = Path(__file__).resolve().parents[2] / "docs" / "capture.md"
HEADING = "## What each value becomes\n"
MOST = 1_000_000
REFUSED = object()


class Plan(enum.Enum):
    BASIC = "basic"


class Level(enum.IntEnum):
    HIGH = 3


class Word(str):
    """Text of a class of its own."""


@dataclasses.dataclass
class Customer:
    age: int
    plan: Plan = Plan.BASIC


@dataclasses.dataclass(slots=True)
class Slotted:
    age: int


class Point(NamedTuple):
    x: float
    y: float


class Form(pydantic.BaseModel):
    age: int
    born: dt.date | None = None


class Struct(msgspec.Struct):
    age: int


SCOPE: dict[str, Any] = {
    **{module.__name__: module for module in (collections, decimal, fractions, pathlib, uuid)},
    **{kind.__name__: kind for kind in (Plan, Level, Word, Customer, Slotted, Point, Form, Struct)},
    "np": np,
    "pd": pd,
    "dt": dt,
    "BERLIN": dt.timezone(dt.timedelta(hours=1)),
}
ROW = "the row above"
NANOSECONDS = "2026-01-02T00:00:00.000000000"
VALUES: list[tuple[str, str, Any, Any]] = [
    # what, example, its plain value (or REFUSED), the request id it makes (or None)
    ("text", "'DE'", "DE", "DE"),
    ("text of a class of its own", "Word('DE')", "DE", "DE"),
    ("true and false", "True", True, None),
    ("integers of up to 64 bits", "7", 7, "7"),
    ("larger integers", "2**80", REFUSED, str(2**80)),
    ("floats", "1.5", 1.5, None),
    ("whole floats", "7.0", 7.0, "7"),
    ("NaN and infinity", "float('nan')", None, None),
    ("nothing", "None", None, None),
    ("bytes of UTF-8 text", "b'DE'", "DE", "DE"),
    ("other bytes", r"b'\xff'", REFUSED, None),
    ("complex numbers", "1j", REFUSED, None),
    ("decimals", "decimal.Decimal('1.5')", 1.5, None),
    ("whole decimals", "decimal.Decimal('7')", 7.0, "7"),
    ("whole decimals that no float holds", "decimal.Decimal(2**60 + 1)", 2**60 + 1, str(2**60 + 1)),
    ("decimals without a value", "decimal.Decimal('sNaN')", None, None),
    ("fractions", "fractions.Fraction(1, 4)", 0.25, None),
    ("enums: what they stand for", "Plan.BASIC", "basic", "basic"),
    ("enums of integers", "Level.HIGH", 3, "3"),
    ("UUIDs", "uuid.UUID(int=7)", str(uuid.UUID(int=7)), str(uuid.UUID(int=7))),
    ("paths", "pathlib.PurePosixPath('/a/b')", "/a/b", "/a/b"),
    ("moments without a zone", "dt.datetime(2026, 1, 2, 3, 4, 5)", "2026-01-02T03:04:05", "2026-01-02T03:04:05"),
    ("moments with a zone", "dt.datetime(2026, 1, 2, tzinfo=BERLIN)", "2026-01-02T00:00:00+01:00", ROW),
    ("dates", "dt.date(2026, 1, 2)", "2026-01-02", "2026-01-02"),
    ("times of day", "dt.time(3, 4, 5)", "03:04:05", "03:04:05"),
    ("durations: seconds", "dt.timedelta(minutes=1.5)", 90.0, "90"),
    ("lists and tuples", "(1, ['a', None])", [1, ["a", None]], None),
    ("named tuples", "Point(1.0, 2.0)", {"x": 1.0, "y": 2.0}, None),
    ("ranges, queues, views of objects", "collections.deque([1, 2])", [1, 2], None),
    ("sets, in their order where they have one", "{3, 1, 2}", [1, 2, 3], None),
    ("objects with two names that are the same as text", "{1: 'a', '1': 'b'}", REFUSED, None),
    ("objects with names of other kinds", "{2: 'a', None: 'b'}", {"2": "a", "null": "b"}, None),
    ("objects with names that are numpy's text", "{np.str_('age'): 41}", {"age": 41}, None),
    ("objects with names that are no scalars", "{(1, 2): 'a'}", REFUSED, None),
    ("mappings", "collections.OrderedDict(age=41)", {"age": 41}, None),
    ("dataclasses", "Customer(41)", {"age": 41, "plan": "basic"}, None),
    ("dataclasses with slots", "Slotted(41)", {"age": 41}, None),
    ("pydantic models", "Form(age=41, born=dt.date(1985, 1, 2))", {"age": 41, "born": "1985-01-02"}, None),
    ("msgspec structs", "Struct(41)", {"age": 41}, None),
    ("iterators and generators, which are left as they are", "iter([1])", REFUSED, None),
    ("other objects, functions, classes", "object()", REFUSED, None),
    ("text that is not Unicode", r"'\ud800'", REFUSED, None),
    ("numpy integers", "np.int64(7)", 7, "7"),
    ("numpy floats, exactly: not rounded", "np.float32(0.1)", float(np.float32(0.1)), None),
    ("numpy half and long floats", "np.longdouble(1.5)", 1.5, None),
    ("numpy booleans", "np.bool_(True)", True, None),
    ("numpy text", "np.str_('DE')", "DE", "DE"),
    ("numpy bytes", "np.bytes_(b'DE')", "DE", "DE"),
    ("numpy moments", "np.datetime64('2026-01-02T03:04:05')", "2026-01-02T03:04:05", "2026-01-02T03:04:05"),
    ("numpy moments that are none", "np.datetime64('NaT')", None, None),
    ("numpy durations: seconds", "np.timedelta64(90, 's')", 90.0, "90"),
    ("numpy moments in an array without dimensions", "np.array('2026-01-02', 'M8[ns]')", NANOSECONDS, NANOSECONDS),
    ("numpy complex numbers", "np.complex64(1j)", REFUSED, None),
    ("arrays without dimensions", "np.array(1.5)", 1.5, None),
    ("arrays", "np.arange(6).reshape(2, 3)[:, ::2]", [[0, 2], [3, 5]], None),
    ("arrays of text", "np.array(['a', 'bc'])", ["a", "bc"], None),
    ("arrays of moments", "np.array(['2026-01-02', 'NaT'], 'M8[D]')", ["2026-01-02", None], None),
    ("arrays of durations", "np.array([90], 'm8[s]')", [90.0], None),
    ("arrays of objects", "np.array([Plan.BASIC, None], object)", ["basic", None], None),
    ("masked arrays", "np.ma.array([1, 2], mask=[True, False])", [None, 2], None),
    ("records", "np.array([(1, 2.5)], [('a', 'i4'), ('b', 'f8')])", [{"a": 1, "b": 2.5}], None),
    ("pandas timestamps", "pd.Timestamp('2026-01-02 03:04', tz='UTC')", "2026-01-02T03:04:00+00:00", ROW),
    ("pandas durations: seconds", "pd.Timedelta(minutes=1.5)", 90.0, "90"),
    ("pandas NaT", "pd.NaT", None, None),
    ("pandas NA", "pd.NA", None, None),
    ("pandas periods and intervals", "pd.Period('2026-01', 'M')", "2026-01", "2026-01"),
    ("categoricals", "pd.Categorical(['a', None])", ["a", None], None),
    ("an index", "pd.Index([1, 2])", [1, 2], None),
    ("a series with names", "pd.Series({'age': 41, 'plan': 'basic'})", {"age": 41, "plan": "basic"}, None),
    ("a series without", "pd.Series([1.5, pd.NA], dtype='Float64')", [1.5, None], None),
    ("a series with a name twice", "pd.Series([1, 2], index=['a', 'a'])", REFUSED, None),
    ("a frame of one row", "pd.DataFrame({'n': [7], 'x': [1.5], 's': ['a']})", {"n": 7, "x": 1.5, "s": "a"}, None),
    ("a frame of more rows, or of none", "pd.DataFrame({'n': [7, 8]})", REFUSED, None),
]
NAMES = [what for what, *_ in VALUES]


def made(source: str) -> Any:
    return eval(source, SCOPE)  # noqa: S307 - the sources are above


def as_id(wanted: Any, key: Any) -> Any:
    return wanted if key is ROW else key


@pytest.mark.parametrize(("source", "wanted"), [row[1:3] for row in VALUES], ids=NAMES)
@pytest.mark.parametrize("place", ["alone", "in a list", "in an object", "deep"])
def test_a_value_becomes_plain_wherever_it_stands(source: str, wanted: Any, place: str) -> None:
    around: dict[str, Any] = {
        "alone": lambda value: value,
        "in a list": lambda value: [1, value],
        "in an object": lambda value: {"name": value, "other": 1.5},
        "deep": lambda value: {"a": [{"b": (value,)}]},
    }
    wrap = around[place]
    try:
        found = orjson.loads(orjson.dumps(plain(wrap(made(source)), MOST)))
    except TypeError:
        assert wanted is REFUSED
        return
    assert found == orjson.loads(orjson.dumps(wrap(wanted)))


@pytest.mark.parametrize(("source", "wanted", "key"), [row[1:] for row in VALUES], ids=NAMES)
def test_a_value_makes_an_id_or_is_refused_as_one(source: str, wanted: Any, key: Any) -> None:
    assert given_id(made(source)) == as_id(wanted, key)


@pytest.fixture(scope="module")
def tap() -> Iterator[Tap]:
    one = Tap("churn", {"bootstrap.servers": "127.0.0.1:1"}, model="champion@3")
    yield one
    one.close(0)


@pytest.mark.parametrize(("source", "wanted"), [row[1:3] for row in VALUES], ids=NAMES)
def test_through_the_tap_it_is_written_or_counted(
    tap: Tap, monkeypatch: pytest.MonkeyPatch, source: str, wanted: Any
) -> None:
    records: list[dict[str, Any]] = []
    put = Outbox.put

    def watched(self: Outbox, topic: str, key: bytes, value: bytes) -> str | None:
        records.append(orjson.loads(value))
        return put(self, topic, key, value)

    monkeypatch.setattr(Outbox, "put", watched)
    before = tap.counters()
    with tap.request({"f": made(source)}, segments={"s": made(source)}, context={"c": made(source)}) as call:
        call.prediction, call.scores = made(source), {"p": made(source)}
    tap.label("r-1", made(source))
    after = tap.counters()
    if wanted is REFUSED:
        assert records == []
        assert after.dropped["not_serialisable"] - before.dropped["not_serialisable"] == 3
        return
    wanted = orjson.loads(orjson.dumps(wanted))
    request, prediction, label = records
    assert (request["features"]["f"], request["segments"]["s"], request["context"]["c"]) == (wanted,) * 3
    assert (prediction["prediction"], prediction["scores"]["p"], label["label"]) == (wanted,) * 3
    assert after.lost == before.lost


def table() -> str:
    rows = ["| what | such as | becomes | as a request id |", "|---|---|---|---|"]
    for what, source, wanted, key in VALUES:
        becomes = "refused" if wanted is REFUSED else f"`{orjson.dumps(wanted).decode()}`"
        name = as_id(wanted, key)
        rows.append(f"| {what} | `{source}` | {becomes} | {'refused' if name is None else f'`{name}`'} |")
    return "\n".join(rows)


def test_the_table_in_the_docs_is_this_one() -> None:
    section = PAGE.read_text(encoding="utf-8").partition(HEADING)[2].partition("\n## ")[0]
    assert table() in section, f"docs/capture.md should have\n{table()}"


def test_what_is_plain_already_is_not_copied() -> None:
    for value in ({"a": 1.5, "b": "x"}, [1.5, 2.5], {"a": [1, 2]}):
        assert plain(value, MOST) == value
    flat = {"a": 1.5, "b": "x", "c": None, "d": True}
    assert plain(flat, MOST) is flat


class Endless(Mapping[str, int]):
    """Makes up its content, without end."""

    def __getitem__(self, name: str) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return (str(number) for number in itertools.count())

    def __len__(self) -> int:
        return 3


class Slow(Endless):
    def __iter__(self) -> Iterator[str]:
        for number in itertools.count():
            time.sleep(0.01)
            yield str(number)


class Nested:
    """Never plain: asked what it is, it says another one."""

    def model_dump(self) -> "Nested":
        return Nested()


def laughs() -> Any:
    value: Any = ["ha"] * 10
    for _ in range(12):
        value = [value] * 10
    return value


def circle() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


ENDLESS = {
    "numbers": lambda: [0.5] * 5_000_000,
    "numbers in an object": lambda: {"a": {"b": [0.5] * 5_000_000}},
    "texts": lambda: ["x" * 100_000] * 5_000,
    "one text": lambda: {"a": "x" * 100_000_000},
    "names": lambda: {"x" * 2_000_000: 1},
    "an array that is large": lambda: np.broadcast_to(np.float64(1), (1_000, 1_000, 1_000)),
    "an array of objects": lambda: np.broadcast_to(np.array("x", object), (1_000, 1_000, 1_000)),
    "a series": lambda: pd.Series(np.zeros(3_000_000)),
    "a frame": lambda: pd.DataFrame(np.zeros((1, 1_500_000))),
    "bytes": lambda: bytes(50_000_000),
    "a range": lambda: range(10**12),
    "a mapping without end": Endless,
    "a mapping that takes its time": Slow,
    "an object that never becomes plain": Nested,
    "the same list again and again": laughs,
    "a list that holds itself": circle,
}


def refused(value: object) -> tuple[int, int]:
    """How many calls it takes to refuse a value, and how many bytes at most: both whatever else the machine does."""
    calls = itertools.count()
    tracemalloc.start()
    sys.setprofile(lambda *_: next(calls))
    try:
        with pytest.raises((TooLargeError, UnwritableError)):
            plain({"features": value}, MOST)
    finally:
        sys.setprofile(None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return next(calls), peak


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_is_endless_or_too_large_is_refused_before_it_costs_anything(kind: str) -> None:
    calls, peak = refused(ENDLESS[kind]())
    assert calls < 1_000_000
    assert peak < 5_000_000


def test_it_is_counted_why_and_nobody_waits(tap: Tap) -> None:
    before = tap.counters().dropped["too_large"]
    done = threading.Event()

    def serve() -> None:
        for value in (Endless(), {"a": Slow()}, [0.5] * 5_000_000):
            with tap.request(value) as call:
                call.prediction = 1
        done.set()

    threading.Thread(target=serve, daemon=True).start()
    assert done.wait(30)
    assert tap.counters().dropped["too_large"] == before + 6


class Rude:
    """Raises what ends a process from whatever it is asked."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def model_dump(self) -> object:
        raise self.error

    def tolist(self) -> object:
        raise self.error


class RudeMapping(Endless):
    def __iter__(self) -> Iterator[str]:
        raise KeyboardInterrupt


class RudeText(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, RecursionError])
def test_an_object_may_raise_what_it_likes(tap: Tap, kind: type[BaseException]) -> None:
    before = tap.counters().dropped["not_serialisable"]
    for value in (Rude(kind()), RudeMapping(), {"deep": [Rude(kind())]}):
        with tap.request(value, request_id="r-1") as call:
            call.prediction = value
        tap.label(Rude(kind()), value)
        tap.label("r-1", value, timestamp_ms=Rude(kind()))  # type: ignore[arg-type]
        with tap.request([1]) as call:
            call.prediction, call.model, call.scores = value, value, value
    assert tap.counters().dropped["not_serialisable"] == before + 6


def test_an_exception_that_cannot_be_read_stays_the_services_own(tap: Tap) -> None:
    mistake = RudeText()
    with pytest.raises(RudeText) as caught, tap.request([1]):
        raise mistake
    assert caught.value is mistake


NOW_MS = 1_760_000_000_000


@pytest.mark.parametrize("given", [NOW_MS, np.int64(NOW_MS), float(NOW_MS), decimal.Decimal(NOW_MS), None])
def test_a_time_in_milliseconds_is_taken_however_it_is_held(tap: Tap, given: Any) -> None:
    before = tap.counters()
    tap.label("r-1", 1, timestamp_ms=given)
    assert (tap.counters().labels - before.labels, tap.counters().lost - before.lost) == (1, 0)


@pytest.mark.parametrize(
    "given",
    [
        *(NOW_MS // 1_000, NOW_MS * 1_000, NOW_MS * 1_000_000, NOW_MS / 1_000, -1, 2**70, float("nan")),
        *("now", True, b"1", dt.datetime(2026, 1, 2, tzinfo=dt.UTC), [NOW_MS], object()),
    ],
)
def test_a_time_that_no_stage_takes_is_counted(tap: Tap, given: Any) -> None:
    before = tap.counters()
    tap.label("r-1", 1, timestamp_ms=given)
    after = tap.counters()
    assert (after.labels - before.labels, after.lost - before.lost) == (0, 1)
    assert after.dropped["invalid_field"] - before.dropped["invalid_field"] == 1


@pytest.mark.parametrize("chance", [0.0, -1.0, 1.01, float("nan"), "half", True, 1e-9])
def test_a_chance_that_no_stage_takes_is_counted(tap: Tap, chance: Any) -> None:
    before = tap.counters().dropped["invalid_field"]
    tap.label("r-1", 1, probability=chance)
    assert tap.counters().dropped["invalid_field"] == before + 1


@pytest.mark.parametrize("model", ["", "a|b", "a~b", "x" * 201, 7, "\ud800", object()])
def test_a_model_that_no_stage_takes_is_left_out(tap: Tap, model: Any) -> None:
    before = tap.counters().replaced
    with tap.request([1]) as call:
        call.prediction, call.model = 1, model
    assert tap.counters().replaced == before + 1
    assert tap.counters().dropped["internal"] == 0


def test_segments_that_replay_would_set_aside_are_too_large(tap: Tap) -> None:
    before = tap.counters()
    for segments in ({"note": "x" * 4_100}, {"note": "\n" * 2_100}, {str(number): 1.5 for number in range(500)}):
        with tap.request([1], segments=segments) as call:
            call.prediction = 1
    after = tap.counters()
    assert after.dropped["too_large"] - before.dropped["too_large"] == 6
    with tap.request([1], segments={"note": "x" * 4_000}, context={"note": "x" * 10_000}) as call:
        call.prediction = 1
    assert tap.counters().captured == after.captured + 2


def test_nothing_of_numpy_or_pandas_is_loaded() -> None:
    script = (
        "import sys; from shadowbus.capture.plain import plain\n"
        "import decimal, datetime; plain([decimal.Decimal(1), datetime.date(2026, 1, 2), {1: {2, 3}}], 1000)\n"
        "assert not {'numpy', 'pandas', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
