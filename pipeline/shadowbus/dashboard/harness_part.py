"""Over time, the books, workers, other trials beside this one, and how the verdict came about."""

from shadowbus.dashboard import charts
from shadowbus.dashboard.answer import badge_of
from shadowbus.dashboard.elements import Chart, Part, Text, box, rows
from shadowbus.dashboard.moments import moment
from shadowbus.story.fields import number
from shadowbus.story.figures import counted, milliseconds, whole
from shadowbus.story.harness import Resources
from shadowbus.story.history import Change
from shadowbus.story.ledger import Ledger
from shadowbus.story.trial import Story, TrialStory

HEIGHT = 210


class OverTime:
    """Agreement, failures and latency of one trial, window by window."""

    def __init__(self) -> None:
        self._charts: list[Chart] = []
        with box(classes="grid"):
            for title, hint in (
                ("Same answer as live", "share of requests both models answered"),
                ("Failures of the shadow", "share of requests"),
            ):
                with box("article", "card"):
                    Text("h3", title)
                    Text("p", hint, "muted small")
                    self._charts.append(Chart(HEIGHT))
            with box("article", "card"):
                Text("h3", "Latency of both")
                self._text = Text("p", "", "muted small")
                self._charts.append(Chart(HEIGHT))

    def show(self, trial: TrialStory) -> None:
        """Show a trial."""
        live, shadow = trial.latency
        text = f"median and 95 %: live {_latency(live)}, shadow {_latency(shadow)}"
        self._text.set_text(text)
        agreement, errors, latency = self._charts
        agreement.show(charts.rates(trial.timeline), f"Same answer over time; in all {trial.agreement_text}")
        errors.show(charts.errors(trial.timeline), f"Failures over time; in all {trial.errors_text}")
        latency.show(charts.latency(trial.timeline), text)


class HarnessPart:
    """Books and workers of one trial, all trials side by side, and the verdict's history."""

    def __init__(self) -> None:
        Text("h2", "Is every record accounted for?")
        self._books = Part(_draw_books)
        Text("h2", "What it costs")
        self._resources = Part(_draw_resources)
        Text("h2", "All trials side by side")
        self._beside = Part(_draw_beside)
        Text("h2", "How the verdict came about")
        self._history = Part(_draw_history)

    def show(self, story: Story, trial: TrialStory) -> None:
        """Show a trial of a story."""
        self._books.show(trial.books)
        self._resources.show(trial.resources)
        self._beside.show(story.going)
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


def _draw_beside(trials: tuple[TrialStory, ...]) -> None:
    heads = ("shadow", "verdict", "requests", "labels", "same answer", "failures", "latency, median and 95 %", "books")
    body = [
        (
            one.shadow,
            "noise floor" if one.control else badge_of(one),
            whole(one.requests),
            whole(one.labels),
            one.agreement_text,
            one.errors_text,
            _latency(one.latency[1]),
            {True: "close", False: f"gap of {one.books.gap:,}", None: "not yet known"}[one.books.closes],
        )
        for one in trials
    ]
    if trials:
        live = trials[0]
        body.append((f"{live.live} (live)", "serves", "", "", "", "", _latency(live.latency[0]), ""))
    rows("All trials side by side", heads, body)


def _draw_history(changes: tuple[Change, ...]) -> None:
    body = [
        (moment(one.at_ms), one.text, f"{counted(one.requests, 'request')}, {counted(one.labels, 'label')}")
        for one in changes
    ]
    if body:
        rows("History of the verdict", ("when (UTC)", "verdict", "after"), body)
    else:
        Text("p", "There is no verdict yet.", "muted")


def _latency(quantiles: object) -> str:
    table = quantiles if isinstance(quantiles, dict) else {}
    return f"{milliseconds(number(table, 'p50'))} and {milliseconds(number(table, 'p95'))}"
