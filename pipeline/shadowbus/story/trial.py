"""The whole story of one trial, and of all trials of a namespace side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shadowbus.cutoff import sentence
from shadowbus.records import Aggregate, Verdict
from shadowbus.story import headline as telling
from shadowbus.story.criteria import Criterion, read
from shadowbus.story.fields import Table, count, section
from shadowbus.story.figures import listed
from shadowbus.story.harness import Resources, resources, warnings
from shadowbus.story.headline import Needed, needed
from shadowbus.story.history import Change, changes
from shadowbus.story.ledger import Ledger, ledger
from shadowbus.story.noise import Noise, beyond_noise, noise
from shadowbus.story.segments import Segment, segments
from shadowbus.story.tables import (
    Confusion,
    Distribution,
    WhoWasRight,
    confusion,
    distribution,
    quantiles,
    rate_text,
    who_was_right,
)
from shadowbus.story.timeline import Moment, per_second, timeline
from shadowbus.trials import shadow_of

ORDER = {"PROMOTE": 0, "KEEP_WATCHING": 1, "SEND_BACK": 2}
KEEP_WATCHING = "KEEP_WATCHING"


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of one trial.

    Attributes:
        trial: Its name.
        aggregates: Its newest aggregates, of all segments and windows.
        history: Its verdicts, the oldest first.
    """

    trial: str
    aggregates: Sequence[Aggregate] = ()
    history: Sequence[Verdict] = ()


