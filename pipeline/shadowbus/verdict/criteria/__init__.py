"""What can be asked of a shadow, in the order in which a verdict lists it.

Each file has one kind of criterion. A function takes the evidence, the limit and the part of alpha it may use, and
gives the question with its answer so far. A new criterion is a function, its entry in `CRITERIA`, and its limit in
`settings/tables.py`; docs, page, report and the check of settings take what they say of it from there.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from shadowbus.settings import GateSettings
from shadowbus.verdict.counts import Evidence
from shadowbus.verdict.criteria import accuracy, calibration, means, rates, slowdown
from shadowbus.verdict.criterion import Alphas, Question, Wording


class Rule(NamedTuple):
    """A criterion.

    Attributes:
        name: Its name in a verdict.
        settings: The settings of `[gate]` that have to be there for it to be on, the limit first.
        ask: Gives the question with its answer so far.
        asks: The question in words, for docs/verdict.md.
        among: What it is counted among, for docs/verdict.md.
        wording: What the page and reports call it.
        lacks: What is missing where nothing was seen of it though enough came.
        against_control: Whether it is not asked of the control itself.
    """

    name: str
    settings: tuple[str, ...]
    ask: Callable[[Evidence, float, Alphas], Question]
    asks: str
    among: str
    wording: Wording
    lacks: str = ""
    against_control: bool = False

    def on(self, gate: GateSettings) -> bool:
        """Whether the gate asks it."""
        return all(getattr(gate, name) is not None for name in self.settings)

    def limit(self, gate: GateSettings) -> float:
        """What it is held against, where it is on."""
        return float(getattr(gate, self.settings[0]))


CRITERIA = (
    Rule(
        "error_rate",
        ("max_error_rate",),
        rates.errors,
        asks="Does the shadow fail (error, timeout, crash, unavailable) at most this often?",
        among="requests the shadow was asked",
        wording=Wording("Requests it fails on", "share", "at most", "request"),
        lacks="no request has been counted",
    ),
    Rule(
        "over_budget",
        ("max_over_budget", "latency_budget_ms"),
        rates.latency,
        asks="Is it slower than `latency_budget_ms` at most this often?",
        among="rows predicted one at a time",
        wording=Wording("Answers slower than the budget", "share", "at most", "single row"),
        lacks="no answer was timed on its own; recorded predictions need a latency",
    ),
    Rule(
        "slower_than_control",
        ("max_slowdown",),
        slowdown.slower,
        asks="Does it take at most this many times as long as the control for the same rows?",
        among="rows that both were asked alone",
        wording=Wording("Times as long as the control for the same row", "number", "at most", "paired row"),
        against_control=True,
    ),
    Rule(
        "agreement",
        ("min_agreement",),
        rates.agreement,
        asks="Does it answer as the live model does at least this often?",
        among="compared requests",
        wording=Wording("Same answer as the live model", "share", "at least", "compared request"),
        lacks="no two answers could be held against each other",
    ),
    Rule(
        "accuracy",
        ("accuracy_margin",),
        accuracy.not_worse,
        asks="Is it less accurate than the live model by at most this margin?",
        among="labels",
        wording=Wording("Accuracy, compared with live", "points", "at least", "label"),
        lacks="no label says who was right",
    ),
    Rule(
        "accuracy_gain",
        ("min_accuracy_gain",),
        accuracy.better,
        asks="Is it more accurate than the live model by at least this?",
        among="labels",
        wording=Wording("Accuracy gained over live", "points", "at least", "label"),
        lacks="no label says who was right",
    ),
    Rule(
        "loss",
        ("max_loss_increase",),
        means.loss,
        asks="Is its mean loss at most this much above the live one?",
        among="labels where both have a loss",
        wording=Wording("Loss, compared with live", "number", "at most", "label"),
        lacks="no label has a loss of both answers",
    ),
    Rule(
        "value",
        ("min_value_gain",),
        means.value,
        asks="Are its decisions worth at least this much more each, by `[[cost]]`? Below 0: a margin.",
        among="labels of known classes",
        wording=Wording("Value of a decision, compared with live", "number", "at least", "label"),
        lacks="no label and answers have a cost",
    ),
    Rule(
        "calibration",
        ("max_calibration_error",),
        calibration.calibrated,
        asks="Is its expected calibration error at most this?",
        among="labels where both have scores",
        wording=Wording("Calibration error", "share", "at most", "label"),
        lacks="no answer of the shadow has scores",
    ),
)
"""Those that PROMOTE needs shown, each."""


def alphas_of(gate: GateSettings) -> Alphas:
    """The alpha of each criterion that is on, a matter of the settings, never of the data.

    PROMOTE needs all of them shown, so also the one that is truly broken: nothing to split. One that fails is enough
    for SEND BACK, so there alpha is split evenly; the guard of all segments counts as one.
    """
    on = sum(rule.on(gate) for rule in CRITERIA)
    return Alphas(gate.alpha, gate.alpha / max(1, on + accuracy.guarded(gate)))


def asked(evidence: Evidence, gate: GateSettings) -> list[Question]:
    """The questions that PROMOTE needs answered."""
    alphas = alphas_of(gate)
    on = [rule for rule in CRITERIA if rule.on(gate) and not (evidence.control and rule.against_control)]
    found = ((rule, rule.ask(evidence, rule.limit(gate), alphas)) for rule in on)
    return [replace(_noted(question, evidence), lacks=rule.lacks or question.lacks) for rule, question in found]


def guarding(evidence: Evidence, gate: GateSettings) -> list[Question]:
    """The questions that need no yes: one that is answered with no leads to SEND BACK, one that waits holds PROMOTE."""
    return list(accuracy.guards(evidence, gate, alphas_of(gate)))


def _noted(question: Question, evidence: Evidence) -> Question:
    """Says so where all that it could rest on is from before the model's training ended."""
    counts, criterion = evidence.counts, question.criterion
    if question.unit == "labels":
        none, what = counts.labels_before and not counts.labels, "labels"
    else:
        none, what = criterion.name == "agreement" and counts.requests_before and not counts.compared, "requests"
    if not none:
        return question
    note = f"There are no {what} from after its training. {criterion.note}".strip()
    return replace(question, criterion=replace(criterion, note=note))
