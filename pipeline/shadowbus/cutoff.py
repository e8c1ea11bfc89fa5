"""When a model's training ended. Requests from before then are no evidence: it may know their labels by heart.

In: the word of whoever bundles a model or runs a backtest, else what is known of its file (`models/trained_until.py`).
Out: a `Cutoff`, and the sentences about it. A comparison whose request is from before it is marked `trained_on`:
it counts for failures and latency, and for nothing that rests on whether the answer was right, or the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from shadowbus.errors import SettingsError
from shadowbus.limits import is_time_ms

Source = Literal["flag", "mlflow", "file", "bundled", "live", "unsaid"]
SOURCES: dict[str, str] = {
    "flag": "as it was told",
    "mlflow": "the end of its MLflow run",
    "file": "when its file was written",
    "bundled": "the time of bundling",
    "live": "the live model's, as it was told",
}
"""Where a cut-off comes from, in words."""

ASSUMED = ("mlflow", "file", "bundled")
"""Those that nobody has said."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cutoff:
    """Requests from before `until_ms` may have been trained on.

    `source` is a key of `SOURCES`, or `unsaid`: nothing is known, and `until_ms` is 0. `bundled_ms` is when the bundle
    was made, where nobody has said until when its model was trained, else 0.
    """

    until_ms: int
    source: Source
    bundled_ms: int = 0

    def to_record(self) -> dict[str, object]:
        """The form in a manifest and in the vitals of a model."""
        if self.source == "unsaid":
            return {}
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
    """A sentence about evidence from before a model's training ended; empty where there is none.

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
    learned = _suspicion(training)
    if not before and not labelled:
        return learned
    parts = []
    if labelled:
        parts.append(f"{labelled:,} of {labels + labelled:,} labels" if labels else f"all {labelled:,} labels")
    if before:
        parts.append(f"{before:,} of {max(requests, before):,} requests")
    start = "There are no labels from after its training: " if labelled and not labels else ""
    source = str(training.get("from"))
    until_ms = training.get("until_ms")
    when = f" ({shown(until_ms)} UTC, {SOURCES.get(source, source)})" if isinstance(until_ms, int) else ""
    whose = "the live model's" if source == "live" else "the model's"
    told = (
        f"{start}{' and '.join(parts)} are from before {whose} training ended{when}. "
        "Such labels do not count; such requests count for failures and latency only."
    )
    return " ".join(filter(None, (told, _HINT if source in ASSUMED and not learned else "", learned)))


def _suspicion(training: Mapping[str, object]) -> str:
    """That it knew what came before the bundle was made better than what comes; empty where that was not shown.

    >>> _suspicion({"right_before": 0.991, "right_after": 0.78, "suspicious": 200})
    'It was right in 99.1 % of what came before it was bundled and 78.0 % after: it may have been trained on these \
labels, of which 200 count. PROMOTE waits; give --trained-until TIME.'
    """
    shares = [training.get(name) for name in ("right_before", "right_after")]
    if not isinstance(training.get("suspicious"), int) or not all(isinstance(one, int | float) for one in shares):
        return ""
    before, after = (f"{100 * cast(float, one):.1f} %" for one in shares)
    counted = _count(training, "suspicious")
    told = (
        f"It was right in {before} of what came before it was bundled and {after} after: it may have been trained on "
        "these labels"
    )
    if not counted:
        return f"{told}, which do not count. If not, give --trained-until TIME."
    return f"{told}, of which {counted:,} count. PROMOTE waits; give --trained-until TIME."


_HINT = "If it ended earlier, say so with --trained-until TIME, to `shadowbus bundle` or to `shadowbus backtest`."


def shown(until_ms: int) -> str:
    """A moment for people, in UTC."""
    return f"{_EPOCH + timedelta(milliseconds=until_ms):%Y-%m-%d %H:%M}"


def _count(record: Mapping[str, object], name: str) -> int:
    found = record.get(name)
    return found if isinstance(found, int) else 0