@dataclass(frozen=True, slots=True)
class TrialStory:
    """One trial, in the order in which a person asks.

    Attributes:
        trial: Its name; `live` and `shadow` are the two models in it.
        live: The model that serves.
        shadow: The model in its shadow, with its version.
        control: Whether the shadow is the live model itself.
        verdict: `PROMOTE`, `KEEP_WATCHING` or `SEND_BACK`.
        word: The same as people write it.
        fault: Why the trial could not be decided; empty where it was.
        headline: May I promote?
        why: Why, or why not.
        criteria: Each condition.
        needed: What is missing, and until when.
        warnings: What is odd about the harness; empty where all is well.
        requests: How many were compared.
        labels: How many labels met their comparison.
        decided_ms: When the verdict was given.
        books: Whether every record is accounted for.
        resources: Workers, lag, restarts; None before vitals came.
        confusion: Live answer by shadow answer; None where answers are no classes.
        right: Who was right.
        distribution: How often each answer comes.
        latency: Quantiles in ms of live and of the shadow.
        agreement_text: How often both answer the same, with what is still possible.
        errors_text: How often the shadow fails, in the same way.
        noise_text: How much of what differs is noise.
        segments: By harm.
        timeline: The windows.
        changes: When the verdict became another one, the newest first.
    """

    trial: str
    live: str
    shadow: str
    control: bool
    verdict: str
    word: str
    fault: str
    headline: str
    why: str
    criteria: tuple[Criterion, ...]
    needed: Needed
    warnings: tuple[str, ...]
    requests: int
    labels: int
    decided_ms: int
    books: Ledger
    resources: Resources | None
    confusion: Confusion | None
    right: WhoWasRight
    distribution: Distribution | None
    latency: tuple[Table, Table]
    agreement_text: str
    errors_text: str
    noise_text: str
    segments: tuple[Segment, ...]
    timeline: tuple[Moment, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """All trials, what to promote first and the control last; `headline` is the answer over all of them."""

    headline: str
    trials: tuple[TrialStory, ...] = field(default=())
    noise: Noise | None = None


def tell(known: Iterable[Told], now_ms: int | None = None, controls: frozenset[str] = frozenset()) -> Story:
    """The story of a namespace.

    Args:
        known: What is known of each trial.
        now_ms: The time, to notice that nothing moves any more; None where that does not matter.
        controls: Names of shadows that are the live model itself, beside those whose verdict says so.
    """
    known = [one for one in known if one.aggregates or one.history]
    controls |= {shadow_of(one.trial) for one in known if one.history and one.history[-1].control}
    summaries = {one.trial: _whole(one).summary for one in known}
    floors: dict[str, Noise] = {}
    for name, summary in summaries.items():
        if shadow_of(name) in controls and (found := noise(name, summary)) is not None:
            floors[name.partition("~")[0]] = found  # of each champion
    trials = tuple(sorted((_told(one, now_ms, controls, floors) for one in known), key=_order))
    return Story(_overall(trials), trials, next(iter(floors.values()), None))


def trials_of(aggregates: Iterable[Aggregate], history: Mapping[str, Sequence[Verdict]]) -> list[Told]:
    """Records of whatever trials, sorted by trial."""
    found: dict[str, list[Aggregate]] = {name: [] for name in history}
    for one in aggregates:
        found.setdefault(one.trial, []).append(one)
    return [Told(name, records, history.get(name, ())) for name, records in sorted(found.items())]


def _told(known: Told, now_ms: int | None, controls: frozenset[str], floors: Mapping[str, Noise]) -> TrialStory:
    """One trial, whatever stands in its records: the others have nothing to do with it."""
    try:
        return _tell(known, now_ms, controls, floors)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        fault = f"Its records cannot be told ({type(error).__name__}: {error})."
        verdict = Verdict(known.trial, KEEP_WATCHING, [], 0, 0, {}, 0, fault=fault)
        return _tell(Told(known.trial, history=[verdict]), None, controls, floors)


def _undecided(fault: str) -> tuple[str, ...]:
    return (f"This trial could not be decided. {fault}",) if fault else ()


def _trained_on(verdict: Verdict) -> tuple[str, ...]:
    told = sentence(verdict.training, verdict.requests, verdict.labels)
    return (told,) if told else ()


def _tell(known: Told, now_ms: int | None, controls: frozenset[str], floors: Mapping[str, Noise]) -> TrialStory:
    whole = _whole(known)
    verdict = known.history[-1] if known.history else Verdict(known.trial, KEEP_WATCHING, [], 0, 0, {}, 0)
    summary, criteria, health = whole.summary, read(*verdict.criteria), resources(whole.summary)
    live, _, shadow = known.trial.partition("~")
    control = shadow_of(known.trial) in controls
    books = ledger(whole.books or verdict.books)
    quiet_ms = 0 if now_ms is None or not whole.updated_ms else max(0, now_ms - whole.updated_ms)
    return TrialStory(
        trial=known.trial,
        live=live,
        shadow=shadow,
        control=control,
        verdict=verdict.verdict,
        word=telling.WORDS.get(verdict.verdict, verdict.verdict),
        fault=verdict.fault,
        headline=telling.headline(verdict.verdict, shadow, live, control=control, fault=verdict.fault),
        why=verdict.fault or telling.why(verdict.verdict, criteria, summary, control=control),
        criteria=criteria,
        needed=needed({} if control else verdict.needed, per_second(known.aggregates)),
        warnings=(*_undecided(verdict.fault), *_trained_on(verdict), *warnings(summary, books, health, quiet_ms)),
        requests=max(verdict.requests, count(summary, "requests")),
        labels=max(verdict.labels, count(summary, "labels")),
        decided_ms=verdict.decided_ms,
        books=books,
        resources=health,
        confusion=confusion(summary),
        right=who_was_right(summary),
        distribution=distribution(summary),
        latency=quantiles(summary),
        agreement_text=rate_text(section(summary, "agreement")),
        errors_text=rate_text(section(summary, "errors")),
        noise_text="" if control else beyond_noise(summary, floors.get(live)),
        segments=segments(known.aggregates, criteria),
        timeline=timeline(known.aggregates),
        changes=changes(known.history),
    )


def _whole(known: Told) -> Aggregate:
    found = (one for one in known.aggregates if one.segment == one.window == "all")
    return next(found, Aggregate(known.trial, "all", "all", {}, {}, {}, 0))


def _order(one: TrialStory) -> tuple[bool, int, str]:
    return one.control, ORDER.get(one.verdict, len(ORDER)), one.trial


def _overall(trials: tuple[TrialStory, ...]) -> str:
    """One sentence over all trials.

    >>> _overall(())
    'No trial has begun yet.'
    """
    candidates = [one for one in trials if not one.control]
    if not candidates:
        return "No trial has begun yet." if not trials else "Nothing to promote: only the control is running."
    parts = []
    for verdict, doing in (("PROMOTE", "Promote"), ("KEEP_WATCHING", "Keep watching"), ("SEND_BACK", "Send back")):
        if names := [one.shadow for one in candidates if one.verdict == verdict and not one.fault]:
            parts.append(f"{doing} {listed(names)}.")
    if names := [one.shadow for one in candidates if one.fault]:
        parts.append(f"{listed(names)} could not be decided.")
    return " ".join(parts)
