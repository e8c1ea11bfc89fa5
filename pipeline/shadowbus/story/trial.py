"""The whole story of one trial, and of all trials of a namespace side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shadowbus import gates
from shadowbus.cutoff import sentence
from shadowbus.records import Aggregate, Promotion, Verdict
from shadowbus.story import acting
from shadowbus.story import headline as telling
from shadowbus.story.criteria import Criterion, read
from shadowbus.story.deviation import Deviation, deviation
from shadowbus.story.fields import Table, count, section
from shadowbus.story.figures import listed
from shadowbus.story.harness import Resources, resources, warnings
from shadowbus.story.headline import Needed, needed
from shadowbus.story.history import Change, changes
from shadowbus.story.ledger import Ledger, ledger
from shadowbus.story.noise import Noise, beyond_noise, noise
from shadowbus.story.past import past, span_of
from shadowbus.story.segments import Segment, segments
from shadowbus.story.tables import (
    Confusion,
    Distribution,
    WhoWasRight,
    confusion,
    distribution,
    kind_of,
    quantiles,
    rate_text,
    who_was_right,
)
from shadowbus.story.timeline import Moment, per_second, timeline
from shadowbus.trials import TrialName, shadow_of
from shadowbus.verdict.obstacles import names
from shadowbus.verdict.obstacles import told as obstacles_told

ORDER = {"PROMOTE": 0, "KEEP_WATCHING": 1, "SEND_BACK": 2}
KEEP_WATCHING = "KEEP_WATCHING"


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of one trial.

    Attributes:
        trial: Its name.
        aggregates: Its newest aggregates, of all segments and windows.
        history: Its verdicts, the oldest first.
        act: How far it has come with acting on them.
    """

    trial: str
    aggregates: Sequence[Aggregate] = ()
    history: Sequence[Verdict] = ()
    act: Promotion | None = None


