"""The page as one viewer sees it: built once, then kept up to date from the store."""

from pathlib import Path

from nicegui import ui

from shadowbus.clock import now_ms
from shadowbus.dashboard.answer import Answer, theme_switch
from shadowbus.dashboard.criteria_part import CriteriaPart
from shadowbus.dashboard.differences import Differences, SegmentsPart
from shadowbus.dashboard.elements import Text, box
from shadowbus.dashboard.explorer import Explorer
from shadowbus.dashboard.harness_part import HarnessPart, OverTime
from shadowbus.dashboard.store import Store
from shadowbus.story.trial import TrialStory

LOOK_S = 0.3
STYLES = Path(__file__).with_name("page.css").read_text(encoding="utf-8")


class Page:
    """One viewer's page."""

    def __init__(self, store: Store, namespace: str) -> None:
        self._store = store
        self._version = -1
        self._selected = ""
        ui.add_css(STYLES)
        with box("main", "page"):
            self._answer = Answer(namespace, self._choose, theme_switch())
            with box() as self._detail:
                self._title = Text("h2", "", "detail")
                self._title.props["id"] = "detail"
                self._criteria = CriteriaPart()
                Text("h2", "Where do they differ?")
                self._differences = Differences(self._pick)
                self._segments = SegmentsPart()
                Text("h2", "Requests on which they differ").props["id"] = "requests"
                self._explorer = Explorer(store)
                Text("h2", "Over time")
                self._over_time = OverTime()
                self._harness = HarnessPart()
        self._look()
        ui.timer(LOOK_S, self._look)

    def _look(self) -> None:
        view = self._store.view
        age = (now_ms() - view.as_of_ms) / 1000 if view.as_of_ms else None
        self._answer.show_age(None if age is None else round(max(0.0, age)))
        if view.version == self._version:
            return
        self._version = view.version
        trials = {one.trial: one for one in view.story.trials}
        chosen = trials.get(self._selected) or next(iter(view.story.trials), None)
        self._answer.show(view, chosen.trial if chosen else "")
        self._detail.set_visibility(chosen is not None)
        if chosen is not None:
            self._show(chosen)

    def _show(self, trial: TrialStory) -> None:
        view = self._store.view
        self._title.set_text(f"{trial.shadow}: why, or why not?")
        self._criteria.show(trial, view.histories.get(trial.trial, ()))
        self._differences.show(trial)
        self._segments.show(trial)
        self._explorer.show(trial)
        self._over_time.show(trial)
        self._harness.show(trial)

    def _choose(self, trial: str) -> None:
        self._selected, self._version = trial, -1
        self._look()

    def _pick(self, live: str, shadow: str) -> None:
        self._explorer.pick(live, shadow)
        ui.run_javascript("document.getElementById('requests').scrollIntoView({behavior: 'smooth'})")
