"""Which trials are over, and what took their place: they are history, and nobody has to act on them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from shadowbus.limits import LATEST_MS
from shadowbus.story.fields import Table, number
from shadowbus.trials import TrialName, shadow_of

QUIET_MS = 600_000
"""A trial that has had no request for so long, while another one of its shadow has, was left for that one."""


@dataclass(frozen=True, slots=True)
class Span:
    """The times of a trial's first and last request."""

    first_ms: int
    last_ms: int


def span_of(totals: Table) -> Span | None:
    """The span of a trial's totals; None where they name no times.

    >>> span_of({"first_ms": 5, "last_ms": 9}), span_of({"first_ms": 5, "last_ms": 1e100})
    (Span(first_ms=5, last_ms=9), None)
    """
    times = [number(totals, name) for name in ("first_ms", "last_ms")]
    first, last = (int(one) if one is not None and 0 <= one < LATEST_MS else None for one in times)
    return None if first is None or last is None else Span(first, last)


def past(spans: Mapping[str, Span | None], configured: Mapping[str, str] | None = None) -> dict[str, str]:
    """Why a trial is over, by trial; those that go on are not in it.

    Args:
        spans: By trial; None where nothing came yet.
        configured: The version that the settings run, by shadow, empty where that is not known; None where nothing
            is known of the settings.

    >>> past({"live@1~new@1": Span(0, 50), "live@1~new@2": Span(60, 90)})
    {'live@1~new@1': 'new@2 runs in its place'}
    >>> past({"live@1~old@1": Span(0, 50)}, {"new": "2"})
    {'live@1~old@1': 'it is no longer in the settings'}
    """
    over = {trial: why for trial in spans if (why := _unconfigured(trial, configured))}
    going = {trial: span for trial, span in spans.items() if trial not in over and span is not None}
    for trial, span in going.items():
        later = [other for other in going if shadow_of(other) == shadow_of(trial) and _after(going[other], span)]
        if later:
            over[trial] = _replaced(trial, max(later, key=lambda other: going[other].last_ms))
    return over


def _unconfigured(trial: str, configured: Mapping[str, str] | None) -> str:
    if not configured:
        return ""
    version = configured.get(shadow_of(trial))
    if version is None:
        return "it is no longer in the settings"
    return f"the settings run version {version} now" if version not in ("", TrialName.parse(trial).version) else ""


def _after(other: Span, one: Span) -> bool:
    """Whether the other one began when this one had ended, or goes on while this one is long quiet."""
    began = other.first_ms >= one.last_ms and other.first_ms > one.first_ms
    return began or other.last_ms - one.last_ms > QUIET_MS


def _replaced(trial: str, by: str) -> str:
    live, model = TrialName.parse(by)
    return f"{live} serves now" if TrialName.parse(trial).model == model else f"{model} runs in its place"
