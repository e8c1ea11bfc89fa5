"""What settings may not be: each mistake is a sentence that names the file and the key."""

import math
import re
from collections.abc import Callable
from dataclasses import fields

from shadowbus.errors import SettingsError
from shadowbus.limits import MOST_DAYS
from shadowbus.records import TIMED
from shadowbus.settings.backtest import check_backtest
from shadowbus.settings.promotion import check_promotion
from shadowbus.settings.segment import check_segments
from shadowbus.settings.tables import GateSettings, ReplaySettings
from shadowbus.settings.webhook import check_notify
from shadowbus.settings.whole import Settings
from shadowbus.topology import topic_names

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a namespace and a shadow may be called: it becomes part of topic names."""

NAMED = "may hold letters, digits, '.', '_' and '-'"
MAX_PORT = 65_535

_EXACT = "however many requests there are, a share of exactly 0 or 1 cannot be shown, only one that is close"
_LIMITS: dict[str, tuple[Callable[[float], bool], str]] = {
    "share": (lambda limit: 0 < limit < 1, f"has to be more than 0 and less than 1: {_EXACT}"),
    "difference": (lambda limit: 0 <= limit < 1, "has to be at least 0 and less than 1"),
    "number": (math.isfinite, "has to be a finite number"),
    "ratio": (lambda limit: 1 / 8 <= limit <= 8, "has to be between 0.125 and 8: times as long"),
}
"""What the limit of a criterion may be, by the kind that `tables.py` gives it."""

_REACH = "with these costs no decision can be worth more, or less"

Need = Callable[[bool, str, str], None]
"""Takes what has to be true, the key, and what is to be said of the key where it is not."""


def check(settings: Settings) -> None:
    """Look at everything that the type of a value does not say.

    Raises:
        SettingsError: The first mistake.
    """

    def need(condition: bool, key: str, rule: str) -> None:
        if not condition:
            raise SettingsError(f"{settings.source}: '{key}' {rule}.")

    need(bool(NAME.fullmatch(settings.namespace)), "namespace", NAMED)
    need(settings.partitions >= 1, "partitions", "has to be at least 1")
    need(
        settings.replication == -1 or settings.replication >= 1,
        "replication",
        "has to be at least 1, or -1: as the broker",
    )
    try:
        settings.live_cutoff  # noqa: B018
    except SettingsError as error:
        raise SettingsError(f"{settings.source}: 'live_trained_until': {error}") from None
    _shadows(settings, need)
    _gate(settings.gate, need)
    need(
        settings.gate.min_value_gain is None or bool(settings.cost),
        "gate.min_value_gain",
        "needs a cost matrix: [[cost]]",
    )
    control = any(shadow.control for shadow in settings.shadow)
    need(
        settings.gate.max_slowdown is None or control, "gate.max_slowdown", "needs a control: [[shadow]] control = true"
    )
    _costs(settings, need)
    _rekey(settings, need)
    need(settings.worker.commit_ms >= 1, "worker.commit_ms", "has to be at least 1")
    restarts = settings.worker.restarts_without_progress
    need(restarts >= 0, "worker.restarts_without_progress", "must not be below 0")
    need(settings.aggregate.window_seconds >= 1, "aggregate.window_seconds", "has to be at least 1")
    _replay(settings.replay, need)
    check_segments(settings.segment, settings.source)
    need(0 <= settings.metrics.port <= MAX_PORT, "metrics.port", f"has to be between 0 (off) and {MAX_PORT}")
    check_notify(settings.notify, settings.source)
    check_backtest(settings.backtest, settings.source)
    check_promotion(settings.promotion, settings.source)


def _shadows(settings: Settings, need: Need) -> None:
    names = [shadow.name for shadow in settings.shadow]
    for i, shadow in enumerate(settings.shadow):
        need(bool(NAME.fullmatch(shadow.name)), f"shadow[{i}].name", NAMED)
        need(names.count(shadow.name) == 1, f"shadow[{i}].name", f"{shadow.name!r} is used twice")
        need(shadow.timeout_ms > 0, f"shadow[{i}].timeout_ms", "has to be more than 0")
        most = settings.worker.transaction_timeout_ms / 10  # or a row that hangs is not told from others in time
        need(shadow.timeout_ms <= most, f"shadow[{i}].timeout_ms", "is over a tenth of worker.transaction_timeout_ms")
        need(shadow.threads >= 1, f"shadow[{i}].threads", "has to be at least 1")
        need(shadow.memory_mb >= 1, f"shadow[{i}].memory_mb", "has to be at least 1")
        named = all("." in name.strip(".") for name in shadow.trusted_types)
        need(named, f"shadow[{i}].trusted_types", 'has to name types in full, such as ["mypackage.steps.Clip"]')
        need(all(shadow.environment), f"shadow[{i}].environment", 'has to name variables, such as ["REGION"]')


def _gate(gate: GateSettings, need: Need) -> None:
    need(0 < gate.alpha < 1, "gate.alpha", "has to be between 0 and 1")
    for one in fields(gate):
        limit, rule = getattr(gate, one.name), _LIMITS.get(one.metadata.get("limit", ""))
        if limit is not None and rule is not None:
            need(rule[0](limit), f"gate.{one.name}", rule[1])
    for key in ("max_cpu_ms_per_row", "max_memory_mb", "latency_budget_ms"):
        limit = getattr(gate, key)
        need(limit is None or 0 < limit < math.inf, f"gate.{key}", "has to be a finite number, more than 0")
    need(not gate.prove_segments or gate.guard_segments, "gate.prove_segments", "needs gate.guard_segments")
    need(0 <= gate.min_days <= MOST_DAYS, "gate.min_days", f"has to be between 0 and {MOST_DAYS}, which are counted")
    need(
        (gate.latency_budget_ms is None) == (gate.max_over_budget is None),
        "gate.latency_budget_ms",
        "and gate.max_over_budget go together: set both or none",
    )


def _costs(settings: Settings, need: Need) -> None:
    least, by_label = settings.gate.min_value_gain, dict[str, list[float]]()
    for cost in settings.cost:
        by_label.setdefault(str(cost.label), [0.0]).append(cost.cost)
    if least is not None and by_label:
        reach = max(max(costs) - min(costs) for costs in by_label.values())
        need(abs(least) < reach, "gate.min_value_gain", f"has to be between -{reach:g} and {reach:g}: {_REACH}")
    pairs = [(str(cost.label), str(cost.prediction)) for cost in settings.cost]
    for i, (cost, pair) in enumerate(zip(settings.cost, pairs, strict=True)):
        need(math.isfinite(cost.cost), f"cost[{i}].cost", "has to be a finite number")
        twice = f"names label {cost.label!r} with prediction {cost.prediction!r} twice"
        need(pairs.count(pair) == 1, f"cost[{i}]", twice)


def _rekey(settings: Settings, need: Need) -> None:
    own = topic_names(settings.namespace, tuple(shadow.name for shadow in settings.shadow))
    sources = list(settings.rekey.sources.values())
    for key, source in settings.rekey.sources.items():
        need(bool(NAME.fullmatch(source)), f"rekey.{key}", "has to be the whole name of a topic")
        need(sources.count(source) == 1, f"rekey.{key}", f"{source!r} is named twice")
        need(source not in own, f"rekey.{key}", f"has to be a topic of yours, and {source!r} belongs to this namespace")
    need(all(settings.rekey.id_field.split(".")), "rekey.id_field", "names a field, with dots where it lies deeper")


def _replay(replay: ReplaySettings, need: Need) -> None:
    need(replay.join_window_ms >= 1, "replay.join_window_ms", "has to be at least 1")
    need(replay.max_batch >= 1, "replay.max_batch", "has to be at least 1")
    for key, share in (("replay.keep_share", replay.keep_share), ("replay.min_share", replay.min_share)):
        need(0.001 <= share <= 1, key, "has to be between 0.001 and 1")
    need(0 <= replay.single_row_share <= 1, "replay.single_row_share", "has to be between 0 and 1")
    kinds = ", ".join(map(repr, TIMED))
    need(replay.timed in ("", *TIMED), "replay.timed", f"has to be one of {kinds}: what your own latencies are of")
    need(0 <= replay.features_share <= 1, "replay.features_share", "has to be between 0 and 1")
    need(replay.shed_when_behind_seconds >= 0, "replay.shed_when_behind_seconds", "has to be at least 0 (0: never)")
