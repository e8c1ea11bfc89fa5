"""What programs write, read back: each file against the rows it was written from; what cannot be read is named."""

import csv
import io
import json
import math
import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from shadowbus.backtest.log import Log
from shadowbus.errors import ShadowbusError
from shadowbus.settings.backtest import BacktestSettings

ROWS = 60
QUOTE = '"'
START = datetime(2026, 3, 1, 8, 0, 0, 250_000, tzinfo=UTC)
COLUMNS = BacktestSettings(timestamp="at", prediction="answer", label="real", model_column="")


class Kept:
    """Keeps what a log tells."""

    def __init__(self) -> None:
        self.bad: list[str] = []
        self.says: dict[str, str] = {}

    def reads(self, _: Path, says: Any) -> None:
        self.says = dict(says)

    def took(self, *_: object) -> None: ...

    def set_aside(self, _: Path, topic: str, bad: Any) -> None:
        self.bad.append(bad.reason)

    def commonest(self) -> str:
        return ""


def read(path: Path, columns: BacktestSettings = COLUMNS, *topics: str) -> tuple[dict[str, dict[str, Any]], Kept]:
    """Records by topic and id, and what was told."""
    kept = Kept()
    found: dict[str, dict[str, Any]] = {topic: {} for topic in topics or ("requests", "predictions", "labels")}
    log = Log(path, tuple(found), columns)
    while pieces := log.take(7, kept, 0):
        for piece in pieces:
            for key, value in zip(piece.keys, piece.values, strict=True):
                found[piece.topic][(key or b"").decode()] = json.loads(value or b"null")
    log.close()
    return found, kept


def rows() -> list[dict[str, Any]]:
    """An id with leading zeros, a time, a number with thousands, one with holes, a text, a truth value, answers."""
    return [
        {
            "request_id": f"{number:04d}",
            "at": START + timedelta(minutes=number * 601),
            "amount": 1234.5 + 1000 * number,
            "age": None if number % 7 == 0 else number,
            "city": ("Köln", "Łódź, PL", 'say "hi"\nthere')[number % 3],
            "new": number % 2 == 0,
            "answer": number / 4,
            "real": None if number % 5 == 0 else number / 8,
        }
        for number in range(ROWS)
    ]


def frame() -> pd.DataFrame:
    return pd.DataFrame(rows())


def by_hand(path: Path, cell: Callable[[Any], str], **dialect: Any) -> None:
    encoding = dialect.pop("encoding", "utf-8")
    with path.open("w", newline="", encoding=encoding) as lines:
        table = csv.writer(lines, **dialect)
        table.writerow(list(rows()[0]))
        table.writerows([cell(value) for value in row.values()] for row in rows())


