"""The first screen: may I promote, why or why not, is anything wrong with the harness?"""

from collections.abc import Callable
from dataclasses import dataclass

from nicegui import ui

from shadowbus.dashboard.elements import TONES, Part, Text, box, prose
from shadowbus.dashboard.moments import moment
from shadowbus.dashboard.store import View
from shadowbus.story.acting import told
from shadowbus.story.figures import counted, listed, whole
from shadowbus.story.trial import Story, TrialStory

MOST_ODD = 6
CONNECTIONS = {"loading": "reading what there is", "live": "live", "lost": "not connected"}


@dataclass(frozen=True, slots=True)
class _Cards:
    trials: tuple[TrialStory, ...]
    selected: str


@dataclass(frozen=True, slots=True)
class _Card:
    headline: str
    connection: str
    note: str
    empty: bool


class Answer:
    """The bar at the top, the answer over all trials, what is odd, and a card for each trial.

    Args:
        namespace: Of the topics.
        choose: Called with the name of a trial that is to be shown.
        theme: Called when the colours are to change; returns what they are now.
    """

    def __init__(self, namespace: str, choose: Callable[[str], None], theme: Callable[[], str]) -> None:
        self._choose = choose
        with box("header", "bar"):
            Text("span", "shadowbus", "brand")
            Text("span", namespace, "muted")
            box(classes="grow")
            self._pill = Text("span", "", "pill")
            self._pill.props["role"] = "status"
            self._age = Text("span", "", "muted small number")
            button = Text("button", f"Colours: {theme()}", "plain")
            button.props["type"] = "button"
            button.on("click", lambda: button.set_text(f"Colours: {theme()}"))
        self._head = Part(self._draw_head, aria_live="polite")
        self._odd = Part(_draw_odd)
        self._cards = Part(self._draw_cards, "section", "cards", aria_label="Trials")
        self._over = Part(self._draw_over)
        self._fine = Part(_draw_fine)

    def show(self, view: View, selected: str) -> None:
        """Show a view."""
        self._pill.set_text(CONNECTIONS[view.connection])
        self._pill.classes(replace=f"pill {view.connection}")
        self._head.show(_Card(view.story.headline, view.connection, view.note, not view.story.trials))
        self._odd.show(view.story)
        self._cards.show(_Cards(view.story.trials, selected))
        self._over.show(_Cards(view.story.trials, selected))
        self._fine.show(view.story if view.connection == "live" else Story(""))

    def show_age(self, seconds: float | None) -> None:
        """Say how old what is shown is."""
        self._age.set_text("" if seconds is None else f"newest record {_ago(seconds)}")

    def _draw_head(self, head: _Card) -> None:
        if head.connection == "lost":
            with box(classes="note bad", role="alert"):
                Text("p", f"Not connected: {head.note} What is shown is as of the last record; it goes on by itself.")
        if head.empty and head.connection == "loading":
            with box(classes="empty"):
                Text("h1", "Reading what there is …")
                Text("p", "Verdicts appear as soon as their topics have been read.", "muted")
        elif head.empty:
            with box(classes="empty"):
                Text("h1", "No trial has begun yet.")
                Text(
                    "p",
                    "A trial begins with the first comparison. Is capture on in the service, and do the workers run?",
                    "muted",
                )
        else:
            Text("h1", head.headline)

    def _draw_cards(self, cards: _Cards) -> None:
        for trial in cards.trials:
            if not trial.past:
                self._draw_card(trial, chosen=trial.trial == cards.selected)

    def _draw_over(self, cards: _Cards) -> None:
        over = [one for one in cards.trials if one.past]
        if not over:
            return
        opened = {"open": ""} if any(one.trial == cards.selected for one in over) else {}
        with box("details", "over", **opened):
            Text("summary", f"{counted(len(over), 'trial')} that {'is' if len(over) == 1 else 'are'} over")
            with box("div", "cards"):
                for trial in over:
                    self._draw_card(trial, chosen=trial.trial == cards.selected)

    def _draw_card(self, trial: TrialStory, *, chosen: bool) -> None:
        pressed = "true" if chosen else "false"
        button = box("button", f"trial {tone_of(trial)}", type="button", aria_pressed=pressed)
        button.on("click", lambda: self._choose(trial.trial))
        with button:
            Text("span", "CONTROL" if trial.control else badge_of(trial), "badge")
            Text("span", trial.shadow, "name")
            Text("span", _first_capital(f"{trial.past}.") if trial.past else trial.why)
            for line in (trial.needed.text, acted(trial), trial.next):
                if line and not trial.past:
                    prose("span", line, "small")
            facts = f"{counted(trial.requests, 'request')}, {counted(trial.labels, 'label')}"
            Text("span", facts, "muted small number more")


def acted(trial: TrialStory) -> str:
    """What was done about it, by whom and when."""
    return told(trial.act, f"{moment(trial.act.at_ms)} UTC") if trial.act else ""


def tone_of(trial: TrialStory) -> str:
    """The colours of a trial."""
    if trial.fault:
        return "bad"
    return "quiet" if trial.control or trial.past else TONES.get(trial.verdict, "quiet")


def badge_of(trial: TrialStory) -> str:
    """The verdict with a sign, so that it is not told by colour alone."""
    if trial.fault:
        return "! NOT DECIDED"
    if trial.done:
        return "✔ PROMOTED" if trial.verdict == "PROMOTE" else "✖ SENT BACK"
    sign = {"PROMOTE": "✔", "SEND_BACK": "✖", "KEEP_WATCHING": "…"}.get(trial.verdict, "?")
    return f"{sign} {trial.word}"


def _oddities(story: Story) -> list[tuple[str, str]]:
    return [(trial.shadow, warning) for trial in story.going for warning in trial.warnings]


def _draw_odd(story: Story) -> None:
    """What a person has to know before anything else, where there is such a thing."""
    if odd := _oddities(story):
        with box(classes="note warn"):
            Text("h3", "Look into this before you believe the numbers")
            for shadow, warning in odd[:MOST_ODD]:
                Text("p", f"{shadow}: {warning}")
            if len(odd) > MOST_ODD:
                Text("p", f"And {len(odd) - MOST_ODD} more, with each trial.")


def _draw_fine(story: Story) -> None:
    if not story.going or _oddities(story):
        return
    behind = sum(one.resources.lag for one in story.going if one.resources)
    silent = [one.shadow for one in story.going if not one.books.reported]
    if silent:
        with box(classes="note quiet"):
            Text("p", f"Replay has not reported its books yet, of {listed(silent)}.")
        return
    closed = sum(one.books.closes is True for one in story.going)
    noise = f" {story.noise.text}" if story.noise else ""
    with box(classes="note good"):
        Text(
            "p",
            f"The harness is fine: the books of {closed} of {len(story.going)} trials close, "
            f"and replay is {whole(behind)} records behind.{noise}",
        )


def _first_capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _ago(seconds: float) -> str:
    if seconds < 2:
        return "just now"
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"


def theme_switch() -> Callable[[], str]:
    """A function that takes the next of: as the system has it, light, dark; the first call only tells."""
    dark = ui.dark_mode(None)
    order: list[tuple[str, bool | None]] = [("as the system", None), ("light", False), ("dark", True)]
    at = [-1]

    def step() -> str:
        at[0] = (at[0] + 1) % len(order)
        name, value = order[at[0]]
        dark.set_value(value)
        return name

    return step
