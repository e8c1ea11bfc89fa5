"""What the shadow's model costs, from replay's vitals. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST_TEXTS = 3
"""How many different texts of workers are kept."""


def resources(vitals: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """The field `resources` of docs/metrics.md.

    Args:
        vitals: Replay's newest vitals by source partition. A worker has one model, and says the same of it for each of
            its partitions: the newest of each worker counts.

    Returns:
        Empty without vitals.
    """
    newest: dict[str, Mapping[str, Any]] = {}
    for record in vitals.values():
        worker = str(record.get("worker", ""))
        if worker not in newest or _number(record, "timestamp_ms") > _number(newest[worker], "timestamp_ms"):
            newest[worker] = record
    if not newest:
        return {}
    models = [model for record in newest.values() if isinstance(model := record.get("model"), Mapping)]
    rows, cpu = sum(_number(model, "rows") for model in models), sum(_number(model, "cpu_s") for model in models)
    batched = [model for model in models if model.get("batch_ms_per_row") is not None]  # others had single rows only
    in_batches = sum(_number(model, "rows") for model in batched)
    batch_ms = sum(_number(model, "rows") * _number(model, "batch_ms_per_row") for model in batched)
    deaths = Counter[str]()
    for model in models:
        deaths.update(model["deaths"] if isinstance(model.get("deaths"), dict) else {})
    return {
        "workers": len(newest),
        "rows": rows,
        "cpu_s": cpu,
        "cpu_ms_per_row": cpu * 1000 / rows if rows else None,
        "batch_ms_per_row": batch_ms / in_batches if in_batches else None,
        "resident_bytes": sum(_number(model, "resident_bytes") for model in models),
        "largest_bytes": max((_number(model, "resident_bytes") for model in models), default=0),
        "restarts": sum(_number(model, "restarts") for model in models),
        "deaths": dict(sorted(deaths.items())),
        "loads": sum(_number(model, "loads") for model in models),
        "lag": sum(_number(record, "lag") for record in vitals.values()),
        "detours": _detours(models),
        "given_up": _texts(models, "given_up", ()),
        "network_missed": sum(_number(model, "network_missed") for model in models),
        "not_isolated": _texts(models, "network", ("on", "off")),
        "circuit_open": sum(model.get("circuit") == "open" for model in models),
    }


def _detours(models: Iterable[Mapping[str, Any]]) -> dict[str, int | float]:
    """How often quicker ways failed, by way; those that never did are left out."""
    ways = Counter[str]()
    for model in models:
        found = model.get("detours")
        ways.update({str(way): _number(found, way) for way in found} if isinstance(found, dict) else {})
    return {way: count for way, count in sorted(ways.items()) if count}


def _texts(models: Iterable[Mapping[str, Any]], name: str, plain: Sequence[str]) -> list[str]:
    """What workers say under a name, each once, but for what is plain."""
    said = {text for model in models if isinstance(text := model.get(name), str) and text not in ("", *plain)}
    return sorted(said)[:MOST_TEXTS]


def _number(record: Mapping[str, Any], name: str) -> int | float:
    value = record.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
