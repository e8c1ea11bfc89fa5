"""`[backtest]`: which column of a file is what."""

import codecs
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shadowbus.errors import SettingsError
from shadowbus.settings.reading import filled_in, read_table

UNITS = {"s": 1000.0, "ms": 1.0, "us": 0.001, "ns": 0.000001}
"""Milliseconds in one unit of time."""


DECIMALS = (".", ",")
THOUSANDS = (",", ".", " ", "'")


@dataclass(frozen=True, slots=True)
class BacktestSettings:
    """`[backtest]`: the columns of files that are not in the wire format."""

    request_id: str = "request_id"
    timestamp: str = "timestamp_ms"
    timestamp_unit: str = ""
    timestamp_format: str = ""
    features: tuple[str, ...] = ()
    features_as_list: bool = False
    ignore: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    decimal: str = ""
    thousands: str = ""
    missing: tuple[str, ...] = ()
    encoding: str = ""
    segments: tuple[str, ...] = ()
    model: str = "live@1"
    model_column: str = "model"
    prediction: str = "prediction"
    scores: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    latency: str = "latency_ms"
    error: str = "error"
    label: str = "label"
    label_timestamp: str = ""
    label_probability: str = "probability"
    shadow_model: str = ""
    shadow_prediction: str = ""
    shadow_scores: tuple[str, ...] = ()
    shadow_latency: str = ""
    shadow_error: str = ""


def load_columns(path: Path) -> BacktestSettings:
    """A mapping from a file of its own: what would stand in `[backtest]`, with or without that heading.

    Raises:
        SettingsError: The file is not there, is not TOML, or a key or value in it is wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}.") from error
    found = filled_in(document.get("backtest", document), f"{path}", os.environ)
    columns = read_table(BacktestSettings, found, path, "backtest.")
    check_backtest(columns, path)
    return columns


def check_backtest(columns: BacktestSettings, source: object) -> None:
    """Can these columns be read?

    Raises:
        SettingsError: Not as they are; the message names the file and the key.
    """
    if columns.timestamp_unit and columns.timestamp_unit not in UNITS:
        raise SettingsError(f"{source}: 'backtest.timestamp_unit' has to be one of {', '.join(UNITS)}.")
    _check_cells(columns, source)
    for key, scores in (("scores", columns.scores), ("shadow_scores", columns.shadow_scores)):
        if columns.classes and scores and len(scores) != len(columns.classes):
            raise SettingsError(f"{source}: 'backtest.{key}' and 'backtest.classes' have to be equally many.")
    for key, name in (("model", columns.model), ("shadow_model", columns.shadow_model)):
        if name and not _is_model(name):
            raise SettingsError(f"{source}: 'backtest.{key}' has to be text such as name@version, not {name!r}.")
    for key in ("features", "segments", "classes", "scores", "shadow_scores"):
        if _twice(getattr(columns, key)):
            raise SettingsError(f"{source}: 'backtest.{key}' names one twice.")


def _check_cells(columns: BacktestSettings, source: object) -> None:
    """How cells are written."""
    for key, sign, known in (("decimal", columns.decimal, DECIMALS), ("thousands", columns.thousands, THOUSANDS)):
        if sign and sign not in known:
            raise SettingsError(f"{source}: 'backtest.{key}' has to be one of {', '.join(map(repr, known))}.")
    if columns.decimal and columns.decimal == columns.thousands:
        raise SettingsError(f"{source}: 'backtest.decimal' and 'backtest.thousands' cannot be the same sign.")
    if both := sorted({*columns.text} & {*columns.numbers}):
        raise SettingsError(f"{source}: 'backtest.text' and 'backtest.numbers' both name {both[0]!r}.")
    if columns.encoding and not _is_encoding(columns.encoding):
        raise SettingsError(f"{source}: 'backtest.encoding' has to be one that Python knows, not {columns.encoding!r}.")


def _is_encoding(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding
    except LookupError:
        return False


def _is_model(name: str) -> bool:
    return len(name) <= 200 and "|" not in name and "~" not in name


def _twice(names: Sequence[str]) -> bool:
    return len(set(names)) < len(names)
