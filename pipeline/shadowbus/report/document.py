"""What stands in a report, trial by trial: the story, its pictures and its evidence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from shadowbus.records import Verdict
from shadowbus.report.charts import Chart, charts, interval
from shadowbus.report.evidence import Line, lines_of
from shadowbus.report.look import Spec
from shadowbus.report.moment import moment
from shadowbus.story.acting import told
from shadowbus.story.criteria import Criterion
from shadowbus.story.trial import Story, Told, TrialStory, tell
from shadowbus.trials import shadow_of

AFTER_A_BACKTEST = "Next: put it in the shadow of real requests; a backtest promotes nothing."

Draw = Callable[[Spec], str]


@dataclass(frozen=True, slots=True)
class Part:
    """One trial in the report, with a picture of each criterion that can be drawn, and what was `done` about it."""

    story: TrialStory
    criteria: tuple[tuple[Criterion, str], ...]
    pictures: tuple[tuple[Chart, str], ...]
    evidence: tuple[Line, ...]
    done: str


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report."""

    title: str
    headline: str
    source: str
    made_ms: int
    story: Story
    parts: tuple[Part, ...]


def document(
    known: Sequence[Told],
    *,
    source: str,
    made_ms: int,
    draw: Draw | None,
    shadow: str = "",
    trial: str = "",
    configured: Mapping[str, str] | None = None,
) -> Document:
    """The report on what is known.

    Args:
        known: Aggregates and verdicts by trial.
        source: Where they are from, in words.
        made_ms: When the report was made.
        draw: Makes a picture of a chart; None for a report without pictures.
        shadow: Only the trials of this shadow.
        trial: Only this trial.
        configured: The version that the settings run, by shadow, as far as that is known; None of a backtest.
    """
    story = tell(known, configured=configured)
    history = {one.trial: one.history for one in known}
    wanted = [
        one
        for one in story.trials
        if (not shadow or shadow_of(one.trial) == shadow) and (not trial or one.trial == trial)
    ]
    if configured is None:
        wanted = [replace(one, next=AFTER_A_BACKTEST if one.verdict == "PROMOTE" else "") for one in wanted]
    parts = tuple(_part(one, history[one.trial], draw) for one in wanted)
    told = wanted[0].headline if len(wanted) == 1 else story.headline
    if 1 < len(wanted) < len(story.trials):
        told = " ".join(one.headline for one in wanted)
    return Document("Shadow report", told, source, made_ms, story, parts)


def _part(story: TrialStory, history: Sequence[Verdict], draw: Draw | None) -> Part:
    bars = [(one, _drawn(interval(one), draw)) for one in story.criteria]
    pictures = [(one, draw(one.spec)) for one in charts(story, history)] if draw else []
    evidence = lines_of(history[-1]) if history else ()
    return Part(
        story, tuple(bars), tuple(pictures), evidence, told(story.act, moment(story.act.at_ms) if story.act else "")
    )


def _drawn(spec: Spec | None, draw: Draw | None) -> str:
    return draw(spec) if spec is not None and draw is not None else ""
