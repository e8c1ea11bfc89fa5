"""The gate that a trial is judged by: all settings that say what is counted, and what has to be shown. Pure.

In: the settings, or the tables of them that a partial or a verdict carries. Out: a gate with a hash, what changed from
one to another in words, and settings with a gate of then in place of today's. Guaranteed: the same settings have the
same hash, whatever a later release adds to them. A verdict belongs to one gate: nobody looks first and then chooses.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

import orjson

from shadowbus.errors import Malformed
from shadowbus.settings import Settings
from shadowbus.settings.tables import CostSettings, GateSettings, ShadowSettings
from shadowbus.trials import shadow_of

WAITS = ("min_requests", "min_labels", "min_days", "max_cpu_ms_per_row", "max_memory_mb")
"""Settings of `[gate]` that count nothing and show nothing: they only say how long PROMOTE waits, so that changing
them starts nothing anew. An interval holds at every look, whenever people stop to look."""

_ITS_PROCESS = (
    *("model", "allow_pickle", "trusted_types", "threads", "memory_mb", "load_seconds", "network", "environment"),
    "mlflow_model",
)
"""Where a model lies and how much it may take has no part in what is made of its answers."""

MOST_CHANGES = 8
SHOWN = 60


@dataclass(frozen=True)
class Gate:
    """Tables of the settings, as JSON has them, without values that are the default.

    Attributes:
        tables: `gate`, `cost`, `segment`, `controls` (by name), and `shadow`, the trial's own.
    """

    tables: Mapping[str, Any]

    @classmethod
    def of(cls, settings: Settings, shadow: str) -> Self:
        """The gate of a shadow's trials; the table `shadow` is absent where the settings do not have it."""
        judged = {one.name: _plain(one) for one in settings.shadow}
        for one in judged.values():
            for key in _ITS_PROCESS:
                one.pop(key, None)
        tables: dict[str, Any] = {
            "gate": _plain(settings.gate),
            "cost": [_plain(cost) for cost in settings.cost],
            "segment": [_plain(segment) for segment in settings.segment],
            "controls": {name: one for name, one in sorted(judged.items()) if one.get("control")},
        }
        if shadow in judged:
            tables["shadow"] = judged[shadow]
        return cls(orjson.loads(orjson.dumps(tables, default=str)))

    @classmethod
    def from_record(cls, tables: Any) -> Self:
        """Read it back.

        Raises:
            Malformed: These are no such tables.
        """
        shapes = {"gate": dict, "cost": list, "segment": list, "controls": dict}
        if not isinstance(tables, Mapping) or any(not isinstance(tables.get(key), one) for key, one in shapes.items()):
            raise Malformed("the tables of its gate cannot be read")
        found = cls(tables)
        try:
            found.applied(Settings("any"))
        except (TypeError, ValueError, AttributeError) as error:
            raise Malformed(f"the tables of its gate cannot be read: {error!r:.100}") from None
        return found

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 in hex of each table."""
        return {name: _digest(table) for name, table in self.tables.items()}

    @cached_property
    def hash(self) -> str:
        """Equal for gates that count and show the same: the first 16 hex digits of a SHA-256."""
        gate = {name: value for name, value in self.tables["gate"].items() if name not in WAITS}
        return _digest({**self.tables, "gate": gate})[:16]

    def applied(self, settings: Settings) -> Settings:
        """The same settings with this gate, for a trial of its shadow; no other shadow is in them."""
        own = self.tables.get("shadow")
        shadows = {one["name"]: one for one in (*self.tables["controls"].values(), *([own] if own else ()))}
        return dataclasses.replace(
            settings,
            gate=GateSettings(**_known(GateSettings, self.tables["gate"])),
            cost=tuple(CostSettings(**_known(CostSettings, one)) for one in self.tables["cost"]),
            shadow=tuple(ShadowSettings(model="", **_known(ShadowSettings, one)) for one in shadows.values()),
        )

    def changes(self, before: Self) -> list[str]:
        """What is other than before, a line for each setting.

        >>> before = {"gate": {}, "cost": [], "segment": [], "controls": {}}
        >>> Gate({**before, "gate": {"alpha": 0.01}}).changes(Gate(before))
        ['gate.alpha: 0.05 → 0.01']
        """
        old, new = dict(_flat(before.tables)), dict(_flat(self.tables))
        keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
        found = [f"{key}: {_shown(key, old)} → {_shown(key, new)}" for key in keys]
        more = len(found) - MOST_CHANGES
        return found if more <= 0 else [*found[:MOST_CHANGES], f"and {more} more"]


def sentence(told: Mapping[str, Any]) -> str:
    """What a verdict's field `gate` says of a change; empty where there was none.

    >>> sentence({"span": 2, "changed_ms": 1_764_504_000_000, "changed": ["gate.alpha: 0.05 → 0.01"]})[:67]
    'The gate changed at 2025-11-30 12:00 UTC (gate.alpha: 0.05 → 0.01):'
    """
    number, at_ms, changed, out = (told.get(name) for name in ("span", "changed_ms", "changed", "elsewhere"))
    parts = []
    if isinstance(number, int) and number > 1:
        lines = [str(one)[:200] for one in changed] if isinstance(changed, list) else []
        when = f" at {_time(at_ms)}" if isinstance(at_ms, int) and 0 < at_ms < 1 << 45 else ""
        parts.append(
            f"The gate changed{when} ({'; '.join(lines[: MOST_CHANGES + 1])}): what was counted before is not part of "
            "this verdict."
        )
        former = told.get("before")
        if isinstance(former, Mapping) and former.get("verdict") in ("PROMOTE", "SEND_BACK"):
            parts.append(f"By the gate of before it was {former['verdict'].replace('_', ' ')}.")
    if isinstance(out, list) and out:
        named = ", ".join(str(one) for one in out[:20])
        parts.append(
            f"Source partitions {named} have counted nothing by this gate yet: they have had no request since it "
            "changed, or their `shadowbus aggregate` has to be started again with the settings of today."
        )
    return " ".join(parts)


def differs(settings: Settings, trial: str, told: Mapping[str, Any]) -> str:
    """That the settings of today are another gate than the one a verdict belongs to; empty where they are the same.

    Args:
        settings: Today's settings.
        trial: The verdict's trial.
        told: Its field `gate`.
    """
    shadow = shadow_of(trial)
    if not told or settings.without_shadow(shadow):
        return ""
    try:
        changed = Gate.of(settings, shadow).changes(Gate.from_record(told.get("settings")))
    except Malformed as error:
        return f"The gate of the verdict on {trial} cannot be read: {error}."
    if not changed:
        return ""
    return (
        f"The verdict on {trial} belongs to gate {short(told)}, and {settings.source} says another one "
        f"({'; '.join(changed)}). It counts from the first request after `shadowbus up` (or all of replay, judge and "
        "aggregate) was started again with it."
    )


def short(told: Mapping[str, Any]) -> str:
    """The hash of a verdict's gate as people read it; empty where it has none."""
    return str(told.get("hash") or "")[:8]


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _flat(table: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables by their whole names."""
    if isinstance(table, Mapping) and table:
        for name, value in table.items():
            yield from _flat(value, f"{key}.{name}" if key else str(name))
    elif key and table not in ({}, []):
        yield key, table


def _shown(key: str, values: Mapping[str, Any]) -> str:
    """A value, or the default of one that was not set."""
    table, _, name = key.partition(".")
    kind = {"gate": GateSettings, "shadow": ShadowSettings}.get(table)
    defaults = {field.name: field.default for field in dataclasses.fields(kind)} if kind else {}
    value = values.get(key, defaults.get(name))
    if value is None or value is dataclasses.MISSING:
        return "nothing"
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _known(kind: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    """Without what a later release has added."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in table.items() if name in names}


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
    return hashlib.sha256(orjson.dumps(table, option=orjson.OPT_SORT_KEYS)).hexdigest()
