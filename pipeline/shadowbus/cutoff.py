"""Until when a model was trained. What it may have learned by heart is no evidence of how good it is.

In: the word of whoever bundles a model or runs a backtest, else the time of bundling. Out: a `Cutoff`, and what people
are told of it. A comparison whose request is from before it is marked `trained_on`: it counts for failures and
latency, and for nothing that rests on whether the answer was right, or the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from shadowbus.errors import SettingsError
from shadowbus.limits import is_time_ms

Source = Literal["flag", "bundled"]
SOURCES = {"flag": "as it was told", "bundled": "the time of bundling"}
"""Where a cut-off comes from, in words."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cutoff:
    """Requests from before `until_ms` may have been trained on; `source` is a key of `SOURCES`."""

    until_ms: int
    source: Source

    def to_record(self) -> dict[str, object]:
        """As it stands in a manifest, and in the vitals of a model."""
        return {"trained_until_ms": self.until_ms, "trained_until_from": self.source}


def latest(records: Mapping[Any, Mapping[str, Any]]) -> Cutoff | None:
    """The latest cut-off that any vitals tell of; None where none does.

    >>> latest({0: {"model": Cutoff(5, "flag").to_record()}, 1: {"model": {}}})
    Cutoff(until_ms=5, source='flag')
    """
    models = [model for record in records.values() if isinstance(model := record.get("model"), Mapping)]
    found = [
        Cutoff(model["trained_until_ms"], cast(Source, model["trained_until_from"]))
        for model in models
        if type(model.get("trained_until_ms")) is int and model.get("trained_until_from") in SOURCES
    ]
    return max(found, key=lambda one: one.until_ms, default=None)


def moment(text: str) -> int:
    """A time that somebody gives on the command line, in milliseconds since the epoch.

    Args:
        text: ISO 8601, in UTC where it names no time zone, or milliseconds since the epoch.

    Raises:
        SettingsError: It is neither.

    >>> moment("2026-11-30T12:00:00Z"), moment("2026-11-30 13:00+01:00"), moment("2026-11-30"), moment("1795996800000")
    (1796040000000, 1796040000000, 1795996800000, 1795996800000)
    """
    try:
        found = int(text) if text.strip().isdecimal() else _since_epoch(datetime.fromisoformat(text.strip()))
    except ValueError:
        found = -1
    if not is_time_ms(found):
        raise SettingsError(
            f"'{text}' is no time: write it as 2026-11-30T12:00:00Z, as 2026-11-30, or in milliseconds since 1970."
        )
    return found


def _since_epoch(when: datetime) -> int:
    return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)


def sentence(training: Mapping[str, object], requests: int, labels: int) -> str:
    """What a person is told of the evidence that lies before the end of a model's training; empty where none does.

    Args:
        training: The field `training` of a verdict.
        requests: The verdict's requests, those before included.
        labels: Its labels, those before left out.

    >>> told = {"until_ms": 1_796_040_000_000, "from": "flag", "requests_before": 40, "labels_before": 30}
    >>> sentence(told, 100, 50)
    "30 of 80 labels and 40 of 100 requests are from before the model's training ended (2026-11-30 12:00 UTC, \
as it was told). Such labels do not count; such requests count for failures and latency only."
    >>> sentence({**told, "from": "bundled"}, 40, 0)[:103]
    'There are no labels from after its training: all 30 labels and 40 of 40 requests are from before the mo'
    """
    before, labelled = _count(training, "requests_before"), _count(training, "labels_before")
    if not before and not labelled:
        return ""
    parts = []
    if labelled:
        parts.append(f"{labelled:,} of {labels + labelled:,} labels" if labels else f"all {labelled:,} labels")
    if before:
        parts.append(f"{before:,} of {max(requests, before):,} requests")
    start = "There are no labels from after its training: " if labelled and not labels else ""
    source = str(training.get("from"))
    until_ms = training.get("until_ms")
    when = f" ({_shown(until_ms)} UTC, {SOURCES.get(source, source)})" if isinstance(until_ms, int) else ""
    told = (
        f"{start}{' and '.join(parts)} are from before the model's training ended{when}. "
        "Such labels do not count; such requests count for failures and latency only."
    )
    return f"{told} {_HINT}" if source == "bundled" else told


_HINT = "If it ended earlier, say so with --trained-until TIME, to `shadowbus bundle` or to `shadowbus backtest`."


def _shown(until_ms: int) -> str:
    return f"{_EPOCH + timedelta(milliseconds=until_ms):%Y-%m-%d %H:%M}"


def _count(record: Mapping[str, object], name: str) -> int:
    found = record.get(name)
    return found if isinstance(found, int) else 0
