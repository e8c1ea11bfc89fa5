"""Single requests on which the models differ, by segment, by who was right, and by what they said."""

from collections.abc import Callable
from dataclasses import replace

from nicegui import ui

from shadowbus.dashboard.elements import Part, Text, box
from shadowbus.dashboard.example import Example, Question
from shadowbus.dashboard.moments import moment
from shadowbus.dashboard.store import Store
from shadowbus.story.figures import MISSING, exact
from shadowbus.story.trial import TrialStory

SHOWN = 25
ANY = ""
RIGHT = {
    ANY: "whoever was right",
    "shadow": "only the shadow",
    "live": "only live",
    "both": "both",
    "neither": "neither",
}
HEADS = ("request", "when (UTC)", "live said", "the shadow said", "label", "who was right", "segments", "features")


class Explorer:
    """A list of examples, and what it is filtered by."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._trial = ""
        self._numbers = False
        self._question = Question()
        with box(classes="filters"):
            self._segment = self._choice("Segment", {ANY: "all segments"}, "segment")
            self._right = self._choice("Who was right", RIGHT, "right")
            self._live = self._choice("Live said", {ANY: "anything"}, "live")
            self._shadow = self._choice("The shadow said", {ANY: "anything"}, "shadow")
        self._list = Part(_draw, aria_live="off")

    def show(self, trial: TrialStory) -> None:
        """Show the examples of a trial."""
        if trial.trial != self._trial:
            self._trial = trial.trial
            for choice in (self._segment, self._right, self._live, self._shadow):
                choice.set_value(ANY)
        self._numbers = trial.deviation is not None
        segments = sorted(one.name for one in trial.segments)
        classes = [] if trial.confusion is None else list(trial.confusion.classes)
        _offer(self._segment, "all segments", segments)
        _offer(self._live, "anything", classes)
        _offer(self._shadow, "anything", classes)
        self._refresh()

    def pick(self, live: str, shadow: str) -> None:
        """Show requests on which they gave these answers."""
        self._live.set_value(live)
        self._shadow.set_value(shadow)
        self._refresh()

    def _refresh(self) -> None:
        question = Question(
            segment=self._segment.value or ANY,
            right=self._right.value or ANY,
            live_class=self._live.value or ANY,
            shadow_class=self._shadow.value or ANY,
        )
        found = self._store.examples(self._trial, question, SHOWN)
        self._list.show(tuple(map(_in_figures, found)) if self._numbers else tuple(found))

    def _choice(self, label: str, options: dict[str, str], marker: str) -> ui.select:
        changed: Callable[[object], None] = lambda _: self._refresh()  # noqa: E731
        choice = ui.select(options, value=ANY, label=label, on_change=changed)
        choice.props("outlined dense options-dense").classes(f"filter-{marker}")
        return choice


def _offer(choice: ui.select, everything: str, names: list[str]) -> None:
    options = {ANY: everything, **{name: name for name in names}}
    if choice.options != options:
        value = choice.value if choice.value in options else ANY
        choice.set_options(options, value=value)


def _in_figures(one: Example) -> Example:
    """Answers that are numbers as people write them."""
    return replace(one, live=exact(one.live), shadow=exact(one.shadow), label=exact(one.label))


def _draw(examples: tuple[Example, ...]) -> None:
    if not examples:
        Text("p", "No such request among the newest ones.", "muted")
        return
    caption = "Requests on which the models differ"
    with box("div", "scroll", tabindex="0", role="region", aria_label=caption), box("table", "rows examples"):
        with box("thead"), box("tr"):
            for head in HEADS:
                Text("th", head).props["scope"] = "col"
        with box("tbody"):
            for one in examples:
                _draw_row(one)


def _draw_row(one: Example) -> None:
    with box("tr"):
        Text("th", one.request_id).props["scope"] = "row"
        cells = (
            moment(one.at_ms),
            one.live,
            one.shadow if one.status == "compared" else f"{one.shadow} ({one.status})",
            one.label or MISSING,
            RIGHT[one.right] if one.right else MISSING,
            ", ".join(one.segments) or MISSING,
        )
        for head, cell in zip(HEADS[1:], cells, strict=False):
            Text("td", cell, "number" if head == HEADS[1] else "").props["data-head"] = head
        with box("td", data_head=HEADS[-1]):
            if one.features:
                with box("details"):
                    Text("summary", "show")
                    Text("pre", one.features, "features")
            else:
                Text("span", "not kept", "muted small")
