"""May I promote, and why, or why not: two sentences for each trial."""

from dataclasses import dataclass

from shadowbus.story.criteria import Criterion, in_words, lowered
from shadowbus.story.deviation import deviation
from shadowbus.story.fields import Table, count, number, section, words
from shadowbus.story.figures import YEAR, between, counted, duration, listed, points, share

WORDS = {"PROMOTE": "PROMOTE", "SEND_BACK": "SEND BACK", "KEEP_WATCHING": "KEEP WATCHING"}
STOPPED = {
    "cannot_run": "cannot run",
    "nothing_compared": "cannot be compared",
    "not_comparable": "cannot be compared",
}
"""What is said of a trial in which nothing can be decided, by the obstacle's name."""


@dataclass(frozen=True, slots=True)
class Needed:
    """What is missing until a verdict, and for how long that takes at the present rate; None: not known, or never."""

    requests: int | None
    labels: int | None
    seconds: float | None
    text: str


def headline(
    verdict: str,
    shadow: str,
    live: str,
    *,
    control: bool,
    fault: str = "",
    over: str = "",
    done: bool = False,
    obstacle: str = "",
) -> str:
    """The answer in one sentence.

    >>> headline("PROMOTE", "better@1", "champion@1", control=False)
    'Yes, promote better@1: it may replace champion@1.'
    """
    if over:
        return f"{shadow} is over: {over}. The last verdict was {WORDS.get(verdict, verdict)}."
    if fault:
        return f"Nobody knows: {shadow} could not be decided."
    if control:
        return f"Nothing to promote: {shadow} is the control, and measures noise."
    match verdict:
        case "PROMOTE" if done:
            return f"{shadow} was promoted: it may replace {live}."
        case "SEND_BACK" if done:
            return f"{shadow} was sent back."
        case "PROMOTE":
            return f"Yes, promote {shadow}: it may replace {live}."
        case "SEND_BACK":
            return f"No, send {shadow} back."
        case "KEEP_WATCHING" if obstacle in STOPPED:
            return f"Not yet: {shadow} {STOPPED[obstacle]}."
        case "KEEP_WATCHING":
            return f"Not yet: keep watching {shadow}."
        case _:
            return f"The verdict on {shadow} is {verdict}."


def why(verdict: str, criteria: tuple[Criterion, ...], summary: Table, *, control: bool) -> str:
    """The reason in a sentence or two.

    Args:
        verdict: As in the record.
        criteria: Of the verdict.
        summary: Of the whole trial.
        control: Whether this is the control.
    """
    failed = [one for one in criteria if one.state == "fails"]
    if control and not failed:
        agreement = number(section(summary, "agreement"), "value")
        return f"It agrees with the live model on {share(agreement)} of the requests; the rest is noise."
    match verdict:
        case "SEND_BACK":
            return f"{_broken(failed)} {_off(summary)}".strip()
        case "PROMOTE":
            return f"{_quality(summary)}{_failures(summary)} Every criterion is shown to hold.".strip()
        case _:
            return f"{_off(summary)}{_still_open(criteria)}"


def needed(record: Table, rates: tuple[float, float]) -> Needed:
    """What is missing.

    Args:
        record: The field `needed` of a verdict.
        rates: How many requests and labels come in a second.

    >>> needed({"requests": 1902, "labels": 0, "note": "PROMOTE, at the present rates."}, (10.0, 10.0)).text
    'About 1,902 more requests, in 3 minutes at the present pace: PROMOTE.'
    """
    note = in_words(words(record, "note"))
    amounts = {unit: number(record, unit) for unit in ("requests", "labels")}
    missing = [counted(amount, unit[:-1]).replace(" ", " more ", 1) for unit, amount in amounts.items() if amount]
    waits = [amount / rate if rate else None for amount, rate in zip(amounts.values(), rates, strict=True) if amount]
    known = [one for one in waits if one is not None]
    seconds = max(known) if known and len(known) == len(waits) else None
    text = note
    if missing:
        if seconds is not None and seconds > YEAR:
            told = note.replace(", at the present rates", "")
            return Needed(None, None, seconds, f"At this rate never within a year: {told}")
        when = "" if seconds is None else f", in {duration(seconds)} at the present pace"
        told = note.replace(", at the present rates", "") if when else note
        text = f"About {' and '.join(missing)}{when}" + (f": {told}" if told else ".")
    requests, labels = (None if amount is None else int(amount) for amount in amounts.values())
    return Needed(requests, labels, seconds, text)


def _broken(failed: list[Criterion]) -> str:
    """What was shown to fail: the whole trial's criteria before those of segments."""
    if not failed:
        return "SEND BACK is final for this version: what was shown to fail is open again."
    ordered = sorted(failed, key=lambda one: bool(one.guards))
    others = len(ordered) - 1
    also = f" Shown to fail as well: {others} more {'criterion' if others == 1 else 'criteria'}." if others else ""
    return f"{_accusation(ordered[0])}{also}"


def _accusation(one: Criterion) -> str:
    """One criterion that is shown to fail, in a sentence.

    >>> from shadowbus.story.criteria import read
    >>> _accusation(read({"name": "error_rate", "value": 0.012, "low": 0.005, "high": 0.02, "limit": 0.003})[0])
    'It fails on 1.2 % of the requests (between 0.50 % and 2.0 %), and at most 0.30 % are allowed.'
    """
    interval = f" ({one.interval_text})" if one.interval_text else ""
    where = f" where {one.guards}" if one.guards else ""
    match one.name.partition(":")[0]:
        case "error_rate":
            return f"It fails on {one.value_text} of the requests{where}{interval}, and {one.limit_text} are allowed."
        case "over_budget":
            return (
                f"{one.value_text} of its answers are slower than the budget{where}{interval}, {one.limit_text} may be."
            )
        case "accuracy" if one.value is not None and one.limit is not None and one.value < 0 >= one.limit:
            less = f" ({between(-(one.high or 0), -(one.low or 0), 'points')})".replace("+", "") if interval else ""
            right = "within the tolerance" if "tolerance" in one.title else "right"
            return (
                f"It is {right} {_less(one.value)} less often than the live model{where}{less}, "
                f"and at most {_less(one.limit)} less is allowed."
            )
        case _:
            return f"{one.sentence}."


def _less(difference: float) -> str:
    return points(-difference).removeprefix("+")


def _still_open(criteria: tuple[Criterion, ...]) -> str:
    waiting = [one for one in criteria if one.state == "open" and not one.guards]
    if not waiting:
        return "Nothing has been shown to fail, and not enough has been seen."
    names = listed([lowered(one.title) for one in waiting])
    return f"Nothing is shown to fail; not yet shown to hold: {names}."


def _quality(summary: Table) -> str:
    """How good both are, in the terms of the task."""
    if off := _off(summary):
        return off
    accuracy = section(summary, "accuracy")
    live, shadow = number(accuracy, "live"), number(accuracy, "shadow")
    if live is None or shadow is None:
        return ""
    return f"Right on {share(shadow)} of {counted(count(accuracy, 'n'), 'label')}, the live model on {share(live)}. "


def _off(summary: Table) -> str:
    found = deviation(summary)
    return f"{found.text} " if found else ""


def _failures(summary: Table) -> str:
    errors = section(summary, "errors")
    value = number(errors, "value")
    if value is None:
        return ""
    amount = "none" if value == 0 else share(value)
    return f"It failed on {amount} of {counted(count(errors, 'n'), 'request')}."
