"""The noise floor: how often a model does not agree with itself, seen in the control shadow."""

from dataclasses import dataclass

from shadowbus.story.fields import Table, number, section
from shadowbus.story.figures import between, share


@dataclass(frozen=True, slots=True)
class Noise:
    """What the control differs from live by; no other shadow can differ less. All are shares of requests."""

    control: str
    floor: float
    low: float | None
    high: float | None
    text: str


def noise(trial: str, summary: Table) -> Noise | None:
    """The noise floor from the control's summary; None before anything was compared."""
    agreement = section(summary, "agreement")
    value, low, high = (number(agreement, name) for name in ("value", "low", "high"))
    if value is None:
        return None
    floor, least = 1 - value, None if high is None else 1 - high
    most = None if low is None else 1 - low
    interval = between(least, most, "share")
    text = f"The control, the live model in its own shadow, differs from itself on {share(floor)} of the requests"
    return Noise(trial, floor, least, most, f"{text} ({interval})." if interval else f"{text}.")


def beyond_noise(summary: Table, floor: Noise | None) -> str:
    """How much of a shadow's disagreement is more than noise, in words; empty where that is not known."""
    value = number(section(summary, "agreement"), "value")
    if value is None:
        return ""
    differs = f"It differs from live on {share(1 - value)} of the requests"
    if floor is None:
        return f"{differs}; how much of that is noise is not known without a control."
    beyond = max(0.0, 1 - value - floor.floor)
    return f"{differs}, {share(beyond)} beyond the noise floor of {share(floor.floor)}."