def german(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%d.%m.%Y %H:%M:%S,%f")
    if isinstance(value, float):
        return f"{value:,.3f}".translate(str.maketrans(",.", ".,"))
    return "" if value is None else str(value).upper() if isinstance(value, bool) else str(value)


def american(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%m/%d/%Y %I:%M:%S.%f %p")
    return f"{value:,.3f}" if isinstance(value, float) else german(value)


def swiss(value: Any) -> str:
    return f"{value:,.3f}".replace(",", "'") if isinstance(value, float) else german(value)


def french(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%d/%m/%Y %H:%M:%S.%f")
    return f"{value:,.3f}".replace(",", "\u202f").replace(".", ",") if isinstance(value, float) else german(value)


def postgres(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f+00")
    return "\\N" if value is None else {True: "t", False: "f"}[value] if isinstance(value, bool) else str(value)


def spark(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def spaced(path: Path) -> None:
    """A comma and a space."""
    lines = [
        list(rows()[0]),
        *([f'"{spark(value).replace(QUOTE, QUOTE * 2)}"' for value in row.values()] for row in rows()),
    ]
    path.write_text("".join(", ".join(line) + "\n" for line in lines), "utf-8")


def bigquery(value: Any) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S.%f UTC") if isinstance(value, datetime) else spark(value)


def duckdb_copy(how: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        database = duckdb.connect()
        database.register("log", pa.Table.from_pylist(rows()))
        database.execute(f"COPY log TO '{path}' ({how})")

    return write


def index_of_pandas(path: Path) -> None:
    """Written, read and written again: both of pandas' names for its index."""
    first = io.StringIO()
    frame().to_csv(first)
    again = pd.read_csv(io.StringIO(first.getvalue()), dtype={"request_id": str})
    again.to_csv(path)
    assert path.read_text("utf-8").startswith(",Unnamed: 0,request_id")


def epochs_of_pandas(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pandas 4 will write is the file after this one
        frame().to_json(path, orient="records", lines=True)


def list_of_json(path: Path) -> None:
    frame().to_json(path, orient="records", date_format="iso", date_unit="ms")


WRITERS: dict[str, Callable[[Path], None]] = {
    "pandas.csv": lambda path: frame().to_csv(path, index=False),
    "index.csv": lambda path: frame().to_csv(path),
    "index twice.csv": index_of_pandas,
    "pandas.csv.gz": lambda path: frame().to_csv(path),
    "pandas decimal.csv": lambda path: frame().to_csv(path, sep=";", decimal=","),
    "pandas NA.csv": lambda path: frame().to_csv(path, na_rep="NA"),
    "pandas.tsv": lambda path: frame().to_csv(path, sep="\t"),
    "pandas.jsonl": epochs_of_pandas,
    "iso.jsonl": lambda path: frame().to_json(path, orient="records", lines=True, date_format="iso"),
    "list.json": list_of_json,
    "pandas.parquet": lambda path: frame().to_parquet(path),
    "index.parquet": lambda path: frame().set_index(pd.Index(range(5, 5 + ROWS))).to_parquet(path),
    "duckdb.csv": duckdb_copy("FORMAT csv, HEADER"),
    "duckdb bars.csv": duckdb_copy("FORMAT csv, HEADER, DELIMITER '|', NULLSTR 'NULL'"),
    "duckdb.jsonl": duckdb_copy("FORMAT json"),
    "duckdb list.json": duckdb_copy("FORMAT json, ARRAY true"),
    "duckdb.parquet": duckdb_copy("FORMAT parquet"),
    "excel german.csv": lambda path: by_hand(path, german, delimiter=";", encoding="utf-8-sig"),
    "excel american.csv": lambda path: by_hand(path, american, encoding="utf-8-sig"),
    "excel unicode.csv": lambda path: by_hand(path, german, delimiter="\t", encoding="utf-16"),
    "excel swiss.csv": lambda path: by_hand(path, swiss, delimiter=";"),
    "excel french.csv": lambda path: by_hand(path, french, delimiter=";"),
    "unix.csv": lambda path: by_hand(path, spark, lineterminator="\n", quoting=csv.QUOTE_ALL),
    "spaced.csv": spaced,
    "postgres.csv": lambda path: by_hand(path, postgres),
    "postgres.tsv": lambda path: by_hand(path, postgres, delimiter="\t"),
    "spark.csv": lambda path: by_hand(path, spark),
    "bigquery.csv": lambda path: by_hand(path, bigquery),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_program_writes_is_read_as_it_was_meant(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    found, kept = read(path)
    assert kept.bad == []
    for row in rows():
        request = found["requests"].pop(row["request_id"])
        features = request["features"]
        assert request["timestamp_ms"] == round(row["at"].timestamp() * 1000)
        assert {
            key: None if isinstance(value, float) and math.isnan(value) else value for key, value in features.items()
        } == {key: row[key] for key in ("amount", "age", "city", "new")}
        assert isinstance(features["new"], bool)
        assert found["predictions"].pop(row["request_id"])["prediction"] == row["answer"]
        label = found["labels"].pop(row["request_id"], {"label": None})
        assert label["label"] == row["real"]
    assert found == {"requests": {}, "predictions": {}, "labels": {}}


MOMENT = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
TIMES = [
    "2026-03-14T09:26:53Z",
    "2026-03-14T09:26:53.000Z",
    "2026-03-14 09:26:53",
    "2026-03-14 09:26:53.000000000",
    "2026-03-14 10:26:53+01",
    "2026-03-14 10:26:53+0100",
    "2026-03-14 10:26:53 +01:00",
    "2026-03-14 09:26:53 +0000 UTC",
    "2026-03-14 09:26:53 UTC",
    "2026-03-14T10:26:53+01:00[Europe/Berlin]",
    "20260314T092653Z",
    "20260314092653",
    "2026/03/14 09:26:53",
    "14.03.2026 09:26:53",
    "14.3.2026, 9:26:53",
    "14/03/2026 09:26:53",
    "03/14/2026 09:26:53 AM",
    "3/14/26 9:26:53",
    "14-03-2026 09:26:53",
    format_datetime(MOMENT),
    "Sat, 14 Mar 2026 09:26:53 GMT",
    *(str(int(MOMENT.timestamp()) * per) for per in (1, 10**3, 10**6, 10**9)),
    f"{MOMENT.timestamp():.6f}",
    f"{MOMENT.timestamp():.9e}",
]


@pytest.mark.parametrize("written", TIMES)
def test_times_are_read_whoever_wrote_them(written: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f'request_id,at,x,answer\na,"{written}",1,1\nb,,1,1\nc,"soon",1,1\n')
    found, kept = read(path, COLUMNS, "requests")
    assert found["requests"]["a"]["timestamp_ms"] == MOMENT.timestamp() * 1000
    assert list(found["requests"]) == ["a"]
    assert kept.bad[0] == "there is no time in column 'at'"
    assert "'soon'" in kept.bad[1]
    assert "timestamp_format" in kept.bad[1]
    assert f"is read as {kept.says['at']}" in kept.bad[1]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("03/04/2026", "either day or month may be first"),
        ("45717.33", "no times between 2000 and 2100"),
        ("12", "set 'backtest.timestamp' to the column of the time, or 'backtest.timestamp_unit'"),
    ],
)
def test_a_time_that_may_be_read_in_two_ways_is_read_in_none(written: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"request_id,at,x,answer\na,{written},1,1\n")
    with pytest.raises(ShadowbusError, match=said):
        read(path, COLUMNS, "requests")


def test_a_format_says_how_times_are_written(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("request_id,at,x,answer\na,03/04/2026,1,1\n")
    columns = BacktestSettings(timestamp="at", prediction="answer", timestamp_format="%d/%m/%Y")
    assert read(path, columns, "requests")[0]["requests"]["a"]["timestamp_ms"] == 1_775_174_400_000


@pytest.mark.parametrize(
    ("cells", "values", "said"),
    [
        (["1", "+2", "3e2", ".5", "\u22124"], [1, 2, 300.0, 0.5, -4], "number"),
        (["26,461.53", "1,234", "5"], [26461.53, 1234, 5], "number with commas between thousands"),
        (["26.461,53", "1.234", "5"], [26461.53, 1234, 5], "number with decimal commas and points between thousands"),
        (["1,234", "5,678"], [1234, 5678], "number with commas between thousands"),
        (["0,234", "5,678"], [0.234, 5.678], "number with decimal commas"),
        (["12,34,567.5"], [1234567.5], "number with commas between thousands"),
        (["007", "12"], ["007", "12"], "text, since codes have leading zeros"),
        (["4929123412341234123412", "1"], ["4929123412341234123412", "1"], "text, since codes have leading zeros"),
        (["NA", "DE"], ["NA", "DE"], "text"),
        (["NA", "1", "n/a", "-", "NULL"], [None, 1, None, None, None], "number"),
        (["none", "None", "null", "x"], ["none", None, None, "x"], "text"),
        (["TRUE", "false", ""], [True, False, None], "truth value"),
        (["[1, 2]", "{'a': None}", ""], [[1, 2], {"a": None}, None], "JSON"),
        (["", "nan"], [None, None], "empty in its first rows"),
    ],
)
def test_a_column_is_read_in_one_way(cells: list[str], values: list[Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    with path.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows(
            [["request_id", "at", "x", "answer"], *([f"r{n}", "2026-01-01", cell, 1] for n, cell in enumerate(cells))]
        )
    found, kept = read(path, COLUMNS, "requests")
    assert [one["features"]["x"] for one in found["requests"].values()] == values
    assert (kept.says["x"], kept.bad) == (said, [])


def test_a_cell_that_does_not_fit_is_named_with_its_column_and_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    rest = "".join(f"r{n},2026-01-01,{n}.5,1\n" for n in range(30))
    path.write_text(f"request_id,at,x,answer\nbad,2026-01-01,1O,1\nwide,2026-01-01,inf,1\n{rest}")
    found, kept = read(path, COLUMNS, "requests", "predictions")
    assert len(found["requests"]) == len(found["predictions"]) == 30
    assert kept.bad[0].startswith("column 'x' is read as number, and '1O' is none: list it in backtest.text")
    assert "'inf'" in kept.bad[1]
    columns = BacktestSettings(timestamp="at", prediction="answer", text=("x",))
    assert read(path, columns, "requests")[0]["requests"]["bad"]["features"]["x"] == "1O"


def test_settings_say_otherwise_than_the_cells(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text('request_id,at,x,y,answer\na,2026-01-01,"1,234",-,1\n')
    for more, x, y in (
        ({"decimal": ","}, 1.234, "-"),
        ({"thousands": ","}, 1234, "-"),
        ({"text": ("x",), "missing": ("-",)}, "1,234", None),
    ):
        columns = BacktestSettings(timestamp="at", prediction="answer", **more)
        assert read(path, columns, "requests")[0]["requests"]["a"]["features"] == {"x": x, "y": y}


INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
PARQUET: dict[str, tuple[pa.Array, Any]] = {
    **{kind: (pa.array([7], pa.type_for_alias(kind)), 7) for kind in INTEGERS},
    "largest": (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    "float16": (pa.array([0.5], pa.float16()), 0.5),
    "float32": (pa.array([0.5], pa.float32()), 0.5),
    "float64": (pa.array([0.1]), 0.1),
    "nan": (pa.array([float("nan")]), None),
    "bool": (pa.array([True]), True),
    "decimal128": (pa.array([Decimal("12.50")], pa.decimal128(9, 2)), 12.5),
    "decimal256": (pa.array([Decimal(12)], pa.decimal256(60, 0)), 12),
    "date32": (pa.array([date(2026, 3, 1)]), "2026-03-01"),
    "date64": (pa.array([date(2026, 3, 1)], pa.date64()), "2026-03-01"),
    "time32": (pa.array([3_600_000], pa.time32("ms")), "01:00:00"),
    "time64": (pa.array([3_600_000_000_001], pa.time64("ns")), "01:00:00"),
    "timestamp": (pa.array([START.replace(tzinfo=None)], pa.timestamp("ms")), "2026-03-01T08:00:00.250000"),
    "timestamp ns": (pa.array([1_000_000_001], pa.timestamp("ns")), "1970-01-01T00:00:01"),
    "timestamp zone": (pa.array([START], pa.timestamp("us", tz="UTC")), "2026-03-01T08:00:00.250000+00:00"),
    "duration": (pa.array([1500], pa.duration("ms")), 1.5),
    "text": (pa.array(["x"]), "x"),
    "large text": (pa.array(["x"], pa.large_string()), "x"),
    "text view": (pa.array(["x"], pa.string_view()), "x"),
    "dictionary": (pa.array(["x"]).dictionary_encode(), "x"),
    "binary": (pa.array([b"x"]), "x"),
    "large binary": (pa.array([b"x"], pa.large_binary()), "x"),
    "fixed binary": (pa.array([b"\x01\xff"], pa.binary(2)), "01ff"),
    "uuid": (pa.array([bytes(16)], pa.uuid()), "00000000-0000-0000-0000-000000000000"),
    "list": (pa.array([[1, 2]]), [1, 2]),
    "large list": (pa.array([[1]], pa.large_list(pa.int8())), [1]),
    "fixed list": (pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)), [1.0, 2.0]),
    "list of ns": (pa.array([[1_000_000_001]], pa.list_(pa.timestamp("ns"))), ["1970-01-01T00:00:01"]),
    "struct": (pa.array([{"a": 1, "b": {"c": Decimal("0.5")}}]), {"a": 1, "b": {"c": 0.5}}),
    "map": (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), {"a": 1}),
    "null": (pa.nulls(1), None),
    "nothing": (pa.array([None], pa.int64()), None),
}  # fmt: skip


@pytest.mark.parametrize("name", PARQUET)
def test_every_type_of_parquet_has_its_value(name: str, tmp_path: Path) -> None:
    column, value = PARQUET[name]
    path = tmp_path / "log.parquet"
    others = {"request_id": pa.array(["a"]), "at": pa.array([START]), "answer": pa.array([1])}
    parquet.write_table(pa.table({**others, "x": column}), path)
    found, kept = read(path, COLUMNS, "requests")
    assert kept.bad == []
    assert found["requests"]["a"]["features"] == {"x": value}


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([float("inf")]), "column 'x' is double, and an infinite number has no place in a record"),
        (pa.array([b"\xff"]), "column 'x' is binary, and its bytes are no UTF-8"),
    ],
)
def test_what_no_record_can_hold_sets_the_row_of_a_parquet_file_aside(
    column: pa.Array, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "log.parquet"
    parquet.write_table(pa.table({"request_id": ["a"], "at": [START], "answer": [1], "x": column}), path)
    found, kept = read(path, COLUMNS, "requests")
    assert (found["requests"], kept.bad) == ({}, [said])


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("s"),
        pa.timestamp("ns"),
        pa.timestamp("us", tz="Europe/Berlin"),
        pa.date32(),
        pa.int64(),
        pa.string(),
    ],
    ids=str,
)
def test_times_of_parquet(kind: pa.DataType, tmp_path: Path) -> None:
    day = datetime(2026, 3, 14, tzinfo=UTC)
    value = {"int64": int(day.timestamp()), "string": "2026-03-14"}.get(str(kind))
    column = (
        pa.array([value], kind)
        if value
        else pa.array([day], pa.timestamp("us", tz="UTC"))
        .cast(pa.timestamp("us"))
        .cast(pa.timestamp("us", tz="UTC") if getattr(kind, "tz", None) else kind)
        .cast(kind)
    )
    parquet.write_table(
        pa.table({"request_id": ["a"], "at": column, "answer": [1]}),
        tmp_path / "log.parquet",
        use_deprecated_int96_timestamps=False,
    )
    assert (
        read(tmp_path / "log.parquet", COLUMNS, "requests")[0]["requests"]["a"]["timestamp_ms"]
        == day.timestamp() * 1000
    )


def test_the_times_that_old_programs_write_to_parquet(tmp_path: Path) -> None:
    at = pa.array([START], pa.timestamp("us", tz="UTC")).cast(pa.timestamp("ns", tz="UTC"))
    table = pa.table({"request_id": ["a"], "at": at, "answer": [1], "x": at})
    parquet.write_table(table, tmp_path / "log.parquet", use_deprecated_int96_timestamps=True)
    (one,) = read(tmp_path / "log.parquet", COLUMNS, "requests")[0]["requests"].values()
    assert one["timestamp_ms"] == round(START.timestamp() * 1000)
    assert one["features"]["x"].startswith("2026-03-01T08:00:00.25")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_empty_text_is_no_answer_and_no_label(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"log.{kind}"
    table = pd.DataFrame(
        {"request_id": ["a", "b"], "at": ["2026-01-01"] * 2, "answer": ["", "yes"], "real": ["yes", ""]}
    )
    {
        "csv": table.to_csv,
        "parquet": table.to_parquet,
        "jsonl": lambda to: table.to_json(to, orient="records", lines=True),
    }[kind](path)
    found, _ = read(path)
    assert (list(found["predictions"]), list(found["labels"])) == (["b"], ["a"])


def test_ids_that_pandas_made_floats_are_the_same_ids(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("request_id,real\n17.0,1\n18.0,0\n")
    assert list(read(path, COLUMNS, "labels")[0]["labels"]) == ["17", "18"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("latin.csv", "request_id,at,answer,x\na,2026-01-01,1,Köln\n".encode("latin-1"), "set 'backtest.encoding'"),
        (
            "columns.json",
            pd.DataFrame({"request_id": ["a"], "at": [1]}).to_json().encode(),
            "orient='records', lines=True",
        ),
        ("none.csv", b"", "is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_a_sentence(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ShadowbusError, match=said):
        read(tmp_path / name)


def test_an_encoding_that_is_said_is_read(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes("request_id,at,answer,x\na,2026-01-01,1,Köln\n".encode("cp1252"))
    columns = BacktestSettings(timestamp="at", prediction="answer", encoding="windows-1252")
    assert read(tmp_path / "log.csv", columns, "requests")[0]["requests"]["a"]["features"] == {"x": "Köln"}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_column_of_objects_is_the_features(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"log.{kind}"
    wanted = [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]
    table = pd.DataFrame(
        {"request_id": ["a", "b"], "at": ["2026-01-01"] * 2, "features": wanted, "answer": [1, 2], "z": [3, 4]}
    )
    {
        "csv": table.to_csv,
        "parquet": table.to_parquet,
        "jsonl": lambda to: table.to_json(to, orient="records", lines=True),
    }[kind](path)
    found, kept = read(path, COLUMNS, "requests")
    assert ([one["features"] for one in found["requests"].values()], kept.bad) == (wanted, [])


def test_records_are_taken_as_they_are_unless_a_column_is_mapped_otherwise(tmp_path: Path) -> None:
    line = {"request_id": "a", "timestamp_ms": 1_760_000_000_000, "at": "2026-01-01", "features": {"x": 1}, "extra": 1}
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n")
    assert read(tmp_path / "log.jsonl", BacktestSettings(), "requests")[0]["requests"]["a"] == line
    mapped = read(tmp_path / "log.jsonl", COLUMNS, "requests")[0]["requests"]["a"]
    assert (mapped["timestamp_ms"], mapped["features"]) == (1_767_225_600_000, {"x": 1})
