"""Why, or why not: each criterion with its value, its interval and its limit, as they narrow."""

from collections.abc import Sequence

from shadowbus.dashboard import time_charts
from shadowbus.dashboard.answer import acted, badge_of, tone_of
from shadowbus.dashboard.elements import STATE_TONES, STATE_WORDS, Chart, Part, Text, box, prose
from shadowbus.records import Verdict
from shadowbus.story.criteria import Criterion
from shadowbus.story.figures import counted
from shadowbus.story.history import narrowing
from shadowbus.story.trial import TrialStory

CHART = 132


class CriteriaPart:
    """The verdict on one trial, then its criteria."""

    def __init__(self) -> None:
        self._verdict = Part(_draw_verdict)
        self._guards = Part(_draw_guards)
        self._grid = box(classes="grid")
        self._shown: tuple[str, tuple[str, ...]] = ("", ())
        self._tiles: dict[str, _Tile] = {}

    def show(self, trial: TrialStory, history: Sequence[Verdict]) -> None:
        """Show a trial."""
        self._verdict.show(trial)
        self._guards.show(trial.criteria)
        own = [one for one in trial.criteria if not one.guards]
        names = trial.trial, tuple(one.name for one in own)
        if names != self._shown:
            self._shown = names
            self._grid.clear()
            with self._grid:
                self._tiles = {one.name: _Tile(one) for one in own}
        for one in own:
            self._tiles[one.name].show(one, history)


class _Tile:
    def __init__(self, criterion: Criterion) -> None:
        with box("article", "card criterion"):
            with box(classes="head"):
                Text("h3", criterion.title)
                self._state = Text("span", "", "state")
            self._value = Text("div", "", "value")
            self._interval = Text("div", "", "muted small")
            self._chart = Chart(CHART) if criterion.unit != "count" else None
            self._progress = None if self._chart else box("progress", aria_label=criterion.title)

    def show(self, criterion: Criterion, history: Sequence[Verdict]) -> None:
        self._state.set_text(STATE_WORDS[criterion.state])
        self._state.classes(replace=f"state {STATE_TONES[criterion.state]}")
        self._value.set_text(criterion.value_text)
        limit = f"has to be {criterion.limit_text}" if criterion.limit_text else ""
        parts = (
            criterion.interval_text and f"still possible: {criterion.interval_text}",
            limit,
            criterion.basis_text,
            criterion.note,
        )
        self._interval.set_text("; ".join(part for part in parts if part))
        if self._progress is not None and criterion.limit:
            self._progress.props["max"] = criterion.limit
            self._progress.props["value"] = min(criterion.value or 0.0, criterion.limit)
            self._progress.update()
        if self._chart is not None:
            points = narrowing(history, criterion.name)
            self._chart.show(time_charts.narrowing(criterion, points), criterion.sentence)


def _draw_verdict(trial: TrialStory) -> None:
    with box(classes=f"verdict {tone_of(trial)}"):
        with box(classes="bar"):
            Text("span", "CONTROL" if trial.control else badge_of(trial), "badge")
            Text("h3", trial.headline)
        Text("p", trial.why)
        if done := acted(trial):
            Text("p", done)
        if trial.next:
            prose("p", trial.next)
        if trial.needed.text and not trial.past:
            Text("p", f"Still needed: {trial.needed.text}")
        for warning in trial.warnings:
            Text("p", f"Look into this: {warning}")


def _draw_guards(criteria: tuple[Criterion, ...]) -> None:
    guards = [one for one in criteria if one.guards]
    if not guards:
        return
    failing = [one.guards for one in guards if one.state == "fails"]
    if failing:
        text = f"Shown to be worse in {len(failing)} of {counted(len(guards), 'segment')}: {', '.join(failing[:5])}."
    else:
        text = f"Of {counted(len(guards), 'segment')} with labels, none is shown to be worse."
    Text("p", text, "muted after")
