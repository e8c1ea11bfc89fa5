"""Over time, latency, the books, workers, and how the verdict came about."""

from shadowbus.dashboard import charts, time_charts
from shadowbus.dashboard.elements import Chart, Part, Text, box, rows
from shadowbus.dashboard.moments import moment
from shadowbus.story.fields import count
from shadowbus.story.figures import counted, whole
from shadowbus.story.harness import Resources
from shadowbus.story.history import Change
from shadowbus.story.ledger import Ledger
from shadowbus.story.tables import unlike
from shadowbus.story.trial import TrialStory

HEIGHT = 210


class OverTime:
    """Agreement, failures and latency of one trial, window by window."""

    def __init__(self) -> None:
        self._charts: list[Chart] = []
        with box(classes="grid"):
            for title, hint in (
                ("Same answer as live", "share of requests both models answered; the band is what is possible"),
                ("Failures of the shadow", "share of requests; the band is what is possible"),
                ("Latency of both", "the line is the median, the band goes up to 95 %"),
            ):
                with box("article", "card"):
                    Text("h3", title)
                    Text("p", hint, "muted small")
                    self._charts.append(Chart(HEIGHT))

    def show(self, trial: TrialStory) -> None:
        """Show a trial."""
        agreement, errors, latency = self._charts
        agreement.show(time_charts.rates(trial.timeline), f"Same answer over time; in all {trial.agreement_text}")
        errors.show(time_charts.errors(trial.timeline), f"Failures over time; in all {trial.errors_text}")
        latency.show(time_charts.latency(trial.timeline), "Latency of both over time")


class HarnessPart:
    """Books, latency and workers of one trial, and the verdict's history."""

    def __init__(self) -> None:
        Text("h2", "Is every record accounted for?")
        self._books = Part(_draw_books)
        Text("h2", "How fast is it, and what does it cost?")
        with box("article", "card after"):
            Text("h3", "Time to an answer")
            self._timed = Text("p", "", "muted small")
            self._latency = Chart(170)
        self._resources = Part(_draw_resources, classes="gap")
        Text("h2", "How the verdict came about")
        self._history = Part(_draw_history)

    def show(self, trial: TrialStory) -> None:
        """Show a trial."""
        self._books.show(trial.books)
        live, shadow = trial.latency
        timed = f"{counted(count(shadow, 'n'), 'row')} that the shadow was asked one at a time"
        self._timed.set_text(f"Of {counted(count(live, 'n'), 'live answer')}, and {timed}. {unlike(live)}".strip())
        self._latency.show(charts.latency(live, shadow), "Time to an answer, live and shadow")
        self._resources.show(trial.resources)
        self._history.show(trial.changes)


def _draw_books(books: Ledger) -> None:
    tone = {True: "good", False: "bad", None: "quiet"}[books.closes]
    with box(classes=f"note {tone}"):
        Text("p", books.text)
    for one in books.equations:
        if one.read:
            Text("p", one.text, "equation after")
    arriving = "" if books.settled else " Some are still on their way."
    Text(
        "p", f"Replay wrote {whole(books.claimed)} comparisons, {whole(books.counted)} are counted.{arriving}", "muted"
    )


def _draw_resources(found: Resources | None) -> None:
    if found is None:
        Text("p", "Replay has not reported yet.", "muted")
        return
    deaths = ", ".join(f"{kind} {amount:,}" for kind, amount in found.deaths)
    body = [
        ("workers", whole(found.workers)),
        ("records behind", whole(found.lag)),
        ("restarts of the model", whole(found.restarts) + (f" ({deaths})" if deaths else "")),
        ("workers that pause the shadow", whole(found.circuits_open)),
        ("memory", found.memory_text),
        ("processor", found.cpu_text),
        ("in a batch", found.batch_text),
    ]
    rows("Workers and resources", [name for name, _ in body], [[value for _, value in body]])
    for remark in found.remarks:
        Text("p", remark, "muted after")


def _draw_history(changes: tuple[Change, ...]) -> None:
    body = [
        (moment(one.at_ms), one.text, f"{counted(one.requests, 'request')}, {counted(one.labels, 'label')}")
        for one in changes
    ]
    if body:
        rows("History of the verdict", ("when (UTC)", "verdict", "after"), body)
    else:
        Text("p", "There is no verdict yet.", "muted")