@dataclass(frozen=True, slots=True)
class TrialStory:
    """One trial, in the order in which a person asks.

    Attributes:
        trial: Its name; `live` and `shadow` are the two models in it.
        live: The model that serves.
        shadow: The model in its shadow, with its version.
        control: Whether the shadow is the live model itself.
        past: Why the trial is over, such as that a newer version runs; empty while it goes on.
        act: How far it has come with acting on the verdict; None where nobody did.
        done: Whether what the verdict asks for was done.
        next: What a person does next; empty where there is nothing to do.
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
        deviation: How far both are off, where answers are numbers that have labels.
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
    past: str
    act: Promotion | None
    done: bool
    next: str
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
    deviation: Deviation | None
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
    """All trials: what to promote first, the control, and what is over last; `headline` is the answer over all."""

    headline: str
    trials: tuple[TrialStory, ...] = field(default=())
    noise: Noise | None = None

    @property
    def going(self) -> tuple[TrialStory, ...]:
        """Those that are not over."""
        return tuple(one for one in self.trials if not one.past)

    @property
    def over(self) -> tuple[TrialStory, ...]:
        """The others."""
        return tuple(one for one in self.trials if one.past)


@dataclass(frozen=True, slots=True)
class _Around:
    """What else is known while one trial is told."""

    now_ms: int | None
    controls: frozenset[str]
    floors: Mapping[str, Noise]
    past: Mapping[str, str]


def tell(
    known: Iterable[Told],
    now_ms: int | None = None,
    controls: frozenset[str] = frozenset(),
    configured: Mapping[str, str] | None = None,
) -> Story:
    """The story of a namespace.

    Args:
        known: What is known of each trial.
        now_ms: The time, to notice that nothing moves any more; None where that does not matter.
        controls: Names of shadows that are the live model itself, beside those whose verdict says so.
        configured: The version that the settings run, by shadow, as far as that is known.
    """
    known = [one for one in known if one.aggregates or one.history]
    controls |= {shadow_of(one.trial) for one in known if one.history and one.history[-1].control}
    summaries = {one.trial: _whole(one).summary for one in known}
    floors: dict[str, Noise] = {}
    for name, summary in summaries.items():
        if shadow_of(name) in controls and (found := noise(name, summary)) is not None:
            floors[TrialName.parse(name).live] = found  # of each champion
    around = _Around(
        now_ms, controls, floors, past({one.trial: span_of(_whole(one).totals) for one in known}, configured)
    )
    trials = tuple(sorted((_told(one, around) for one in known), key=_order))
    return Story(_overall(trials), trials, next(iter(floors.values()), None))


def trials_of(
    aggregates: Iterable[Aggregate],
    history: Mapping[str, Sequence[Verdict]],
    acts: Mapping[str, Promotion] | None = None,
) -> list[Told]:
    """Records of whatever trials, sorted by trial."""
    acts = acts or {}
    found: dict[str, list[Aggregate]] = {name: [] for name in history}
    for one in aggregates:
        found.setdefault(one.trial, []).append(one)
    return [Told(name, records, history.get(name, ()), acts.get(name)) for name, records in sorted(found.items())]


def _told(known: Told, around: _Around) -> TrialStory:
    """One trial, whatever stands in its records: the others have nothing to do with it."""
    try:
        return _tell(known, around)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        fault = f"Its records cannot be told ({type(error).__name__}: {error})."
        verdict = Verdict(known.trial, KEEP_WATCHING, [], 0, 0, {}, 0, fault=fault)
        return _tell(Told(known.trial, history=[verdict]), replace(around, now_ms=None))


def _undecided(fault: str) -> tuple[str, ...]:
    return (f"This trial could not be decided. {fault}",) if fault else ()


def _trained_on(verdict: Verdict) -> tuple[str, ...]:
    told = sentence(verdict.training, verdict.requests, verdict.labels)
    return (told,) if told else ()


def _gate(verdict: Verdict) -> tuple[str, ...]:
    told = gates.sentence(verdict.gate)
    return (told,) if told else ()


def _tell(known: Told, around: _Around) -> TrialStory:
    whole = _whole(known)
    verdict = known.history[-1] if known.history else Verdict(known.trial, KEEP_WATCHING, [], 0, 0, {}, 0)
    summary, health = whole.summary, resources(whole.summary)
    numbers = kind_of(summary) == "numbers"
    criteria = read(*verdict.criteria, numbers=numbers)
    live, shadow = TrialName.parse(known.trial)
    control, over = shadow_of(known.trial) in around.controls, around.past.get(known.trial, "")
    in_the_way = tuple(obstacles_told(verdict.obstacles))
    stopped = "" if control or verdict.verdict != KEEP_WATCHING else " ".join(in_the_way)
    books, done = ledger(whole.books or verdict.books), acting.is_done(known.act, verdict)
    quiet_ms = 0 if over or around.now_ms is None or not whole.updated_ms else max(0, around.now_ms - whole.updated_ms)
    return TrialStory(
        trial=known.trial,
        live=live,
        shadow=shadow,
        control=control,
        past=over,
        act=known.act if acting.stands(known.act, verdict) else None,
        done=done,
        next="" if control or over else acting.next_step(verdict, known.act),
        verdict=verdict.verdict,
        word=telling.WORDS.get(verdict.verdict, verdict.verdict),
        fault=verdict.fault,
        headline=telling.headline(
            verdict.verdict,
            shadow,
            live,
            control=control,
            fault=verdict.fault,
            over=over,
            done=done,
            obstacle=str(next(iter(names(verdict.obstacles)), "")),
        ),
        why=verdict.fault or stopped or telling.why(verdict.verdict, criteria, summary, control=control),
        criteria=criteria,
        needed=needed({} if control or stopped else verdict.needed, per_second(known.aggregates)),
        warnings=(
            *_undecided(verdict.fault),
            *(in_the_way if not stopped else ()),
            *_gate(verdict),
            *_trained_on(verdict),
            *warnings(summary, books, health, quiet_ms),
        ),
        requests=max(verdict.requests, count(summary, "requests")),
        labels=max(verdict.labels, count(summary, "labels")),
        decided_ms=verdict.decided_ms,
        books=books,
        resources=health,
        confusion=confusion(summary),
        right=who_was_right(summary),
        deviation=deviation(summary),
        distribution=distribution(summary),
        latency=quantiles(summary),
        agreement_text=rate_text(section(summary, "agreement")),
        errors_text=rate_text(section(summary, "errors")),
        noise_text="" if control else beyond_noise(summary, around.floors.get(live)),
        segments=segments(known.aggregates, criteria),
        timeline=timeline(known.aggregates),
        changes=changes(known.history, numbers=numbers),
    )


def _whole(known: Told) -> Aggregate:
    found = (one for one in known.aggregates if one.segment == one.window == "all")
    return next(found, Aggregate(known.trial, "all", "all", {}, {}, {}, 0))


def _order(one: TrialStory) -> tuple[bool, bool, int, str]:
    return bool(one.past), one.control, ORDER.get(one.verdict, len(ORDER)), one.trial


def _overall(trials: tuple[TrialStory, ...]) -> str:
    """One sentence over all trials.

    >>> _overall(())
    'No trial has begun yet.'
    """
    going = [one for one in trials if not one.past]
    candidates = [one for one in going if not one.control]
    if not candidates:
        if not trials:
            return "No trial has begun yet."
        return "Nothing to promote: only the control is running." if going else "Every trial is over."
    parts = []
    for action, did in (("promote", "promoted"), ("send_back", "sent back")):
        if names := [one.shadow for one in candidates if one.done and one.act and one.act.action == action]:
            parts.append(f"{listed(names)} {'was' if len(names) == 1 else 'were'} {did}.")
    for verdict, doing in (("PROMOTE", "Promote"), ("KEEP_WATCHING", "Keep watching"), ("SEND_BACK", "Send back")):
        if names := [one.shadow for one in candidates if one.verdict == verdict and not (one.fault or one.done)]:
            parts.append(f"{doing} {listed(names)}.")
    if names := [one.shadow for one in candidates if one.fault]:
        parts.append(f"{listed(names)} could not be decided.")
    return " ".join(parts)
