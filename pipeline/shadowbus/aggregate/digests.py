"""The settings a verdict follows from, as hashes by table: whoever works it out again sees which have changed."""

import dataclasses
import hashlib
from typing import Any

import orjson

from shadowbus.settings import Settings

_ITS_PROCESS = (
    "model",
    "timeout_ms",
    "allow_pickle",
    "trusted_types",
    "threads",
    "memory_mb",
    "load_seconds",
    "network",
    "environment",
    "mlflow_model",
)


def digests(settings: Settings, shadow: str) -> dict[str, str]:
    """SHA-256 in hex of the tables that a verdict on this shadow depends on.

    What stands at its default is left out, so that a release that adds a setting changes no hash. Where a model lies,
    and how much it may take, is left out too: that has no part in what is made of its answers.

    Args:
        settings: As they are now.
        shadow: Its name; `shadow` is absent where the settings do not know it.
    """
    judged = {one.name: _plain(one) for one in settings.shadow}
    for one in judged.values():
        for key in _ITS_PROCESS:
            one.pop(key, None)
    tables: dict[str, Any] = {
        "gate": _plain(settings.gate),
        "cost": [_plain(cost) for cost in settings.cost],
        "segment": [_plain(segment) for segment in settings.segment],
        "controls": sorted(name for name, one in judged.items() if one.get("control")),
    }
    if shadow in judged:
        tables["shadow"] = judged[shadow]
    return {name: _digest(table) for name, table in tables.items()}


def _plain(table: Any) -> dict[str, Any]:
    """The fields of a settings table that are not at their defaults."""
    found = {}
    for field in dataclasses.fields(table):
        value = getattr(table, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if value != default:
            found[field.name] = dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]
    return found


def _digest(table: Any) -> str:
    return hashlib.sha256(orjson.dumps(table, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()
