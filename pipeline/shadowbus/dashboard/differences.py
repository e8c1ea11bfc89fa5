"""Where the two models differ: who said what, who was right, how often each answer comes, and for whom it is worse."""

from collections.abc import Callable
from typing import Any

from shadowbus.dashboard import charts
from shadowbus.dashboard.elements import STATE_WORDS, Chart, Part, Text, box, rows
from shadowbus.story.figures import counted, share, whole
from shadowbus.story.segments import Segment
from shadowbus.story.trial import TrialStory

MOST_SEGMENTS = 40


class Differences:
    """The tables of one trial; `pick` is called with a live and a shadow answer that somebody clicked on."""

    def __init__(self, pick: Callable[[str, str], None]) -> None:
        self._pick = pick
        self._classes: tuple[str, ...] = ()
        self._summary = Text("p", "")
        self._noise = Text("p", "", "muted")
        with box(classes="grid wide"):
            with box("article", "card") as self._confusion_card:
                Text("h3", "Who answered what")
                self._confusion_text = Text("p", "", "muted small")
                self._confusion = Chart(400, self._clicked)
            with box("article", "card") as self._deviation_card:
                Text("h3", "How far they are off")
                self._deviation_text = Text("p", "", "muted small")
                self._deviation = Chart(330)
            with box():
                with box("article", "card"):
                    self._right_head = Text("h3", "")
                    self._right_text = Text("p", "", "muted small")
                    self._right = Chart(74)
                with box("article", "card").style("margin-top: 12px") as self._distribution_card:
                    Text("h3", "How often each answer comes")
                    self._shift = Text("p", "", "muted small")
                    self._distribution = Chart(250)

    def show(self, trial: TrialStory) -> None:
        """Show a trial."""
        self._summary.set_text(f"Same answer on {trial.agreement_text}; the shadow failed on {trial.errors_text}.")
        self._noise.set_text(trial.noise_text)
        self._confusion_card.set_visibility(trial.confusion is not None)
        if trial.confusion is not None:
            table = trial.confusion
            self._classes = table.classes
            says = f"{whole(table.differing)} of {counted(table.requests, 'answer')} differ (off the green diagonal)."
            self._confusion_text.set_text(f"{says} Click a cell to see such requests.")
            self._confusion.show(charts.confusion(table), says)
        self._deviation_card.set_visibility(trial.deviation is not None)
        if trial.deviation is not None:
            self._deviation_text.set_text(trial.deviation.text)
            self._deviation.show(charts.deviation(trial.deviation), trial.deviation.text)
        is_right = "within the tolerance" if trial.deviation else "right"
        self._right_head.set_text(f"Who was {is_right}, where only one of them was")
        right = trial.right
        self._right_text.set_text(f"{right.text} Both were right on {right.both:,}, neither on {right.neither:,}.")
        self._right.show(charts.right(right), right.text)
        self._distribution_card.set_visibility(trial.distribution is not None)
        if trial.distribution is not None:
            self._shift.set_text(trial.distribution.text)
            self._distribution.show(charts.distribution(trial.distribution), trial.distribution.text)

    def _clicked(self, event: Any) -> None:
        match event.value:
            case [int(column), int(row), *_] if 0 <= row < len(self._classes) > column >= 0:
                self._pick(self._classes[row], self._classes[column])


class SegmentsPart:
    """The segments of a trial, by harm."""

    def __init__(self) -> None:
        self._heading = Text("h2", "")
        self._part = Part(_draw_segments)

    def show(self, trial: TrialStory) -> None:
        """Show a trial."""
        self._heading.set_text(heading(trial.segments))
        self._part.show(trial.segments)


def heading(segments: tuple[Segment, ...]) -> str:
    """Whether it is worse for anybody, as far as is seen."""
    seen = [one for one in segments if one.worse is not None]
    worse = sum(one.worse is True for one in seen)
    if not seen or worse:
        return (
            "For whom is it worse?"
            if not seen
            else f"For whom is it worse? In {worse} of {counted(len(seen), 'segment')}"
        )
    return "It is worse for no segment"


def _draw_segments(segments: tuple[Segment, ...]) -> None:
    if not segments:
        Text("p", "No request has named a segment, such as a country.", "muted")
        return
    heads = (
        "segment",
        f"{segments[0].measure}, shadow minus live",
        "shown",
        "same answer",
        "failures",
        "requests",
        "labels",
    )
    shown = segments[:MOST_SEGMENTS]
    body = [
        (
            one.name,
            one.difference_text,
            STATE_WORDS.get(one.state, "not guarded"),
            one.agreement_text,
            one.errors_text,
            whole(one.requests),
            whole(one.labels),
        )
        for one in shown
    ]
    rows("Segments by harm", heads, body, [one.state == "fails" for one in shown])
    if len(segments) > MOST_SEGMENTS:
        rest = len(segments) - MOST_SEGMENTS
        Text("p", f"And {counted(rest, 'segment')} with less harm ({share(rest / len(segments))}).", "muted small")
