"""A backtest of files: how long it takes, and the processor time of each row, in each format.

Run `python benchmarks/backtest.py [ROWS]` for these figures alone. Labels are included; the model is a logistic
regression. Time begins when the program is started and ends when it has: the model is loaded, and everything written.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from outputs import WrongOutputError
from processes import CandidateFailedError, say
from pyarrow import parquet
from workload import agreements, make_bundle, pairs_of

LABELLED_AFTER_MS = 60_000
CHUNK = 50_000
WIRE = {f"--{topic}": f"{topic}.jsonl" for topic in ("requests", "predictions", "labels")}
MAPPING = """
[backtest]
segments = ["country"]
scores = ["p0", "p1"]
label_timestamp = "known_ms"
"""


def backtests(folder: Path, bundle: Path, rows: int) -> list[dict[str, object]]:
    """Measure JSON lines in the wire format, CSV and Parquet, the same rows in each.

    Args:
        folder: Where files may be.
        bundle: The shadow.
        rows: How many.
    """
    (folder / "backtest.toml").write_text(
        f'namespace = "bench"\n[[shadow]]\nname = "challenger"\nmodel = "{bundle}"\n{MAPPING}', "utf-8"
    )
    kinds: dict[str, Callable[[Path, int], dict[str, str]]] = {
        "JSON lines": _json_lines,
        "CSV": _csv,
        "Parquet": _parquet,
    }
    found: list[dict[str, object]] = []
    for kind, write in kinds.items():
        say(f"backtest of {rows:,} rows of {kind}: writing")
        files = write(folder, rows)
        found.append({"format": kind, "rows": rows, **_measured(folder, bundle, files, rows)})
        for name in set(files.values()):
            (folder / name).unlink()
    return found


def _measured(folder: Path, bundle: Path, files: dict[str, str], rows: int) -> dict[str, object]:
    out = folder / "backtest"
    named = [word for flag, name in files.items() for word in (flag, str(folder / name))]
    command = [sys.executable, "-m", "shadowbus", "--config", str(folder / "backtest.toml"), "backtest"]
    before, started = os.times(), time.monotonic()
    done = subprocess.run(
        [*command, "--shadow", "challenger", *named, "--out", str(out)], capture_output=True, text=True, check=False
    )
    seconds, after = time.monotonic() - started, os.times()
    if done.returncode:
        raise CandidateFailedError(done.stderr[-500:])
    whole = next(one for one in _lines(out / "aggregates.jsonl") if one["segment"] == one["window"] == "all")
    wanted, agreed = agreements(bundle, rows), whole["totals"]["agreed"]
    if (agreed, whole["totals"]["labels"]) != (wanted, rows):
        raise WrongOutputError(f"both models agree in {agreed} of {rows} comparisons, not in {wanted}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    say(f"    {seconds:.1f} s, {spent / rows * 1e6:.1f} µs of processor time for each row")
    return {"seconds": seconds, "rows_per_s": rows / seconds, "cpu_us_per_row": spent / rows * 1e6}


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _label(number: int) -> tuple[int, int]:
    """The label of a row, and when it is known."""
    return number // 3 % 2, 1_700_000_000_000 + number + LABELLED_AFTER_MS


def _json_lines(folder: Path, rows: int) -> dict[str, str]:
    files = [(folder / name).open("wb") for name in WIRE.values()]
    for number, (key, request, prediction) in enumerate(pairs_of(range(rows))):
        label, known_ms = _label(number)
        made = {"v": 1, "request_id": key.decode(), "timestamp_ms": known_ms, "label": label}
        for file, value in zip(files, (request, prediction, orjson.dumps(made)), strict=True):
            file.write(value + b"\n")
    for file in files:
        file.close()
    return WIRE


def _row(number: int, request: bytes, prediction: bytes) -> dict[str, Any]:
    asked, answered = orjson.loads(request), orjson.loads(prediction)
    label, known_ms = _label(number)
    return {
        **{name: asked[name] for name in ("request_id", "timestamp_ms")},
        **asked["features"],
        **asked["segments"],
        **{name: answered[name] for name in ("model", "prediction", "latency_ms")},
        **dict(zip(("p0", "p1"), answered["scores"], strict=True)),
        "label": label,
        "known_ms": known_ms,
    }


def _csv(folder: Path, rows: int) -> dict[str, str]:
    with (folder / "log.csv").open("w", newline="", encoding="utf-8") as lines:
        table: csv.DictWriter[str] | None = None
        for number, (_, request, prediction) in enumerate(pairs_of(range(rows))):
            row = _row(number, request, prediction)
            if table is None:
                table = csv.DictWriter(lines, list(row))
                table.writeheader()
            table.writerow(row)
    return dict.fromkeys(WIRE, "log.csv")


def _parquet(folder: Path, rows: int) -> dict[str, str]:
    writer: Any = None
    for start in range(0, rows, CHUNK):
        numbers = range(start, min(rows, start + CHUNK))
        made = [_row(number, *pair[1:]) for number, pair in zip(numbers, pairs_of(numbers), strict=True)]
        part = pa.Table.from_pylist(made)
        writer = writer or parquet.ParquetWriter(folder / "log.parquet", part.schema)
        writer.write_table(part)
    writer.close()
    return dict.fromkeys(WIRE, "log.parquet")


def main() -> None:
    """Print the figures."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        print(json.dumps(backtests(Path(folder), make_bundle(Path(folder)), rows)))


if __name__ == "__main__":
    main()
