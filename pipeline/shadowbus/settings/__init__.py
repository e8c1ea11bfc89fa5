"""One `shadow.toml` in, frozen settings out, and for every mistake a sentence that says where it is.

`tables.py`, `segment.py`, `webhook.py`, `promotion.py` and `backtest.py` have the tables, `whole.py` the file;
`load.py` reads it, `check.py` says what it may not hold.
"""

from shadowbus.settings.check import MAX_PORT
from shadowbus.settings.load import load_settings, masked, parse_settings
from shadowbus.settings.tables import (
    AggregateSettings,
    CostSettings,
    GateSettings,
    JudgeSettings,
    MetricsSettings,
    RekeySettings,
    ReplaySettings,
    ShadowSettings,
    WorkerSettings,
)
from shadowbus.settings.whole import Settings

__all__ = [
    "MAX_PORT",
    "AggregateSettings",
    "CostSettings",
    "GateSettings",
    "JudgeSettings",
    "MetricsSettings",
    "RekeySettings",
    "ReplaySettings",
    "Settings",
    "ShadowSettings",
    "WorkerSettings",
    "load_settings",
    "masked",
    "parse_settings",
]
